"""Detector over the linear model: labels sentences, underlines the run that speaks most for the label."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nlp_compliance.inference.linear import PROMOTIONAL, LinearModel
from nlp_compliance.records import Hit, ParsedDocument, Span

# Longer runs of text than this say nothing more about the stance of a whole document.
_DOCUMENT_CHARS = 4000


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
                best[label] = max(best[label], score)
                if score >= self.model.thresholds[label]:
                    hits.append(Hit(label, self._evidence(parsed, sentence, text, label), score, self.name))
        return hits + [Hit(label, None, score, self.name) for label, score in best.items()]

    def _evidence(self, parsed: ParsedDocument, sentence: Span, text: str, label: str) -> Span:
        start, end = self.model.strongest_run(text, label)
        while start < end - 1 and text[start].isspace():
            start += 1
        while end > start + 1 and text[end - 1].isspace():
            end -= 1
        return parsed.original(sentence.start + start, sentence.start + end)
