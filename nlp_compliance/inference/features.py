"""Hashed features of the linear model: character n-grams and jieba words. Training and serving share these functions."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from nlp_compliance.records import Span

Ids = npt.NDArray[np.int64]
NGRAM_SIZES = (1, 2, 3, 4)
_PRIME = np.uint64(1_000_003)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def ngram_ids(text: str, buckets: int) -> list[Ids]:
    """Bucket of every character n-gram of `text` by place: one array a size, entry i for `text[i:i+size]`.

    `buckets` is a power of two. Digits count as one character, so that sums do not become features of their own.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    codes = np.where((codes >= 48) & (codes <= 57), np.uint64(48), codes)
    shift = np.uint64(64 - (buckets.bit_length() - 1))
    out = []
    for size in NGRAM_SIZES:
        count = max(0, len(codes) - size + 1)
        rolled = np.full(count, size, dtype=np.uint64)
        for offset in range(size):
            rolled = rolled * _PRIME + codes[offset : offset + count]
        out.append(((rolled * _MIX) >> shift).astype(np.int64))
    return out


def word_ids(words: Sequence[str], buckets: int) -> Ids:
    """Bucket of every word and of every pair of neighbouring words."""
    return _hashed(_grams(words), buckets)


def feature_ids(text: str, words: Sequence[str], buckets: int) -> Ids:
    """The distinct buckets that are on for `text`, ascending, shape (n,)."""
    return _distinct(np.concatenate([*ngram_ids(text, buckets), word_ids(words, buckets)]))


def sentence_feature_ids(
    grams: Sequence[Ids], sentences: Sequence[Span], words: Sequence[Sequence[str]], buckets: int
) -> list[Ids]:
    """`feature_ids` of every sentence of a text at once; `grams` are the text's `ngram_ids`, `words` each sentence's.

    A feature is counted as sentence * buckets + bucket, so that one sort makes the buckets of all sentences distinct.
    """
    owner = np.full(len(grams[0]), -1, dtype=np.int64)
    for i, sentence in enumerate(sentences):
        owner[sentence.start : sentence.end] = i
    parts = []
    for size, ids in zip(NGRAM_SIZES, grams, strict=True):
        own = owner[: len(ids)]
        inside = (own >= 0) & (own == owner[size - 1 :])
        parts.append(own[inside] * buckets + ids[inside])
    word_grams = [_grams(own) for own in words]
    owners = np.repeat(np.arange(len(sentences)), [len(g) for g in word_grams])
    parts.append(owners * buckets + _hashed(chain.from_iterable(word_grams), buckets))
    on = _distinct(np.concatenate(parts))
    borders = np.searchsorted(on, np.arange(1, len(sentences)) * buckets)
    return [ids & (buckets - 1) for ids in np.split(on, borders)]


def _grams(words: Sequence[str]) -> list[str]:
    return [*words, *(a + "\x1f" + b for a, b in zip(words, words[1:], strict=False))]


def _hashed(grams: Iterable[str], buckets: int) -> Ids:
    return np.fromiter(map(zlib.crc32, map(str.encode, grams)), dtype=np.int64) % buckets


def _distinct(ids: Ids) -> Ids:
    """Distinct values, ascending; faster than np.unique on arrays of this size."""
    ids.sort()
    keep = np.ones(len(ids), dtype=bool)
    np.not_equal(ids[1:], ids[:-1], out=keep[1:])
    return ids[keep]
