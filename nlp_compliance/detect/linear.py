"""Detector over the linear model: labels sentences, underlines the run that speaks most for the label."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from nlp_compliance.detect.clauses import clause_around
from nlp_compliance.detect.guards import guarded
from nlp_compliance.inference.linear import LinearModel
from nlp_compliance.records import PROMOTIONAL, VIOLATION_LABELS, Hit, ParsedDocument, Span

# Longer runs of text than this say nothing more about the stance of a whole document.
_DOCUMENT_CHARS = 4000
_PIECE_CHARS = 1000
_SHORTEST_CHARS = 4
# Scored together: enough that a call costs little, few enough that memory does not grow with the text.
_SENTENCES_AT_ONCE = 256
_CLAUSE_END = re.compile(r"[，。！？；：、\s,!?;:]")


class LinearDetector:
    """`segment(text)` gives the words of normal text; it must be the one used in training."""

    name = "linear"

    def __init__(self, model: LinearModel, segment: Callable[[str], list[str]]) -> None:
        self.model = model
        self.segment = segment
        self._thresholds = np.array([model.thresholds[label] for label in model.labels])

    def detect(self, documents: Sequence[ParsedDocument]) -> list[list[Hit]]:
        return [self.hits(parsed) for parsed in documents]

    def hits(self, parsed: ParsedDocument, underlined: Collection[str] = ()) -> list[Hit]:
        """One hit without span for every label, and spans; labels that somebody else `underlined` may lack theirs."""
        if not parsed.sentences:
            return [Hit(PROMOTIONAL, None, 0.0, self.name)]
        hits = [Hit(PROMOTIONAL, None, self._stance(parsed.normal[:_DOCUMENT_CHARS]), self.name)]
        best = dict.fromkeys(self.model.labels, 0.0)
        for first in range(0, len(parsed.sentences), _SENTENCES_AT_ONCE):
            hits += self._marked(parsed, parsed.sentences[first : first + _SENTENCES_AT_ONCE], best, underlined)
        return hits + [Hit(label, None, score, self.name) for label, score in best.items()]

    def stances(self, parsed: ParsedDocument) -> Iterator[float]:
        """Probability of promotion of every piece of a text; in small pieces a short offer in a long article weighs something."""
        for start in range(0, len(parsed.normal), _PIECE_CHARS):
            yield self._stance(parsed.normal[start : start + _PIECE_CHARS])

    def _stance(self, text: str) -> float:
        return self.model.promotional_score(text, self.segment(text))

    def _marked(
        self, parsed: ParsedDocument, sentences: Sequence[Span], best: dict[str, float], underlined: Collection[str]
    ) -> Iterator[Hit]:
        """Hits in neighbouring sentences; raises `best` to the highest score of every label."""
        offset = sentences[0].start
        text = parsed.normal[offset : sentences[-1].end]
        spans = [Span(s.start - offset, s.end - offset) for s in sentences]
        grams = self.model.grams(text)
        scores = self.model.sentence_scores(grams, spans, [self.segment(text[s.start : s.end]) for s in spans])
        over = scores >= self._thresholds
        for label, score in zip(self.model.labels, np.where(over, 0.0, scores).max(axis=0).tolist(), strict=True):
            best[label] = max(best[label], score)
        for row, column in np.argwhere(over).tolist():
            label, score = self.model.labels[column], float(scores[row, column])
            if label in underlined and label not in VIOLATION_LABELS:
                # The run decides nothing here: only a violation can be taken back by the words around it.
                best[label] = max(best[label], score)
                continue
            run = _readable(text, self.model.strongest_run(grams, spans[row], label), spans[row])
            start, end = offset + run.start, offset + run.end
            # Single words carry the score, so the model hears a denial as the claim it denies.
            if label in VIOLATION_LABELS and guarded(parsed.normal, start, end):
                continue
            best[label] = max(best[label], score)
            yield Hit(label, parsed.original(start, end), score, self.name)


def _readable(text: str, run: Span, sentence: Span) -> Span:
    """A run without blanks at its ends; one that is too short to be understood grows to its clause."""
    start, end = run.start, run.end
    while start < end - 1 and text[start].isspace():
        start += 1
    while end > start + 1 and text[end - 1].isspace():
        end -= 1
    if end - start >= _SHORTEST_CHARS:
        return Span(start, end)
    clause = clause_around(
        text[sentence.start : sentence.end], start - sentence.start, end - sentence.start, _CLAUSE_END
    )
    return Span(sentence.start + clause.start, sentence.start + clause.end)
