"""Groups near copies among all documents of a scan: MinHash with banding, joined by union-find.

Whether a text has findings does not matter here: a copy from which a forbidden word was taken belongs to its origin.
So every document counts, and only its sketch is kept, 128 bytes. Forming groups takes some 60 bytes a document more for
the sort, and some 200 for each that has a copy.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nlp_compliance.scan.worker import MINHASH_PERMUTATIONS

# Share of the values of two sketches that must agree for their texts to count as one copy.
_NEAR = 0.7
# The sketch is cut into bands of this many values; texts that share a band are compared with the first that has it.
_BAND = 4
_HEX = 8 * MINHASH_PERMUTATIONS
_COMPARED = 65_536


class Sketches:
    """The MinHashes of documents, numbered as they were added."""

    def __init__(self) -> None:
        self._values = bytearray()

    def __len__(self) -> int:
        return len(self._values) * 2 // _HEX

    def add(self, minhash: str) -> bool:
        """Adds a sketch as `scan` writes it; says whether it is one."""
        if len(minhash) != _HEX:
            return False
        self._values += bytes.fromhex(minhash)
        return True

    def groups(self) -> list[list[int]]:
        """Numbers of the documents that are near copies of each other, two or more in a group, ascending."""
        values = np.frombuffer(self._values, dtype=">u4").reshape(-1, MINHASH_PERMUTATIONS)
        parent = array("I", range(len(values)))

        def root(i: int) -> int:
            while parent[i] != i:
                parent[i] = parent[parent[i]]
                i = parent[i]
            return i

        copies: set[int] = set()
        for start in range(0, MINHASH_PERMUTATIONS, _BAND):
            for one, other in _alike(values, start):
                copies |= {one, other}
                one, other = root(one), root(other)
                parent[max(one, other)] = min(one, other)
        found: dict[int, list[int]] = {}
        for number in sorted(copies):
            found.setdefault(root(number), []).append(number)
        return list(found.values())


def _alike(values: NDArray[np.uint32], start: int) -> Iterator[tuple[int, int]]:
    """(document, first document with the same band) of near copies; `values` has a row of 32 for each document."""
    if not len(values):
        return
    keys = np.ascontiguousarray(values[:, start : start + _BAND]).view(">u8").astype(np.uint64)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    begins = np.concatenate(([True], (ordered[1:] != ordered[:-1]).any(axis=1)))
    # The sort is stable, so the first of equal keys is the earliest document.
    first = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    others = np.flatnonzero(~begins)
    for at in range(0, len(others), _COMPARED):
        chosen = others[at : at + _COMPARED]
        one, other = order[chosen], first[chosen]
        near = (values[one] == values[other]).sum(axis=1) >= _NEAR * MINHASH_PERMUTATIONS
        yield from zip(one[near].tolist(), other[near].tolist(), strict=True)
