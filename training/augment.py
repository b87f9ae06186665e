"""Label-preserving changes of training documents; offsets are carried, everything is seeded by the caller's `Random`.

Used in training only, never on validation or test. Every change is a list of edits on the text; spans follow the
edits, so that a span still covers what was written in its place.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import opencc
from pypinyin import Style, lazy_pinyin

from nlp_compliance.records import VIOLATION_LABELS, missing_labels
from nlp_compliance.text.normalise import WORDS_OF_PICTOGRAPHS
from nlp_compliance.text.words import words
from training.corpus import BankSentence, Example, LabelledSpan


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace code points [start, end) by `text`; edits of one list are ordered and do not overlap."""

    start: int
    end: int
    text: str


def apply_edits(example: Example, edits: Sequence[Edit]) -> Example:
    """The example with all edits made and spans carried along; spans that become empty vanish."""
    pieces: list[str] = []
    last = 0
    for edit in edits:
        pieces += [example.text[last : edit.start], edit.text]
        last = edit.end
    pieces.append(example.text[last:])
    starts = [_moved(s.start, edits, end=False) for s in example.spans]
    ends = [_moved(s.end, edits, end=True) for s in example.spans]
    spans = [LabelledSpan(a, b, s.label) for a, b, s in zip(starts, ends, example.spans, strict=True) if a < b]
    missing = missing_labels(example.promotional, {s.label for s in spans})
    return replace(example, text="".join(pieces), spans=tuple(spans), missing=missing)


def _moved(offset: int, edits: Sequence[Edit], *, end: bool) -> int:
    """Where a border lies after the edits: inside a replaced run it goes to the outer side of the replacement."""
    shift = 0
    for edit in edits:
        if edit.end < offset or (edit.end == offset and (edit.start < offset or end is False)):
            shift += len(edit.text) - (edit.end - edit.start)
        elif edit.start < offset:
            return edit.start + shift + (len(edit.text) if end else 0)
        else:
            break
    return offset + shift


_SPLIT = {
    "保": "亻呆", "报": "扌艮", "险": "阝佥", "好": "女子", "钱": "钅戋", "政": "正攵", "赔": "贝咅", "财": "贝才",
    "补": "衤卜", "销": "钅肖", "理": "王里", "秒": "禾少", "领": "令页", "返": "辶反", "现": "王见", "国": "囗玉",
    "底": "广氐", "付": "亻寸", "唯": "口隹", "绝": "纟色", "期": "其月", "续": "纟卖", "银": "钅艮", "利": "禾刂",
}  # fmt: skip
_LOOKALIKE = {
    "未": "末", "末": "未", "己": "已", "已": "己", "士": "土", "土": "士", "人": "入", "入": "人", "日": "曰",
    "免": "兔", "第": "弟", "保": "堡", "府": "俯", "险": "检", "赔": "陪", "0": "O", "1": "l", "元": "圆", "万": "w",
    "千": "干", "财": "材", "医": "匠", "政": "攻", "官": "宫", "全": "金", "大": "太", "报": "抱", "送": "迭",
    "底": "低", "返": "反", "住": "佳", "院": "阮", "费": "贵", "贵": "费", "限": "根", "候": "侯", "级": "极",
}  # fmt: skip
_MARKS = ("🔥", "✅", "✨", "❗", "👉", "⭐", "💪", "😭", "~", "💰", "🎁", "🌟", " ", "/", "｜")
_FURNITURE_HEAD = (
    "首页 > 资讯 > 正文\n",
    "阅读 2.3万\n",
    "点击上方蓝字关注我们\n",
    "原创 编辑部\n",
    "来源：网络整理\n",
    "【打印】【关闭】字号：大 中 小\n",
)
_FURNITURE_TAIL = (
    "\n责任编辑：小柯",
    "\n点赞 在看 分享",
    "\n阅读原文",
    "\n（资料图片仅供参考）",
    "\n发布于 昨天 18:20",
    "\n上一篇 下一篇",
    "\n投诉 写留言",
)


@lru_cache(maxsize=1)
def _homophones() -> dict[str, list[str]]:
    """Common characters by sound. pypinyin is weak on context, which is what makes evasions by sound look real."""
    common = [chr(c) for c in range(0x4E00, 0x9FA6) if _gb2312_level_one(chr(c))]
    by_sound: dict[str, list[str]] = {}
    for char, sound in zip(common, lazy_pinyin(common), strict=True):
        by_sound.setdefault(sound, []).append(char)
    return {char: [o for o in group if o != char] for group in by_sound.values() for char in group}


def _gb2312_level_one(char: str) -> bool:
    try:
        return 0xB0 <= char.encode("gb2312")[0] <= 0xD7
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=1)
def _traditional() -> opencc.OpenCC:
    return opencc.OpenCC("s2t")


def _targets(example: Example, rng: random.Random) -> list[LabelledSpan]:
    spans = [s for s in example.spans if s.label in VIOLATION_LABELS] or list(example.spans)
    return rng.sample(spans, max(1, len(spans) // 2)) if spans else []


def _in_targets(example: Example, rng: random.Random, share: float, choose: Callable[[str], str | None]) -> Example:
    """Replace single characters inside some spans where `choose` offers something."""
    places = sorted({i for s in _targets(example, rng) for i in range(s.start, s.end)})
    edits = [
        Edit(i, i + 1, new) for i in places if rng.random() < share and (new := choose(example.text[i])) is not None
    ]
    return apply_edits(example, edits)


def homophones(example: Example, rng: random.Random) -> Example:
    table = _homophones()
    return _in_targets(example, rng, 0.25, lambda c: rng.choice(table[c]) if table.get(c) else None)


def lookalikes(example: Example, rng: random.Random) -> Example:
    return _in_targets(example, rng, 0.8, _LOOKALIKE.get)


def split_characters(example: Example, rng: random.Random) -> Example:
    return _in_targets(example, rng, 0.8, _SPLIT.get)


def separators(example: Example, rng: random.Random) -> Example:
    """A separator after every character of some spans."""
    mark = rng.choice([" ", "·", "-", "/", "|", "\u200b", "👉", "✨", "_", "*", "."])
    places = sorted({i for s in _targets(example, rng) for i in range(s.start, s.end - 1)})
    keep = [i for i in places if not example.text[i].isspace() and not example.text[i].isdigit()]
    return apply_edits(example, [Edit(i + 1, i + 1, mark) for i in keep])


def initials(example: Example, rng: random.Random) -> Example:
    """Some words of two to four characters by the first letters of their sounds: zf for 政府."""
    return _words_replaced(
        example, rng, 0.3, lambda word: "".join(lazy_pinyin(word, style=Style.FIRST_LETTER)) if len(word) > 1 else None
    )


def pinyin(example: Example, rng: random.Random) -> Example:
    """Some words, or one character of them, spelled out: baoxiao or 报xiao for 报销."""

    def spelled(word: str) -> str:
        sounds = lazy_pinyin(word)
        if len(sounds) != len(word) or rng.random() < 0.3:
            return rng.choice(("", "", " ")).join(sounds)
        kept = rng.randrange(len(word)) if len(word) > 1 else -1
        return "".join(word[i] if i == kept else sound for i, sound in enumerate(sounds))

    return _words_replaced(example, rng, 0.3, spelled)


def pictographs(example: Example, rng: random.Random) -> Example:
    """Words that have one are drawn, inside some spans and now and then outside them."""
    table = _pictographs()
    pattern = re.compile("|".join(sorted(table, key=len, reverse=True)))
    inside = {i for s in _targets(example, rng) for i in range(s.start, s.end)}
    edits = [
        Edit(m.start(), m.end(), rng.choice(table[m.group()]))
        for m in pattern.finditer(example.text)
        if rng.random() < (0.8 if m.start() in inside else 0.2)
    ]
    return apply_edits(example, edits)


@lru_cache(maxsize=1)
def _pictographs() -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for pictograph, word in WORDS_OF_PICTOGRAPHS.items():
        out.setdefault(word, []).append(pictograph)
    return out


def pictograph_marks(example: Example, rng: random.Random) -> Example:
    """Pictographs, slashes or blanks in place of punctuation, as posts have them."""
    marks = rng.sample(_MARKS, 3)
    edits = [
        Edit(m.start(), m.end(), rng.choice(marks))
        for m in re.finditer(r"[，。！；、]", example.text)
        if rng.random() < 0.6
    ]
    return apply_edits(example, edits)


def line_breaks(example: Example, rng: random.Random) -> Example:
    """Lines broken inside some spans, as narrow posters and evasions have them."""
    places = sorted({i for s in _targets(example, rng) for i in range(s.start + 1, s.end)})
    return apply_edits(example, [Edit(i, i, "\n") for i in places if rng.random() < 0.15])


def _words_replaced(example: Example, rng: random.Random, share: float, spell: Callable[[str], str | None]) -> Example:
    """Replace whole Chinese words of up to four characters inside some spans; at least one where there is any."""
    edits: dict[int, Edit] = {}
    for span in sorted(_targets(example, rng), key=lambda s: (s.start, s.end)):
        place, found = span.start, []
        for word in words(example.text[span.start : span.end]):
            if len(word) <= 4 and re.fullmatch("[\u4e00-\u9fff]+", word):
                found.append((place, word))
            place += len(word)
        chosen = [f for f in found if rng.random() < share] or rng.sample(found, min(1, len(found)))
        for start, word in chosen:
            new = spell(word)
            if new is not None and not any(e.start < start + len(word) and start < e.end for e in edits.values()):
                edits[start] = Edit(start, start + len(word), new)
    return apply_edits(example, [edits[start] for start in sorted(edits)])


def traditional(example: Example, rng: random.Random) -> Example:
    """The whole text in traditional characters, one for one."""
    edits = []
    for i, char in enumerate(example.text):
        new = _traditional().convert(char)
        if new != char and len(new) == 1:
            edits.append(Edit(i, i + 1, new))
    return apply_edits(example, edits)


def no_punctuation(example: Example, rng: random.Random) -> Example:
    """As speech recognition gives it: marks gone or a space in their place."""
    blank = rng.choice(["", " "])
    edits = [Edit(m.start(), m.end(), blank) for m in re.finditer(r"[，。！？；：、“”…（）]", example.text)]
    return apply_edits(example, edits)


def half_width(example: Example, rng: random.Random) -> Example:
    table = {"，": ",", "：": ":", "；": ";", "（": "(", "）": ")", "！": "!", "？": "?"}
    return apply_edits(example, [Edit(i, i + 1, table[c]) for i, c in enumerate(example.text) if c in table])


def ocr_noise(example: Example, rng: random.Random) -> Example:
    """Misread, lost and broken lines, as a poster comes out of character recognition."""
    edits = []
    for i, char in enumerate(example.text):
        roll = rng.random()
        if roll < 0.02 and char in _LOOKALIKE:
            edits.append(Edit(i, i + 1, _LOOKALIKE[char]))
        elif roll < 0.005 and not char.isspace():
            edits.append(Edit(i, i + 1, ""))
        elif char in "，。；" and roll < 0.5:
            edits.append(Edit(i, i + 1, "\n"))
    return apply_edits(example, edits)


def furniture(example: Example, rng: random.Random) -> Example:
    """Page furniture before and after the text."""
    size = len(example.text)
    head = "".join(rng.sample(_FURNITURE_HEAD, rng.randint(0, 2)))
    tail = "".join(rng.sample(_FURNITURE_TAIL, rng.randint(1, 3)))
    return apply_edits(example, [Edit(0, 0, head), Edit(size, size, tail)])


def other_numbers(example: Example, rng: random.Random) -> Example:
    """Other digits in every figure; the first digit stays above zero, so that no sum becomes nothing."""
    edits = []
    for match in re.finditer(r"\d+", example.text):
        if len(match.group()) < 4 and match.group() not in ("0", "100") and rng.random() < 0.7:
            digits = str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in match.group()[1:])
            edits.append(Edit(match.start(), match.end(), digits))
    return apply_edits(example, edits)


def sentence_bounds(text: str) -> list[tuple[int, int]]:
    """Rough sentences for moving and deleting: [start, end) with the closing mark inside."""
    bounds = [m.end() for m in re.finditer(r"[。！？!?\n]+", text)]
    edges = [0, *bounds, *([] if bounds and bounds[-1] == len(text) else [len(text)])]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if text[a:b].strip()]


def without_disclosure(example: Example, rng: random.Random) -> Example:
    """Take out one kind of disclosure with the sentences that hold it; violations and benefit claims stay."""
    kinds = sorted({s.label for s in example.spans if s.label.startswith("disclosed_")})
    if not kinds:
        return example
    kind = rng.choice(kinds)
    edits = []
    for start, end in sentence_bounds(example.text):
        inside = {s.label for s in example.spans if s.start < end and s.end > start}
        whole = all(start <= s.start and s.end <= end for s in example.spans if s.start < end and s.end > start)
        if kind in inside and whole and inside <= {kind, "pointer", "disclosed_exclusions"}:
            edits.append(Edit(start, end, ""))
    gone = apply_edits(example, edits)
    return gone if gone.text.strip() else example


@dataclass(frozen=True, slots=True)
class Donor:
    """A sentence that can be moved into a document with its spans; `sells` says whether it may stand only in promotion."""

    text: str
    spans: tuple[LabelledSpan, ...]
    sells: bool


def donors(examples: Sequence[Example], bank: Sequence[BankSentence]) -> list[Donor]:
    """Violating sentences of promotional documents, and every sentence of the bank, near misses included."""
    out = [Donor(text, tuple(spans), True) for e in examples if e.promotional for text, spans in _violating(e)]
    return out + [Donor(s.text, s.spans, bool(s.spans)) for s in bank]


def with_donor(example: Example, rng: random.Random, pool: Sequence[Donor]) -> Example:
    """Move one sentence of the pool into the document, at a border between sentences that no span crosses.

    A near miss without span may stand anywhere; a sentence with spans only in a text that sells.
    """
    donor = rng.choice(pool)
    if donor.sells and not example.promotional:
        return example
    places = [0, *(end for _, end in sentence_bounds(example.text))]
    free = [p for p in places if not any(s.start < p < s.end for s in example.spans)]
    at = rng.choice(free or [len(example.text)])
    before, after = example.text[:at], example.text[at:]
    glue = "" if not before or before[-1] in "。！？\n!?" else rng.choice("，。\n")
    tail = "" if donor.text[-1] in "。！？!?\n~～" or not after else rng.choice("。\n")
    inserted = glue + donor.text + tail
    kept = [_shifted(s, len(inserted)) if s.start >= at else s for s in example.spans]
    added = [_shifted(s, at + len(glue)) for s in donor.spans]
    spans = tuple(sorted([*kept, *added], key=lambda s: (s.start, -s.end, s.label)))
    missing = missing_labels(example.promotional, {s.label for s in spans})
    return replace(example, text=before + inserted + after, spans=spans, missing=missing)


def _shifted(span: LabelledSpan, by: int) -> LabelledSpan:
    return LabelledSpan(span.start + by, span.end + by, span.label)


def _violating(example: Example) -> list[tuple[str, list[LabelledSpan]]]:
    out = []
    for start, end in sentence_bounds(example.text):
        spans = [s for s in example.spans if s.start < end and s.end > start]
        whole = all(start <= s.start and s.end <= end for s in spans)
        if whole and end - start < 120 and any(s.label in VIOLATION_LABELS for s in spans):
            out.append((example.text[start:end], [_shifted(s, -start) for s in spans]))
    return out


# What a daily price means is decided by the rest of the text, so it makes no clause that could stand anywhere.
_DEPENDS = "misleading_price"
_CLAUSE = re.compile(r"[^，。！？；、\n!?;,~～]+")
_LONGEST_CLAUSE = 22
_GLUE = ("，", " ", "\n", "！", "/", "｜", "、", "；", "🔥", "✅", "👉", "✨", " | ", "～", "")


def clauses(examples: Sequence[Example], bank: Sequence[BankSentence]) -> tuple[list[Donor], list[Donor]]:
    """Short clauses that carry their labels by themselves: those that violate, and the others with the bank's near misses."""
    found = [Donor(s.text, s.spans, bool(s.spans)) for s in bank if len(s.text) <= _LONGEST_CLAUSE]
    for example in (e for e in examples if e.promotional and not e.disguise):
        for match in _CLAUSE.finditer(example.text):
            start, end = match.span()
            spans = [s for s in example.spans if s.start < end and s.end > start]
            if spans and end - start <= _LONGEST_CLAUSE and all(start <= s.start and s.end <= end for s in spans):
                found.append(Donor(match.group(), tuple(_shifted(s, -start) for s in spans), True))
    found = [d for d in found if all(s.label != _DEPENDS for s in d.spans)]
    violating = [d for d in found if any(s.label in VIOLATION_LABELS for s in d.spans)]
    return violating, [d for d in found if not any(s.label in VIOLATION_LABELS for s in d.spans)]


def crowd(pool: tuple[Sequence[Donor], Sequence[Donor]], rng: random.Random) -> tuple[str, list[LabelledSpan]]:
    """Three to seven clauses of the pool one after another, as a crowded post has them; nobody knows its stance."""
    violating, others = pool
    text, spans = "", []
    glue, share = rng.sample(_GLUE, 2), rng.choice((0.3, 0.6, 0.9))
    for _ in range(rng.randint(3, 7)):
        donor = rng.choice(violating if rng.random() < share else others)
        text += rng.choice(glue) if text else ""
        spans += [_shifted(s, len(text)) for s in donor.spans]
        text += donor.text.rstrip("。！!~～")
    return text, [s for s in spans if s.end <= len(text)]


CHANGES: tuple[Callable[[Example, random.Random], Example], ...] = (
    homophones,
    lookalikes,
    split_characters,
    separators,
    initials,
    pinyin,
    pictographs,
    pictograph_marks,
    line_breaks,
    traditional,
    no_punctuation,
    half_width,
    ocr_noise,
    furniture,
    other_numbers,
    without_disclosure,
)


def augment_example(example: Example, rng: random.Random, pool: Sequence[Donor], *, moved: float = 0.4) -> Example:
    """One to three random changes; a share `moved` of them move a sentence of the pool in."""
    changed = example
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < moved:
            changed = with_donor(changed, rng, pool)
        else:
            changed = rng.choice(CHANGES)(changed, rng)
    return changed
