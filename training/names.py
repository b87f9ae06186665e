"""Names of places and insurers, exchanged in training so that no model takes them for a sign.

Every name in the corpus is invented (`known_names.txt`), often with rare characters, while label-free passages are real
publications. A model that learns from both as they are takes a real city for a sign that a text sells nothing: the same
article fell from 0.72 to 0.01 in the probability of promotion when its city and plan had real names. So labelled texts are shown
with real names as well, and label-free passages with invented ones. Nothing of this is stored.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jieba

from training.augment import Edit, apply_edits
from training.corpus import Example

PLACES = Path(__file__).parent / "places.txt"
INSURERS = (
    "人保", "平安", "国寿", "太保", "太平", "泰康", "众安", "阳光", "大地", "中华联合", "国任", "华泰", "永安", "紫金", "新华",
    "友邦", "华安", "永诚", "安盛", "国元", "中银", "中华", "太平洋", "信泰", "天安", "京东安联", "招商信诺", "复星联合",
)  # fmt: skip
_SUFFIX = "(?:财产?险|财产保险|产险|人寿|寿险|健康险|健康保险|健康|养老险|养老|在线|相互|保险)"
_INSURER = re.compile(f"([\u4e00-\u9fff]{{2}})(?={_SUFFIX})")
_PLACE = re.compile(
    "([\u4e00-\u9fff]{2})(?=[省市县区镇州]|惠|普惠|全民|市民|医保|政府|人社|民政|日报|晚报|发布|人民|街道|城市|安[康民心居]|益民|康)"
)
# Characters that stand before the suffixes above without belonging to a name.
_COMMON = set(
    "的了是在有和与及或等这那个本该各全某一二三四五六七八九十两几多每不没无未很最更都也就还只又再把被让给对向从到为以由于因"
    "所将要会能可我你您他她它们咱自己谁什么怎样哪款座份种类名项家张单险保赔付投报销医药病院费价钱买卖说讲看问请找来去上下前后"
    "内外里中大小新老好真假高低先后今明昨年月日天时分城市县区镇乡村社民众公司员客户商业补充基惠康健"
)
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Names:
    """The invented names of a corpus, two characters each."""

    places: frozenset[str]
    insurers: frozenset[str]


def invented_names(examples: Sequence[Example]) -> Names:
    """What stands before the name of a plan, an office or a kind of insurer in several places and is no word."""
    found = {pattern: Counter[str]() for pattern in (_PLACE, _INSURER)}
    for example in examples:
        for pattern, counts in found.items():
            counts.update(m for m in pattern.findall(example.text) if not _COMMON & set(m))
    known = _dictionary() | set(real_places()) | set(INSURERS)
    places, insurers = (
        frozenset(name for name, count in counts.items() if count >= _FEWEST and name not in known)
        for counts in found.values()
    )
    return Names(places, insurers)


@lru_cache(maxsize=1)
def real_places() -> tuple[str, ...]:
    lines = PLACES.read_text(encoding="utf-8").splitlines()
    return tuple(name for line in lines if not line.startswith("#") for name in line.split())


@lru_cache(maxsize=1)
def _dictionary() -> frozenset[str]:
    jieba.initialize()
    return frozenset(word for word, count in jieba.dt.FREQ.items() if count and len(word) == 2)


def with_real_names(example: Example, names: Names, rng: random.Random) -> Example:
    """The example with real places and insurers in place of the invented ones, one for one throughout the text."""
    chosen: dict[tuple[str, bool], str] = {}
    edits: list[Edit] = []
    place = 0
    while place < len(example.text) - 1:
        name = example.text[place : place + 2]
        if name not in names.places and name not in names.insurers:
            place += 1
            continue
        insures = bool(_INSURER.match(example.text, place))
        new = chosen.setdefault((name, insures), rng.choice(INSURERS if insures else real_places()))
        edits.append(Edit(place, place + 2, new))
        place += 2
    return apply_edits(example, edits)


def with_invented_names(text: str, names: Names, rng: random.Random) -> str:
    """A real text with invented names in place of real places and insurers, one for one."""
    places, insurers = sorted(names.places), sorted(names.insurers)
    chosen: dict[str, str] = {}

    def new(match: re.Match[str]) -> str:
        pool = insurers if match.lastgroup == "insurer" else places
        return chosen.setdefault(match.group(), rng.choice(pool)) if pool else match.group()

    return _real_names().sub(new, text)


@lru_cache(maxsize=1)
def _real_names() -> re.Pattern[str]:
    longest_first = (sorted(names, key=len, reverse=True) for names in (INSURERS, real_places()))
    insurers, places = map("|".join, longest_first)
    return re.compile(f"(?P<insurer>(?:{insurers})(?={_SUFFIX}))|(?P<place>{places})")
