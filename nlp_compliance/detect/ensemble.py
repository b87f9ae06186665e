"""The encoder and the linear model as one detector: two readers that err differently say more together.

The document probability of a label is a logistic blend of both, fitted on the validation split when the bundle is made
(training/export.py). Spans are the encoder's; the linear model's run stands in where the encoder marked nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nlp_compliance.detect.linear import LinearDetector
from nlp_compliance.detect.neural import NeuralDetector
from nlp_compliance.errors import BundleError
from nlp_compliance.inference.bundle import Blend
from nlp_compliance.records import Hit, ParsedDocument

_SMALLEST = 1e-6


class EnsembleDetector:
    """Raises BundleError when the bundle was blended with another linear model than `linear`."""

    def __init__(self, encoder: NeuralDetector, linear: LinearDetector, blend: Blend) -> None:
        if linear.model.version != blend.linear_version:
            raise BundleError(
                f"the bundle was blended with the linear model {blend.linear_version}, found {linear.model.version}; "
                "run training.export again, or take linear out of detectors"
            )
        self.encoder = encoder
        self.linear = linear
        self.blend = blend

    def detect(self, documents: Sequence[ParsedDocument]) -> list[list[Hit]]:
        return [
            self._joined(parsed, hits) for parsed, hits in zip(documents, self.encoder.detect(documents), strict=True)
        ]

    def _joined(self, parsed: ParsedDocument, neural: Sequence[Hit]) -> list[Hit]:
        marked = [h for h in neural if h.span is not None]
        seen = {h.label for h in marked}
        linear = self.linear.hits(parsed, seen)
        first, second = document_scores(neural), document_scores(linear)
        hits = [
            Hit(label, None, blended(self.blend.weights, label, score, second[label]), self.encoder.name)
            for label, score in first.items()
        ]
        return hits + marked + [h for h in linear if h.span is not None and h.label not in seen]


def document_scores(hits: Sequence[Hit]) -> dict[str, float]:
    """The probability of every label that a detector stated for the whole document."""
    return {h.label: h.score for h in hits if h.span is None}


def blended(weights: Mapping[str, tuple[float, float, float]], label: str, first: float, second: float) -> float:
    """Probability in (0, 1) from two probabilities: weights are offset, encoder, linear, on log odds."""
    offset, encoder, linear = weights[label]
    return 1.0 / (1.0 + math.exp(-(offset + encoder * log_odds(first) + linear * log_odds(second))))


def log_odds(probability: float) -> float:
    """Bounded, so that a certain reader cannot silence the other."""
    inside = min(max(probability, _SMALLEST), 1.0 - _SMALLEST)
    return math.log(inside / (1.0 - inside))
