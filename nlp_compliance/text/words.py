"""jieba words from a private dictionary with the domain lexicon, so that no other user of the segmenter is disturbed.

rjieba cuts some twenty times faster than jieba and cuts Chinese runs as jieba 0.42.1 does, but not runs in which
letters or digits stand among Chinese characters. Trained weights hang on the words, so such runs are put together here
as jieba puts them together; tests/text/test_words.py compares both.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

import rjieba

_LOCK = threading.Lock()
# What jieba segments; everything else is a word of one character.
_RUN = re.compile(r"[\u4e00-\u9fd5a-zA-Z0-9+#&._%\-]+|\r\n|.", re.DOTALL)
_CHINESE = re.compile(r"[\u4e00-\u9fd5]+")
_LETTERS = re.compile(r"[a-zA-Z0-9]{2,}")
_UNKNOWN_PART = re.compile(r"[\u4e00-\u9fd5]+|[a-zA-Z0-9]+(?:\.\d+)?%?|[^\u4e00-\u9fd5a-zA-Z0-9]+")


@lru_cache(maxsize=1)
def _dictionary() -> rjieba.Jieba:
    dictionary = rjieba.Jieba()
    for line in (files("nlp_compliance") / "resources" / "lexicon.txt").read_text(encoding="utf-8").splitlines():
        word, frequency = line.split()
        dictionary.add_word(word, int(frequency), "n")
    return dictionary


def _segmenter() -> rjieba.Jieba:
    """The dictionary, built once (a tenth of a second), and only when somebody needs words."""
    with _LOCK:
        return _dictionary()


def words(text: str) -> list[str]:
    """The words of `text` in order; joined they are `text`."""
    segmenter, out = _segmenter(), []
    for run in _RUN.findall(text):
        if len(run) == 1 or run == "\r\n":
            out.append(run)
        elif _CHINESE.fullmatch(run):
            out += segmenter.cut(run)
        else:
            out += _mixed(run)
    return out


def word_bounds(text: str) -> set[int]:
    """Offsets in `text` at which a word begins or ends, 0 and len(text) included."""
    bounds, place = {0}, 0
    for word in words(text):
        place += len(word)
        bounds.add(place)
    return bounds


# As many as a document has: its head is cut as a whole, and then once more sentence by sentence.
@lru_cache(maxsize=128)
def _mixed(run: str) -> tuple[str, ...]:
    """The words of a run with letters or digits: those of the dictionary, and between them what it does not know."""
    segmenter, out, unknown = _segmenter(), list[str](), ""
    for word in segmenter.cut(run, False):
        # Without the model for unknown words, letters and digits that stand alone come joined.
        if len(word) == 1 or (_LETTERS.fullmatch(word) and not segmenter.has_word(word)):
            unknown += word
            continue
        out += [*_unknown(segmenter, unknown), word]
        unknown = ""
    return (*out, *_unknown(segmenter, unknown))


def _unknown(segmenter: rjieba.Jieba, text: str) -> Iterator[str]:
    """Single characters in a row, joined by jieba's model for unknown words, numbers and names kept whole."""
    if segmenter.has_word(text):
        yield from text
        return
    for part in _UNKNOWN_PART.findall(text):
        # The hyphen keeps the dictionary from taking the part as one of its words, which jieba does not do here.
        yield from segmenter.cut(part + "-")[:-1] if len(part) > 1 and _CHINESE.match(part) else (part,)
