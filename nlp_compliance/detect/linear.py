"""Detector over the linear model: labels sentences, underlines the run that speaks most for the label."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nlp_compliance.detect.guards import guarded
from nlp_compliance.inference.linear import PROMOTIONAL, LinearModel
from nlp_compliance.records import VIOLATION_LABELS, Hit, ParsedDocument, Span

# Longer runs of text than this say nothing more about the stance of a whole document.
_DOCUMENT_CHARS = 4000
_SHORTEST_CHARS = 4
_CLAUSE_END = re.compile(r"[，。！？；：、\s,!?;:]")


class LinearDetector:
    """`segment(text)` gives the words of normal text; it must be the one used in training."""

    name = "linear"

    def __init__(self, model: LinearModel, segment: Callable[[str], list[str]]) -> None:
        self.model = model
        self.segment = segment

    def detect(self, documents: Sequence[ParsedDocument]) -> list[list[Hit]]:
        return [self._detect(parsed) for parsed in documents]

    def _detect(self, parsed: ParsedDocument) -> list[Hit]:
        if not parsed.sentences:
            return [Hit(PROMOTIONAL, None, 0.0, self.name)]
        head = parsed.normal[:_DOCUMENT_CHARS]
        hits = [Hit(PROMOTIONAL, None, self.model.promotional_score(head, self.segment(head)), self.name)]
        best = dict.fromkeys(self.model.labels, 0.0)
        for sentence in parsed.sentences:
            text = parsed.normal[sentence.start : sentence.end]
            scores = self.model.sentence_scores(text, self.segment(text))
            for label, score in zip(self.model.labels, scores.tolist(), strict=True):
                if score < self.model.thresholds[label]:
                    best[label] = max(best[label], score)
                    continue
                run = self._strongest_run(text, label)
                start, end = sentence.start + run.start, sentence.start + run.end
                # Single words carry the score, so the model hears a denial as the claim it denies.
                if label in VIOLATION_LABELS and guarded(parsed.normal, start, end):
                    continue
                best[label] = max(best[label], score)
                hits.append(Hit(label, parsed.original(start, end), score, self.name))
        return hits + [Hit(label, None, score, self.name) for label, score in best.items()]

    def _strongest_run(self, text: str, label: str) -> Span:
        start, end = self.model.strongest_run(text, label)
        while start < end - 1 and text[start].isspace():
            start += 1
        while end > start + 1 and text[end - 1].isspace():
            end -= 1
        return Span(start, end) if end - start >= _SHORTEST_CHARS else _clause(text, start, end)


def _clause(text: str, start: int, end: int) -> Span:
    """The clause around a run that is too short to be understood by itself."""
    before = [m.end() for m in _CLAUSE_END.finditer(text, 0, start)]
    after = _CLAUSE_END.search(text, end)
    return Span(before[-1] if before else 0, after.start() if after else len(text))
