"""Normal text with a map back: what evasions, scrapes and picture readers do to characters is undone.

Folded one by one: width and compatibility forms, case, traditional to simplified, radicals, middle dots. Removed:
zero-width and format characters, one separator repeated between Chinese characters (政 府 兜 底), one character a line,
pinyin glosses in brackets, doubled anti-copy punctuation, repeated blanks. A pictograph that people write for a word is
read as that word (🏥 for 医院); any other between Chinese characters is removed. Chinese punctuation stays
full-width; ASCII punctuation next to Chinese becomes full-width.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import opencc

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_PICTOGRAPH = "\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_KEPT_WIDE = frozenset("，。！？：；（）【】「」『』《》、～·“”‘’…—")
_FORMAT = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20dd-\u20e4\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_WIDE = str.maketrans(",!?:;()", "，！？：；（）")
_ENTITY = re.compile(r"&(?:#x[0-9a-fA-F]{1,6}|#\d{1,7}|nbsp|amp|lt|gt|quot|ldquo|rdquo|mdash|hellip);")

_ASCII_MARK = re.compile(
    rf"(?<=[{_HAN}“”」』》）%％\d])[,!?:;](?=[{_HAN}“「『《（\s\d]|$)"
    rf"|(?<![a-z0-9])[,!?:;](?=[{_HAN}“「『《])"
    rf"|(?<=[{_HAN}])[()]|[()](?=[{_HAN}])"
)
_SEPARATED = re.compile(rf"[{_HAN}]([ \t·.\-_/|*~^+=#'、,，]{{1,2}}|[{_PICTOGRAPH}]+)[{_HAN}](?:\1[{_HAN}])+")
_WEDGED = re.compile(rf"(?<=[{_HAN}])[_*^{_PICTOGRAPH}]{{1,3}}(?=[{_HAN}])")
# A text written downwards: at least four lines of one Chinese character each.
_DOWNWARDS = re.compile(rf"(?:(?<=\n)|^)[{_HAN}](?:\n[{_HAN}]){{3,}}(?=\n|$)")
# Pictographs that stand for a word in posts; what as often only decorates is left out.
WORDS_OF_PICTOGRAPHS = {
    "💰": "钱", "💴": "钱", "💵": "钱", "💸": "钱", "🪙": "钱", "🏥": "医院", "💊": "药", "🏛": "政府", "🇨🇳": "国家",
    "🏠": "房", "🏡": "房", "🏘": "房", "🛡": "保", "💯": "百", "🎁": "礼", "🧧": "红包", "🆓": "免费", "👑": "王", "🥇": "第一",
    "🔙": "还", "👶": "娃", "👴": "爷", "👵": "奶", "👮": "警", "🚗": "车", "🤰": "孕", "🦷": "牙", "☂": "伞", "🌂": "伞",
    "☔": "伞", "🦀": "癌", "🐮": "牛", "🙅": "不", "❌": "不", "🚫": "不", "🏢": "公司", "🏦": "银行", "🤒": "病", "😷": "病",
    "🦠": "病", "💳": "卡", "📈": "涨", "📉": "跌", "➕": "加", "🟰": "等于", "🔚": "末", "🔝": "顶", "🕳": "坑", "🚪": "门",
    "🐷": "猪", "🐔": "鸡", "🥚": "蛋", "🍚": "米", "🐟": "鱼", "🍵": "茶", "☕": "咖啡", "🌙": "月", "🗑": "垃圾", "💩": "屎",
    "👩⚕": "医生", "👨⚕": "医生", "👩💼": "干部", "👨💼": "干部", "👤": "人", "👥": "人",
}  # fmt: skip
_WORD = re.compile("|".join(map(re.escape, sorted(WORDS_OF_PICTOGRAPHS, key=len, reverse=True))))
_SYLLABLE = r"(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?[aeiouüvāáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ]{1,3}(?:ng|n|r)?[1-4]?"
_GLOSS = re.compile(rf"(?<=[{_HAN}])[(（]\s*(?:{_SYLLABLE}[\s']*){{1,8}}[)）]")
_DOUBLED = re.compile(r"[,，](?=[,，。])|[。](?=[。，,])")
_BLANKS = re.compile(r"[^\S\n]+(?=[^\S\n])|(?<=\n)[^\S\n]+|[^\S\n]+(?=\n)|\n(?=\n)")


@dataclass(frozen=True, slots=True)
class Normal:
    """`text[i]` stands for the original code points [starts[i], ends[i]); both arrays are int32, never decreasing."""

    text: str
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]


def normalise(text: str) -> Normal:
    """The normal form of `text`. Deterministic and linear in length; an empty text stays empty."""
    normal = _folded(text)
    for pattern in (_GLOSS, _FORMAT):
        normal = _without(normal, _matches(pattern, normal.text))
    normal = Normal(_ASCII_MARK.sub(lambda m: m.group().translate(_WIDE), normal.text), normal.starts, normal.ends)
    normal = _without(normal, _separator_runs(normal.text))
    normal = _read(normal)
    for pattern in (_WEDGED, _DOUBLED, _BLANKS):
        normal = _without(normal, _matches(pattern, normal.text))
    return _without(normal, _margins(normal.text))


def _margins(text: str) -> list[tuple[int, int]]:
    """Blanks before and after the text: a file ends with a line end, and a reader of the text would see it."""
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    return [(a, b) for a, b in ((0, first), (max(first, last), len(text))) if a < b]


def _matches(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    return [m.span() for m in pattern.finditer(text)]


def _separator_runs(text: str) -> list[tuple[int, int]]:
    """The separators inside runs of at least three Chinese characters that the same separator keeps apart."""
    out = []
    for match in _SEPARATED.finditer(text):
        separator = match.group(1)
        place = match.start() + 1
        while place < match.end():
            out.append((place, place + len(separator)))
            place += len(separator) + 1
    for match in _DOWNWARDS.finditer(text):
        out += [(place, place + 1) for place in range(match.start() + 1, match.end(), 2)]
    return sorted(out)


def _read(normal: Normal) -> Normal:
    """Pictographs as the words they stand for; every character of the word leads back to the whole pictograph."""
    pieces: list[str] = []
    starts: list[npt.NDArray[np.int32]] = []
    ends: list[npt.NDArray[np.int32]] = []
    last = 0
    for match in _WORD.finditer(normal.text):
        word = WORDS_OF_PICTOGRAPHS[match.group()]
        pieces += [normal.text[last : match.start()], word]
        starts += [normal.starts[last : match.start()], np.repeat(normal.starts[match.start()], len(word))]
        ends += [normal.ends[last : match.start()], np.repeat(normal.ends[match.end() - 1], len(word))]
        last = match.end()
    if not last:
        return normal
    pieces.append(normal.text[last:])
    return Normal(
        "".join(pieces),
        np.concatenate([*starts, normal.starts[last:]]),
        np.concatenate([*ends, normal.ends[last:]]),
    )


def _without(normal: Normal, runs: list[tuple[int, int]]) -> Normal:
    if not runs:
        return normal
    keep = np.ones(len(normal.text), dtype=bool)
    for start, end in runs:
        keep[start:end] = False
    pieces, last = [], 0
    for start, end in runs:
        pieces.append(normal.text[last:start])
        last = end
    pieces.append(normal.text[last:])
    return Normal("".join(pieces), normal.starts[keep], normal.ends[keep])


def _folded(text: str) -> Normal:
    """Every character folded by itself; an entity such as &nbsp; is one run."""
    folds = {c: _fold(c) for c in set(text)}
    if not _ENTITY.search(text) and all(len(fold) == 1 for fold in folds.values()):
        places = np.arange(len(text) + 1, dtype=np.int32)
        changed = {ord(c): fold for c, fold in folds.items() if c != fold}
        return Normal(text.translate(changed) if changed else text, places[:-1], places[1:])
    pieces: list[str] = []
    widths: list[int] = []
    last = 0
    for match in _ENTITY.finditer(text):
        pieces += [folds[c] for c in text[last : match.start()]]
        widths += [1] * (match.start() - last)
        pieces.append("".join(_fold(c) for c in html.unescape(match.group())))
        widths.append(match.end() - match.start())
        last = match.end()
    pieces += [folds[c] for c in text[last:]]
    widths += [1] * (len(text) - last)
    ends = np.cumsum(np.array(widths, dtype=np.int32), dtype=np.int32)
    starts = ends - np.array(widths, dtype=np.int32)
    lengths = np.array([len(p) for p in pieces], dtype=np.int32)
    return Normal("".join(pieces), np.repeat(starts, lengths), np.repeat(ends, lengths))


@lru_cache(maxsize=1)
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@lru_cache(maxsize=65536)
def _fold(char: str) -> str:
    if char in _KEPT_WIDE:
        return char
    if char in "・•∙⋅‧":
        return "·"
    if char in "\r\u2028\u2029\x0b\x0c":
        return "\n"
    if char == "\u3000" or char == "\xa0":
        return " "
    folded = unicodedata.normalize("NFKC", char).lower()
    simple = _simplifier().convert(folded)
    return simple if len(simple) == len(folded) else folded
