"""The scoring path as plainly as it can be written: one sentence, one label, one character at a time.

The product computes the same with whole arrays; tests/detect/test_same_findings.py holds the two together.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import jieba
import numpy as np

from nlp_compliance.detect import linear, neural
from nlp_compliance.detect.guards import guarded
from nlp_compliance.detect.linear import _DOCUMENT_CHARS, _SHORTEST_CHARS
from nlp_compliance.detect.neural import (
    _ECHO,
    _LEAST_PROBABILITY,
    _joined,
    _trim,
    _without_crumbs,
    document_logits,
)
from nlp_compliance.records import PROMOTIONAL, VIOLATION_LABELS, Hit, Span
from nlp_compliance.settings import RESOURCES
from nlp_compliance.text.words import words


@lru_cache(maxsize=1)
def jieba_tokenizer() -> jieba.Tokenizer:
    """The segmenter with which the words of the linear model are defined."""
    tokenizer = jieba.Tokenizer()
    with (RESOURCES / "lexicon.txt").open("rb") as lexicon:
        tokenizer.load_userdict(lexicon)
    return tokenizer


def sigmoid(value):
    return np.float32(1.0 / (1.0 + np.exp(-np.clip(value, -30, 30))))


def features(text, words, buckets):
    """The set of buckets that are on for a text: n-grams of 1 to 4 characters, words, pairs of words."""
    codes = [48 if 48 <= ord(c) <= 57 else ord(c) for c in text]
    on = {zlib.crc32(w.encode()) % buckets for w in words}
    on |= {zlib.crc32(f"{a}\x1f{b}".encode()) % buckets for a, b in zip(words, words[1:], strict=False)}
    return on | {gram(codes[i : i + size], buckets) for size in (1, 2, 3, 4) for i in range(len(codes) - size + 1)}


def gram(codes, buckets):
    """A rolling hash of character codes, mixed, its top bits taken; all in 64 bits."""
    rolled = len(codes)
    for code in codes:
        rolled = (rolled * 1_000_003 + code) % 2**64
    return (rolled * 0x9E3779B97F4A7C15) % 2**64 >> (64 - (buckets.bit_length() - 1))


class ReferenceLinear:
    """What LinearDetector says, sentence by sentence."""

    name = "linear"

    def __init__(self, model, segment):
        self.model, self.segment = model, segment

    def detect(self, documents):
        return [self.hits(parsed) for parsed in documents]

    def stances(self, parsed):
        """Everything may sell, so everything is read."""
        return iter((1.0,))

    def hits(self, parsed, underlined=()):
        if not parsed.sentences:
            return [Hit(PROMOTIONAL, None, 0.0, self.name)]
        head = parsed.normal[:_DOCUMENT_CHARS]
        logit = self._sum(self.model.document_weights, head) + self.model.document_bias
        hits = [Hit(PROMOTIONAL, None, float(sigmoid(logit)), self.name)]
        best = dict.fromkeys(self.model.labels, 0.0)
        for sentence in parsed.sentences:
            text = parsed.normal[sentence.start : sentence.end]
            logits = self._sum(self.model.weights, text) + self.model.bias
            for label, logit in zip(self.model.labels, logits, strict=True):
                score = float(sigmoid(logit))
                if score < self.model.thresholds[label]:
                    best[label] = max(best[label], score)
                    continue
                start, end = (sentence.start + place for place in self._run(text, label))
                if label in VIOLATION_LABELS and guarded(parsed.normal, start, end):
                    continue
                best[label] = max(best[label], score)
                hits.append(Hit(label, parsed.original(start, end), score, self.name))
        return hits + [Hit(label, None, score, self.name) for label, score in best.items()]

    def _sum(self, weights, text):
        """The weights of all features of a text, scaled to unit length: one sum a label."""
        on = sorted(features(text, self.segment(text), len(weights)))
        return weights[on].sum(axis=0) / np.float32(np.sqrt(max(1, len(on))))

    def _run(self, text, label):
        column = self.model.labels.index(label)
        codes = [48 if 48 <= ord(c) <= 57 else ord(c) for c in text]
        weight = [0.0] * len(text)
        for size in (1, 2, 3, 4):
            for i in range(len(text) - size + 1):
                share = float(self.model.weights[gram(codes[i : i + size], self.model.buckets), column]) / size
                for place in range(i, i + size):
                    weight[place] += share
        start, end = strongest(weight)
        while start < end - 1 and text[start].isspace():
            start += 1
        while end > start + 1 and text[end - 1].isspace():
            end -= 1
        if end - start >= _SHORTEST_CHARS:
            return start, end
        return clause_around(text, start, end, linear._CLAUSE_END)


def strongest(values):
    """[start, end) of the sub-array with the greatest sum; of two equal ones the first."""
    best, run, total, start = float("-inf"), (0, len(values)), 0.0, 0
    for i, value in enumerate(values):
        if total <= 0:
            total, start = 0.0, i
        total += value
        if total > best:
            best, run = total, (start, i + 1)
    return run


class ReferenceNeural:
    """What NeuralDetector says, label by label."""

    name = "encoder"

    def __init__(self, scorer):
        self.scorer, self.bundle = scorer, scorer.bundle

    def detect(self, documents):
        return [self._hits(p, s) for p, s in zip(documents, self.scorer.score(documents), strict=True)]

    def _hits(self, parsed, scores):
        hits, stated = [], {}
        for label, logit in zip(self.bundle.document_labels, document_logits(scores).tolist(), strict=True):
            stated[label] = float(sigmoid(self.bundle.slopes[label] * logit + self.bundle.offsets[label]))
            hits.append(Hit(label, None, stated[label], self.name))
        for column, label in enumerate(self.bundle.token_labels):
            probabilities = np.array([sigmoid(x) for x in scores.tokens[:, column]], dtype=np.float32)
            if not len(probabilities):
                continue
            runs = _joined(probabilities >= self.bundle.span_thresholds[label])
            spans = [
                (_without_crumbs(parsed.normal, _trim(parsed.normal, start, end)), probabilities[start:end].max())
                for start, end in runs
                if probabilities[start:end].max() >= _ECHO * float(probabilities.max())
            ]
            if label in VIOLATION_LABELS:
                spans = [(whole_words(parsed.normal, span), score) for span, score in spans if span.start < span.end]
                spans = [(span, score) for span, score in spans if span.end - span.start >= 3]
            too_short = runs and not spans and label in VIOLATION_LABELS
            if too_short or (not runs and stated[label] >= _LEAST_PROBABILITY):
                place = int(np.argmax(scores.tokens[:, column]))
                clause = clause_around(parsed.normal, place, place, neural._CLAUSE_END)
                spans = [(_trim(parsed.normal, *clause), probabilities[place])]
            for span, score in spans:
                if span.start < span.end:
                    hits.append(Hit(label, parsed.original(span.start, span.end), float(score), self.name))
        return hits


def whole_words(text, span):
    """Every character of the clause knows the word it stands in."""
    first, last = clause_around(text, span.start, span.end, neural._CLAUSE_END)
    first, last = max(first, span.start - 40), min(last, span.end + 40)
    owner = [i for i, word in enumerate(words(text[first:last])) for _ in word]
    touched = {owner[i - first] for i in range(span.start, span.end)}
    inside = [first + i for i, word in enumerate(owner) if word in touched]
    return Span(inside[0], inside[-1] + 1)


def clause_around(text, start, end, mark):
    """Behind the last mark before `start`, up to the first one from `end` on; every mark before is looked at."""
    before = [m.end() for m in mark.finditer(text, 0, start)]
    after = mark.search(text, end)
    return before[-1] if before else 0, after.start() if after else len(text)
