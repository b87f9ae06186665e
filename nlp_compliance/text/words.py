"""jieba words from a private tokenizer with the domain dictionary, so that no other user of jieba is disturbed."""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from importlib.resources import files

import jieba

_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _tokenizer() -> jieba.Tokenizer:
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # An open file, because jieba leaves a path that it opened itself to the garbage collector.
    with (files("nlp_compliance") / "resources" / "lexicon.txt").open("rb") as lexicon:
        tokenizer.load_userdict(lexicon)
    return tokenizer


def segmenter() -> jieba.Tokenizer:
    """The tokenizer, built once; building takes most of a second, so callers ask for it only when they need words."""
    with _LOCK:
        return _tokenizer()


def words(text: str) -> list[str]:
    """The words of `text` in order; joined they are `text`."""
    return list(segmenter().cut(text))


def word_bounds(text: str) -> set[int]:
    """Offsets in `text` at which a word begins or ends, 0 and len(text) included."""
    bounds, place = {0}, 0
    for word in words(text):
        place += len(word)
        bounds.add(place)
    return bounds
