"""Speed changes nothing: the product finds what its plainest reading finds (tests/detect/reference.py)."""

from dataclasses import asdict, replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_compliance.checker import Checker
from nlp_compliance.detect.ensemble import EnsembleDetector
from nlp_compliance.inference.features import feature_ids, ngram_ids, sentence_feature_ids
from nlp_compliance.records import Document
from nlp_compliance.text.parse import parse
from nlp_compliance.text.words import words
from tests.detect.reference import ReferenceLinear, ReferenceNeural, features, jieba_tokenizer
from training.corpus import load_split

AS_OF = date(2026, 11, 1)
BUCKETS = 1 << 17


class Remembering:
    """A scorer that reads a document once, so that both detectors judge the same logits."""

    def __init__(self, scorer):
        self.bundle, self._scorer, self._known = scorer.bundle, scorer, {}

    def score(self, documents):
        for parsed in documents:
            if parsed.normal not in self._known:
                self._known[parsed.normal] = self._scorer.score([parsed])[0]
        return [self._known[parsed.normal] for parsed in documents]


@pytest.fixture(scope="module")
def both(checker):
    """The product and its plain reading, on the same logits."""
    lexical, joined = checker.detectors
    scorer = Remembering(joined.encoder.scorer)
    encoder = type(joined.encoder)(scorer)
    plain = ReferenceLinear(joined.linear.model, jieba_tokenizer().lcut)

    def of(neural, linear, blend):
        detectors = [lexical, EnsembleDetector(neural, linear, blend)]
        return Checker(detectors, checker.rulebook, thresholds=checker.thresholds)

    everything_read = replace(joined.blend, clear=0.0)
    return of(encoder, joined.linear, joined.blend), of(ReferenceNeural(scorer), plain, everything_read)


def told(report, *, sure=False):
    """A report with scores as far as they are shown; only what is `sure` leaves out what asks for a person."""
    return (
        [(asdict(f) | {"score": round(f.score, 3)}) for f in report.findings if not (sure and f.review)],
        report.duties,
        report.promotional.value,
    )


@pytest.mark.parametrize("split", ["validation", "test"])
def test_same_findings(both, split, request):
    step = 1 if request.config.getoption("--slow") else 24
    documents = [Document(e.id, e.text) for e in load_split(split)[::step]]
    fast, plain = (checker.check_many(documents, as_of=AS_OF) for checker in both)
    for document, a, b in zip(documents, fast, plain, strict=True):
        # A text that the product clears of promotion unread scores nothing and asks nobody.
        unread = not any(a.scores.values())
        assert told(a, sure=unread) == told(b, sure=unread), document.id
        assert unread or a.scores == pytest.approx(b.scores, abs=2e-4), document.id


def test_same_findings_in_one_long_document(both):
    text = "\n".join(e.text for e in load_split("validation")[:200])
    fast, plain = (checker.check(Document("long", text), as_of=AS_OF) for checker in both)
    assert len(text) > 6_000 and told(fast) == told(plain)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="政府兜底医保报销赔一二，。！ \n12.5%ab…|", max_size=200))
def test_features_of_sentences_together_are_those_of_each(text):
    parsed = parse(Document("", text))
    if not parsed.sentences:
        return
    texts = [parsed.normal[s.start : s.end] for s in parsed.sentences]
    together = sentence_feature_ids(
        ngram_ids(parsed.normal, BUCKETS), parsed.sentences, [words(t) for t in texts], BUCKETS
    )
    for own, ids in zip(texts, together, strict=True):
        assert ids.tolist() == feature_ids(own, words(own), BUCKETS).tolist()
        assert ids.tolist() == sorted(features(own, words(own), BUCKETS))


def test_the_first_of_two_equal_runs_is_taken():
    from nlp_compliance.inference.linear import _best_run

    assert _best_run([1.0, -2.0, 1.0]) == (0, 1)
    assert _best_run([-1.0, -3.0]) == (0, 1)
    assert _best_run([0.5, 0.5, -0.2, 0.4]) == (0, 4)


def test_a_long_text_is_scored_in_parts_that_leave_nothing_out(both):
    """More sentences than are scored together, the claim in the last one."""
    checker = both[0]
    text = "今天天气不错。" * 600 + "本产品由政府兜底，什么病都赔，扫码投保。"
    (hits,) = checker.detectors[1].linear.detect([parse(Document("", text))])
    assert any(h.span is not None and h.span.end > len(text) - 20 for h in hits)
    assert all(0.0 <= h.score <= 1.0 for h in hits) and not np.isnan([h.score for h in hits]).any()
