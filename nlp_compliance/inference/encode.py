"""Characters to model inputs: one token for a character of normal text, long texts in overlapping windows."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlp_compliance.records import Span


@dataclass(frozen=True, slots=True)
class CharacterTable:
    """Token id of every code point below `len(ids)`; everything else is `unknown`."""

    ids: npt.NDArray[np.int64]
    pad: int
    unknown: int
    first: int
    last: int

    def encode(self, text: str) -> npt.NDArray[np.int64]:
        """Token ids of `text`, shape (len(text),), without `[CLS]` and `[SEP]`."""
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        return np.where(codes < len(self.ids), self.ids[np.minimum(codes, len(self.ids) - 1)], self.unknown)


def load_characters(tokenizer_path: Path) -> CharacterTable:
    """The lookup table of a `tokenizer.json` that has one entry per character (training/tokenizer.py)."""
    spec = json.loads(tokenizer_path.read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    single = {ord(token): i for token, i in vocabulary.items() if len(token) == 1}
    ids = np.full(max(single) + 1, vocabulary["[UNK]"], dtype=np.int64)
    ids[list(single)] = list(single.values())
    for code in range(ord("A"), ord("Z") + 1):
        ids[code] = ids[code + 32]
    for fold in spec["normalizer"]["normalizers"]:
        if fold["type"] == "Replace":
            ids[ord(fold["pattern"]["String"])] = vocabulary.get(fold["content"], vocabulary["[UNK]"])
    return CharacterTable(ids, vocabulary["[PAD]"], vocabulary["[UNK]"], vocabulary["[CLS]"], vocabulary["[SEP]"])


def windows(length: int, sentences: Sequence[Span], *, max_chars: int, overlap: int) -> list[Span]:
    """Spans of normal text that cover [0, length), each at most `max_chars` long, cut at sentence ends where possible.

    Neighbours share about `overlap` characters, so that a claim cut by one window is whole in the next.
    """
    if length <= max_chars:
        return [Span(0, length)] if length else []
    ends = sorted({s.end for s in sentences if 0 < s.end < length})
    out: list[Span] = []
    start = 0
    while True:
        limit = start + max_chars
        if limit >= length:
            out.append(Span(start, length))
            return out
        end = _last_at_most(ends, limit, above=start + max_chars // 2) or limit
        out.append(Span(start, end))
        start = _last_at_most(ends, end - overlap, above=start) or max(end - overlap, start + 1)


def _last_at_most(values: Sequence[int], limit: int, *, above: int) -> int | None:
    i = bisect_right(values, limit) - 1
    return values[i] if i >= 0 and values[i] > above else None


def framed(row: npt.NDArray[np.int64], table: CharacterTable) -> npt.NDArray[np.int64]:
    """Input ids of one window, shape (1, len(row) + 2)."""
    return np.concatenate([[table.first], row, [table.last]])[np.newaxis]
