"""Hashed features of the linear model: character n-grams and jieba words. Training and serving share this one function."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

NGRAM_SIZES = (1, 2, 3, 4)
_PRIME = np.uint64(1_000_003)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def ngram_ids(text: str, buckets: int) -> list[npt.NDArray[np.int64]]:
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


def word_ids(words: Sequence[str], buckets: int) -> npt.NDArray[np.int64]:
    """Bucket of every word and of every pair of neighbouring words."""
    grams = [*words, *(a + "\x1f" + b for a, b in zip(words, words[1:], strict=False))]
    return np.array([zlib.crc32(g.encode()) % buckets for g in grams], dtype=np.int64)


def feature_ids(text: str, words: Sequence[str], buckets: int) -> npt.NDArray[np.int64]:
    """The distinct buckets that are on for `text`, ascending, shape (n,)."""
    return np.unique(np.concatenate([*ngram_ids(text, buckets), word_ids(words, buckets)]))
