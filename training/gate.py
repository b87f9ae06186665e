"""The gate before a new model bundle: it replaces the old one only if it is not worse on the frozen test split.

Both bundles judge the same documents through the same checker; the difference of each figure comes with a 95% interval
from resampling groups of documents in pairs. Worse means that the whole interval lies below `-margin`, or that a figure
fell by more than `hard` whatever its interval.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nlp_compliance.checker import build_checker
from nlp_compliance.records import CATEGORY_LABELS, MISSING_LABELS, VIOLATION_LABELS
from nlp_compliance.settings import Settings
from training.corpus import Example, load_split
from training.judged import Judged, categories, judge
from training.metrics import gap_interval, indicator, macro_f1

Labels = npt.NDArray[np.bool_]


def _calm(found: Labels, truth: Labels) -> float:
    """Share of documents without violation that raise no alarm: higher is better, like the other figures."""
    clean = ~truth.any(axis=1)
    return 1.0 - float(found[clean].any(axis=1).mean()) if clean.any() else 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """`score` of the labels found and the true ones, both of shape (documents, len(labels)); `of` a document's violations."""

    labels: Sequence[str]
    score: Callable[[Labels, Labels], float] = macro_f1
    of: Callable[[frozenset[str]], frozenset[str]] = frozenset

    def table(self, sets: Sequence[frozenset[str]]) -> Labels:
        return indicator([self.of(s) for s in sets], self.labels)


FIGURES: dict[str, Figure] = {
    "macro F1, 3 categories": Figure(tuple(CATEGORY_LABELS), of=categories),
    "macro F1, 12 violation labels": Figure(VIOLATION_LABELS),
    "macro F1, missing_*": Figure(MISSING_LABELS),
    "without false alarm": Figure(VIOLATION_LABELS, _calm),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure of the old and the new bundle; `low` and `high` bound new minus old."""

    name: str
    old: float
    new: float
    low: float
    high: float

    def worse(self, *, margin: float, hard: float) -> bool:
        return self.high < -margin or self.new - self.old < -hard


def compare(old: Sequence[Judged], new: Sequence[Judged], *, rounds: int = 200) -> list[Verdict]:
    """Every figure with its paired bootstrap interval; both sequences hold the same documents in the same order."""
    found, truth = [[j.found for j in side] for side in (old, new)], [j.truth for j in old]
    groups = [j.example.group for j in old]
    verdicts = []
    for name, figure in FIGURES.items():
        before, after, true = (figure.table(sets) for sets in (*found, truth))
        interval = gap_interval(before, after, true, groups, rounds=rounds, score=figure.score)
        verdicts.append(Verdict(name, figure.score(before, true), figure.score(after, true), *interval))
    return verdicts


def report(verdicts: Sequence[Verdict], *, margin: float, hard: float) -> list[str]:
    lines = ["| figure | old | new | new − old, 95% | |", "|---|--:|--:|---|---|"]
    for v in verdicts:
        mark = "worse" if v.worse(margin=margin, hard=hard) else "ok"
        lines.append(f"| {v.name} | {v.old:.3f} | {v.new:.3f} | {v.low:+.3f} to {v.high:+.3f} | {mark} |")
    return lines


def judged_by(bundle: Path, examples: Sequence[Example]) -> list[Judged]:
    """The documents judged by the product with this bundle."""
    return judge(build_checker(Settings(bundle=bundle)), examples)


def install(new: Path, old: Path) -> None:
    """Put the new bundle in place of the old, which is kept beside it until the new one stands."""
    kept = old.with_name(old.name + ".old")
    if old.exists():
        old.rename(kept)
    shutil.copytree(new, old)
    shutil.rmtree(kept, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.gate", description=__doc__.split("\n")[0])
    parser.add_argument("new", type=Path, help="bundle folder of training.export")
    parser.add_argument("--old", type=Path, default=Settings().bundle, help="bundle folder in use")
    parser.add_argument("--margin", type=float, default=0.0, help="an interval wholly below minus this is worse")
    parser.add_argument("--hard", type=float, default=0.02, help="a figure may fall by this much at most")
    parser.add_argument("--install", action="store_true", help="replace the old bundle if the new one is not worse")
    args = parser.parse_args(argv)
    for bundle in (args.new, args.old):
        if not (bundle / "manifest.json").is_file():
            print(f"{bundle}: no bundle there; a bundle folder holds manifest.json", file=sys.stderr)
            return 2
    examples = load_split("test")
    verdicts = compare(judged_by(args.old, examples), judged_by(args.new, examples))
    print("\n".join(report(verdicts, margin=args.margin, hard=args.hard)))
    if any(v.worse(margin=args.margin, hard=args.hard) for v in verdicts):
        print("not replaced: the new bundle is worse")
        return 1
    if args.install:
        install(args.new, args.old)
        print(f"replaced: {args.old}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
