"""The learning curve of the corpus: the linear model trained on growing shares of the training groups and of the bank.

Measured on the validation split, never on test. `python -m training.curve` writes `docs/figures/learning-curve.png` and
prints the points; whether more text still pays is read off the last step.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

import numpy as np

from nlp_compliance.detect.linear import LinearDetector
from nlp_compliance.inference.linear import LinearModel
from nlp_compliance.records import SPAN_LABELS, VIOLATION_LABELS
from nlp_compliance.text.words import words
from training.baseline import rows_of, thresholds, train
from training.corpus import ROOT, Example, load_sentences, load_split, share_of
from training.dataset import bank_split, parsed
from training.metrics import indicator, macro_f1
from training.plots import curve_plot

FIGURE = ROOT / "docs" / "figures" / "learning-curve.png"
SHARES = (0.25, 0.5, 0.75, 1.0)


def violation_f1(tensors: dict[str, np.ndarray], chosen: dict[str, float], held: Sequence[Example]) -> float:
    """Macro F1 of the violation labels of whole documents, stance ignored: what the sentences alone say."""
    model = LinearModel(
        labels=SPAN_LABELS,
        weights=tensors["weights"].astype(np.float32),
        bias=tensors["bias"],
        document_weights=tensors["document_weights"].astype(np.float32),
        document_bias=float(tensors["document_bias"][0]),
        thresholds=chosen,
        name="curve",
        version="0",
    )
    hits = LinearDetector(model, words).detect([parsed(e.text) for e in held])
    found = [frozenset(h.label for h in own if h.span is not None) for own in hits]
    truth = [frozenset(s.label for s in e.spans) for e in held]
    return macro_f1(indicator(found, VIOLATION_LABELS), indicator(truth, VIOLATION_LABELS))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.curve", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args(argv)
    examples, held = load_split("train"), load_split("validation")
    bank = [s for s in load_sentences() if bank_split(s) == "train"]
    random.Random(args.seed).shuffle(bank)
    rows = rows_of(held, [s for s in load_sentences() if bank_split(s) == "validation"])
    points = []
    for share in SHARES:
        part = share_of(examples, share, args.seed)
        tensors = train(part, bank[: round(len(bank) * share)], [])
        f1 = violation_f1(tensors, thresholds(tensors, rows), held)
        points.append((len(part), f1))
        print(f"{share:.0%} of the groups, {len(part)} documents: macro F1 {f1:.3f}", flush=True)
    print(f"gain of the last quarter: {100 * (points[-1][1] - points[-2][1]):.1f} points")
    curve_plot({"linear model": points}, FIGURE, x="training documents", y="macro F1, 12 violation labels (validation)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
