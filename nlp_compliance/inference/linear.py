"""The linear baseline: sparse multi-label logistic regression over hashed features, stored as safetensors."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from nlp_compliance.errors import BundleError
from nlp_compliance.inference.features import NGRAM_SIZES, Ids, feature_ids, ngram_ids, sentence_feature_ids
from nlp_compliance.records import Span


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Weights of shape (buckets, n_labels) for sentences and (buckets, 1) for `promotional` of whole documents.

    `thresholds` are probabilities per label, chosen on the validation split.
    """

    labels: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    document_weights: npt.NDArray[np.float32]
    document_bias: float
    thresholds: dict[str, float]
    name: str
    version: str

    @property
    def buckets(self) -> int:
        return int(self.weights.shape[0])

    def grams(self, text: str) -> list[Ids]:
        """The bucket of every character n-gram of `text`, as the methods below take them."""
        return ngram_ids(text, self.buckets)

    def sentence_scores(
        self, grams: Sequence[Ids], sentences: Sequence[Span], words: Sequence[Sequence[str]]
    ) -> npt.NDArray[np.float32]:
        """Probability of every label for every sentence of a text, shape (n_sentences, n_labels)."""
        rows = sentence_feature_ids(grams, sentences, words, self.buckets)
        # Row by row: sums over one sentence stay in cache, and their order is that of the buckets.
        logits = [self.weights.take(ids, axis=0).sum(axis=0) * _scale(len(ids)) for ids in rows]
        return _sigmoid(np.stack(logits) + self.bias)

    def promotional_score(self, text: str, words: Sequence[str]) -> float:
        """Probability that a whole document promotes insurance."""
        ids = feature_ids(text, words, self.buckets)
        logit = self.document_weights[ids].sum() * _scale(len(ids)) + self.document_bias
        return float(_sigmoid(np.asarray([logit]))[0])

    def strongest_run(self, grams: Sequence[Ids], sentence: Span, label: str) -> Span:
        """The run of a sentence that speaks most for `label`: the best sub-array of per-character weight."""
        column = self.labels.index(label)
        per_char = np.zeros(sentence.end - sentence.start, dtype=np.float64)
        for size, ids in zip(NGRAM_SIZES, grams, strict=True):
            share = self.weights[ids[sentence.start : max(sentence.start, sentence.end - size + 1)], column] / size
            for offset in range(size):
                per_char[offset : offset + len(share)] += share
        start, end = _best_run(per_char.tolist())
        return Span(sentence.start + start, sentence.start + end)


def _scale(active: int) -> float:
    """Rows are scaled to unit length, so that long sentences do not score high by length alone."""
    return 1.0 / math.sqrt(max(1, active))


def _sigmoid(x: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30, 30))), dtype=np.float32)


def _best_run(values: Sequence[float]) -> tuple[int, int]:
    best, best_run, total, start = -np.inf, (0, len(values)), 0.0, 0
    for i, value in enumerate(values):
        if total <= 0:
            total, start = 0.0, i
        total += value
        if total > best:
            best, best_run = total, (start, i + 1)
    return best_run


def load_linear(folder: Path) -> LinearModel:
    """Open a linear bundle. Raises BundleError when a file is missing or its hash differs from the manifest."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        data = (folder / "weights.safetensors").read_bytes()
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{folder}: cannot be opened as a linear bundle ({error}); train one with `make baseline`"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest["sha256"]:
        raise BundleError(
            f"{folder}: weights.safetensors has hash {digest[:12]}, the manifest says {manifest['sha256'][:12]}"
        )
    tensors = load(data)
    return LinearModel(
        labels=tuple(manifest["labels"]),
        weights=tensors["weights"].astype(np.float32),
        bias=tensors["bias"].astype(np.float32),
        document_weights=tensors["document_weights"].astype(np.float32),
        document_bias=float(tensors["document_bias"][0]),
        thresholds=manifest["thresholds"],
        name=manifest["name"],
        version=manifest["version"],
    )
