"""Detector over the encoder: document probabilities for every label and spans where tokens carry them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nlp_compliance.detect.clauses import clause_around
from nlp_compliance.inference.bundle import Bundle
from nlp_compliance.inference.runtime import DocumentScores
from nlp_compliance.records import VIOLATION_LABELS, Hit, ParsedDocument, Span
from nlp_compliance.text.words import words

# Two runs of one label that stand this near are one claim with a comma or an emoji in it.
_JOIN_GAP_CHARS = 2
# A crumb of a neighbouring clause this short, cut off in its middle, is no part of the claim (validation split: spans
# gain a point of character F1).
_CRUMB_CHARS = 4
# Runs that are much weaker than the label's strongest one are echoes of it (validation split: a point and a third).
_ECHO = 0.75
# A violation is underlined in whole words, and fewer characters than this tell an officer nothing: then the clause is
# shown (validation split: a fifth of a point, and of 65 such crumbs among 1,047 spans one is left).
_SHORTEST_CHARS = 3
_NEAR_CHARS = 40
# Where the document says yes and no token is sure, the clause around the strongest token is shown (nearly four points).
_LEAST_PROBABILITY = 0.1
_EDGE = " \n\t，。；：、！？,.;:!?"
_CLAUSE_END = re.compile(r"[，。！？；：、\n ～~,!?;:]")


class Scorer(Protocol):
    """What the detector needs of a runtime."""

    bundle: Bundle

    def score(self, documents: Sequence[ParsedDocument]) -> list[DocumentScores]: ...


class NeuralDetector:
    """Hits with span for tokens above the threshold, and one hit without span for every label's document probability."""

    name = "encoder"

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.bundle = scorer.bundle
        self._span_thresholds = np.array([self.bundle.span_thresholds[label] for label in self.bundle.token_labels])

    def detect(self, documents: Sequence[ParsedDocument]) -> list[list[Hit]]:
        return [
            self._hits(parsed, scores) for parsed, scores in zip(documents, self.scorer.score(documents), strict=True)
        ]

    def _hits(self, parsed: ParsedDocument, scores: DocumentScores) -> list[Hit]:
        probabilities = self.document_probabilities(scores)
        hits = [Hit(label, None, score, self.name) for label, score in probabilities.items()]
        if not len(scores.tokens):
            return hits
        # Few labels are anywhere in a text: one look at the strongest token of each spares the rest their columns.
        strongest = _sigmoid(scores.tokens.max(axis=0))
        for column, label in enumerate(self.bundle.token_labels):
            logits = scores.tokens[:, column]
            found: Iterable[tuple[int, int, float]]
            if strongest[column] >= self._span_thresholds[column]:
                found = _runs(parsed.normal, logits, self.bundle.span_thresholds[label])
                if label in VIOLATION_LABELS:
                    found = _readable(parsed.normal, found) or _clause(parsed.normal, logits)
            elif probabilities[label] >= _LEAST_PROBABILITY:
                found = _clause(parsed.normal, logits)
            else:
                continue
            hits += [Hit(label, parsed.original(start, end), score, self.name) for start, end, score in found]
        return hits

    def document_probabilities(self, scores: DocumentScores) -> dict[str, float]:
        """Calibrated probability of every document label."""
        logits = document_logits(scores).tolist()
        calibrated = [
            self.bundle.slopes[label] * logit + self.bundle.offsets[label]
            for label, logit in zip(self.bundle.document_labels, logits, strict=True)
        ]
        probabilities = _sigmoid(np.array(calibrated, dtype=np.float32))
        return dict(zip(self.bundle.document_labels, probabilities.tolist(), strict=True))


def _runs(text: str, logits: npt.NDArray[np.float32], threshold: float) -> Iterator[tuple[int, int, float]]:
    """(start, end, highest probability) of every run of tokens from `threshold` on that is no echo of the strongest."""
    probabilities = _sigmoid(logits)
    least = _ECHO * float(probabilities.max())
    for start, end in _joined(probabilities >= threshold):
        if probabilities[start:end].max() < least:
            continue
        trimmed = _without_crumbs(text, _trim(text, start, end))
        if trimmed.start < trimmed.end:
            yield trimmed.start, trimmed.end, float(probabilities[start:end].max())


def _readable(text: str, runs: Iterable[tuple[int, int, float]]) -> list[tuple[int, int, float]]:
    """The runs grown to whole words, without those that are too short to be understood."""
    grown = ((*_whole_words(text, start, end), score) for start, end, score in runs)
    return [(start, end, score) for start, end, score in grown if end - start >= _SHORTEST_CHARS]


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The run grown to the borders of the words that it cuts, inside its clause as far as it is near."""
    clause = clause_around(text, start, end, _CLAUSE_END)
    near = Span(max(clause.start, start - _NEAR_CHARS), min(clause.end, end + _NEAR_CHARS))
    place, first, last = near.start, start, end
    for word in words(text[near.start : near.end]):
        if place <= start < place + len(word):
            first = place
        if place < end <= place + len(word):
            last = place + len(word)
        place += len(word)
    return first, last


def _clause(text: str, logits: npt.NDArray[np.float32]) -> Iterator[tuple[int, int, float]]:
    """The clause around the strongest token, with that token's probability."""
    place = int(logits.argmax())
    clause = clause_around(text, place, place, _CLAUSE_END)
    span = _trim(text, clause.start, clause.end)
    if span.start < span.end:
        yield span.start, span.end, float(_sigmoid(logits[place : place + 1])[0])


def document_logits(scores: DocumentScores) -> npt.NDArray[np.float32]:
    """One logit a document label, shape (n_document_labels,), before calibration.

    `promotional` comes from the document output alone, the others from the mean of the document output and the
    strongest token: the first reads stance, the second finds a short claim in a long text.
    """
    out = scores.document.copy()
    if len(scores.tokens):
        out[1:] = (out[1:] + scores.tokens.max(axis=0)) / 2
    return out


def _joined(on: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] <= _JOIN_GAP_CHARS:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _trim(text: str, start: int, end: int) -> Span:
    while start < end and text[start] in _EDGE:
        start += 1
    while end > start and text[end - 1] in _EDGE:
        end -= 1
    return Span(start, end)


def _without_crumbs(text: str, span: Span) -> Span:
    """The span without the first or last few characters where these are the rest of a clause that it does not hold."""
    start, end = span.start, span.end
    if start > 0 and not _CLAUSE_END.match(text[start - 1]):
        mark = _CLAUSE_END.search(text, start, min(end, start + _CRUMB_CHARS))
        start = mark.end() if mark and end - mark.end() >= _CRUMB_CHARS else start
    if end < len(text) and not _CLAUSE_END.match(text[end]):
        marks = list(_CLAUSE_END.finditer(text, max(start, end - _CRUMB_CHARS), end))
        end = marks[-1].start() if marks and marks[-1].start() - start >= _CRUMB_CHARS else end
    return _trim(text, start, end)


def _sigmoid(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30, 30))), dtype=np.float32)
