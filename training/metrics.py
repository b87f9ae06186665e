"""Figures of the evaluation: counts per label, F1 with bootstrap intervals, character F1 of spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives, false negatives."""

    tp: int
    fp: int
    fn: int

    @property
    def support(self) -> int:
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        return self.tp / self.support if self.support else 0.0

    @property
    def f1(self) -> float:
        """0 where a label neither occurs nor is found."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 0.0


def count(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> Counts:
    """Counts over arrays of one shape."""
    return Counts(int((found & truth).sum()), int((found & ~truth).sum()), int((~found & truth).sum()))


def indicator(sets: Sequence[frozenset[str]], labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Shape (n_documents, n_labels): which document has which label."""
    return np.array([[label in s for label in labels] for s in sets], dtype=bool).reshape(len(sets), len(labels))


def macro_f1(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Mean F1 over the columns that occur in `truth`."""
    columns = [i for i in range(truth.shape[1]) if truth[:, i].any()]
    return float(np.mean([count(found[:, i], truth[:, i]).f1 for i in columns])) if columns else 0.0


def resampled(groups: Sequence[str], *, rounds: int, seed: int = 5) -> Iterator[npt.NDArray[np.intp]]:
    """Rows of `rounds` bootstrap samples that draw whole groups, since the variants of one text are not independent."""
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    parts = [np.array(m) for m in members.values()]
    for _ in range(rounds):
        yield np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))])


def bootstrap_interval(
    found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], groups: Sequence[str], *, rounds: int = 300
) -> tuple[float, float]:
    """95% interval of macro F1 over resampled groups."""
    return _middle([macro_f1(found[rows], truth[rows]) for rows in resampled(groups, rounds=rounds)])


def gap_interval(
    old: npt.NDArray[np.bool_],
    new: npt.NDArray[np.bool_],
    truth: npt.NDArray[np.bool_],
    groups: Sequence[str],
    *,
    rounds: int = 300,
    score: Callable[[npt.NDArray[np.bool_], npt.NDArray[np.bool_]], float] = macro_f1,
) -> tuple[float, float]:
    """95% interval of the score of `new` less that of `old` on the same documents, resampled in pairs."""
    return _middle(
        [score(new[rows], truth[rows]) - score(old[rows], truth[rows]) for rows in resampled(groups, rounds=rounds)]
    )


def _middle(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def character_counts(found: Sequence[tuple[int, int, str]], truth: Sequence[tuple[int, int, str]]) -> Counts:
    """Counts of (character, label) pairs of one document; spans are (start, end, label)."""
    a = {(i, label) for start, end, label in found for i in range(start, end)}
    b = {(i, label) for start, end, label in truth for i in range(start, end)}
    return Counts(len(a & b), len(a - b), len(b - a))


def add(counts: Sequence[Counts]) -> Counts:
    """The sum of counts."""
    return Counts(sum(c.tp for c in counts), sum(c.fp for c in counts), sum(c.fn for c in counts))
