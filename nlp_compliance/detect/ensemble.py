"""The encoder and the linear model as one detector: two readers that err differently say more together.

The document probability of a label is a logistic blend of both, fitted on the validation split when the bundle is made
(training/export.py). Spans are the encoder's; the linear model's run stands in where the encoder marked nothing.

Of what people scan most sells nothing. Where the linear model is sure of that everywhere in a text, nothing can be found in it
and the encoder, which takes nearly all the time, is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nlp_compliance.detect.linear import LinearDetector
from nlp_compliance.detect.neural import NeuralDetector
from nlp_compliance.errors import BundleError
from nlp_compliance.inference.bundle import Blend
from nlp_compliance.records import PROMOTIONAL, Hit, ParsedDocument

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
        cleared = [self._cleared(parsed) for parsed in documents]
        read = iter(self.encoder.detect([d for d, hit in zip(documents, cleared, strict=True) if hit is None]))
        return [
            [hit] if hit else self._joined(parsed, next(read)) for parsed, hit in zip(documents, cleared, strict=True)
        ]

    def _cleared(self, parsed: ParsedDocument) -> Hit | None:
        """The stance of a text that certainly sells nothing; None where the encoder must read it."""
        highest = 0.0
        for stance in self.linear.stances(parsed):
            highest = max(highest, stance)
            if highest >= self.blend.clear:
                return None
        return Hit(PROMOTIONAL, None, highest, self.linear.name)

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
