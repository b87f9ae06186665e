"""The linear baseline: one-vs-rest logistic regression over hashed characters and jieba words, at sentence level.

It is what the encoder has to beat, and what the product falls back to where no model bundle is present.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from nlp_compliance.inference.features import feature_ids
from nlp_compliance.records import PROMOTIONAL, SPAN_LABELS
from nlp_compliance.text.words import words
from training.calibrate import choose_thresholds
from training.corpus import ROOT, BankSentence, Example, LabelledSpan, load_sentences, load_split
from training.dataset import bank_split, parsed, read_negatives, token_targets
from training.names import invented_names, with_invented_names, with_real_names

BUNDLE = ROOT / "nlp_compliance" / "resources" / "linear"
BUCKETS = 1 << 17


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of normal text with the labels whose spans reach into it."""

    text: str
    labels: frozenset[str]


def sentence_rows(text: str, spans: Sequence[LabelledSpan]) -> Iterator[Row]:
    """The sentences of one text as the detector will see them."""
    document = parsed(text)
    targets = token_targets(document, spans)
    for sentence in document.sentences:
        on = targets[sentence.start : sentence.end].max(axis=0)
        labels = frozenset(label for label, value in zip(SPAN_LABELS, on, strict=True) if value)
        yield Row(document.normal[sentence.start : sentence.end], labels)


def rows_of(examples: Sequence[Example], bank: Sequence[BankSentence]) -> list[Row]:
    items = [(e.text, e.spans) for e in examples] + [(s.text, s.spans) for s in bank]
    return [row for text, spans in items for row in sentence_rows(text, spans)]


def matrix(texts: Sequence[str]) -> csr_matrix:
    """Binary features scaled to unit length, shape (n_texts, BUCKETS)."""
    ids = [feature_ids(text, words(text), BUCKETS) for text in texts]
    sizes = np.array([len(i) for i in ids])
    values = np.repeat(1.0 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
    pointers = np.concatenate([[0], np.cumsum(sizes)])
    return csr_matrix((values, np.concatenate(ids), pointers), shape=(len(texts), BUCKETS))


def fit(features: csr_matrix, target: np.ndarray, *, strength: float) -> tuple[np.ndarray, float]:
    """Weights of shape (BUCKETS,) and bias of one label."""
    if target.min() == target.max():
        return np.zeros(BUCKETS, dtype=np.float32), -10.0
    model = LogisticRegression(C=strength, class_weight={0: 1.0, 1: 3.0}, solver="liblinear", random_state=0)
    model.fit(features, target)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def train(examples: Sequence[Example], bank: Sequence[BankSentence], negatives: Sequence[str]) -> dict[str, np.ndarray]:
    """The tensors of the bundle; half of the texts are learned with names of the other kind (training/names.py)."""
    names, rng = invented_names(examples), random.Random(0)
    examples = [with_real_names(e, names, rng) if rng.random() < 0.5 else e for e in examples]
    negatives = [with_invented_names(t, names, rng) if rng.random() < 0.5 else t for t in negatives]
    rows = rows_of(examples, bank) + [row for text in negatives for row in sentence_rows(text, ())]
    features = matrix([r.text for r in rows])
    columns = [fit(features, np.array([label in r.labels for r in rows]), strength=30.0) for label in SPAN_LABELS]
    documents = matrix([parsed(e.text).normal[:4000] for e in examples] + list(negatives))
    stance = np.array([e.promotional for e in examples] + [False] * len(negatives))
    document_weights, document_bias = fit(documents, stance, strength=30.0)
    return {
        "weights": np.stack([w for w, _ in columns], axis=1).astype(np.float16),
        "bias": np.array([b for _, b in columns], dtype=np.float32),
        "document_weights": document_weights.astype(np.float16),
        "document_bias": np.array([document_bias], dtype=np.float32),
    }


def thresholds(tensors: dict[str, np.ndarray], rows: Sequence[Row]) -> dict[str, float]:
    """Per label, on validation sentences."""
    features = matrix([r.text for r in rows])
    logits = features @ tensors["weights"].astype(np.float32) + tensors["bias"]
    scores = 1.0 / (1.0 + np.exp(-logits))
    probabilities = {label: scores[:, i] for i, label in enumerate(SPAN_LABELS)}
    truths = {label: np.array([float(label in r.labels) for r in rows]) for label in SPAN_LABELS}
    return choose_thresholds(probabilities, truths)


def write_bundle(tensors: dict[str, np.ndarray], chosen: dict[str, float], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    manifest = {
        "name": "nlp-compliance-linear",
        "version": digest[:12],
        "labels": SPAN_LABELS,
        "thresholds": {**chosen, PROMOTIONAL: 0.5},
        "sha256": digest,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.baseline", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=BUNDLE)
    parser.add_argument("--negatives", type=Path, help="JSONL of label-free passages")
    args = parser.parse_args(argv)
    bank = load_sentences()
    tensors = train(load_split("train"), [s for s in bank if bank_split(s) == "train"], read_negatives(args.negatives))
    held = rows_of(load_split("validation"), [s for s in bank if bank_split(s) == "validation"])
    chosen = thresholds(tensors, held)
    write_bundle(tensors, chosen, args.out)
    print(f"{args.out}: {sum(p.stat().st_size for p in args.out.iterdir()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
