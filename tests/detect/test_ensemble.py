"""The blend of encoder and linear model: probabilities by weight, spans of the encoder first."""

import pytest

from nlp_compliance.detect.ensemble import EnsembleDetector, blended, log_odds
from nlp_compliance.detect.neural import _trim, _without_crumbs
from nlp_compliance.errors import BundleError
from nlp_compliance.inference.bundle import Blend
from nlp_compliance.records import Hit, Span

WEIGHTS = {"absolute_claim": (0.0, 0.5, 0.5), "pointer": (-1.0, 1.0, 0.0)}


class Says:
    """A detector with fixed hits; `model.version` as the linear detector has it."""

    name = "encoder"

    class model:  # noqa: N801
        version = "v1"

    def __init__(self, *hits):
        self.said = list(hits)

    def detect(self, documents):
        return [self.said for _ in documents]

    def hits(self, parsed, underlined=()):
        return self.said

    def stances(self, parsed):
        return iter(parsed)


def joined(encoder, linear, version="v1"):
    detector = EnsembleDetector(encoder, linear, Blend(version, WEIGHTS, {}))
    return detector.detect([(0.5,)])[0]


def test_probabilities_meet_in_log_odds():
    hits = joined(
        Says(Hit("absolute_claim", None, 0.9, "encoder"), Hit("pointer", None, 0.5, "encoder")),
        Says(Hit("absolute_claim", None, 0.1, "linear"), Hit("pointer", None, 0.99, "linear")),
    )
    by_label = {h.label: h.score for h in hits if h.span is None}
    assert by_label["absolute_claim"] == pytest.approx(0.5)
    assert by_label["pointer"] == pytest.approx(0.2689, abs=1e-3)


def test_linear_spans_stand_in_only_where_the_encoder_marked_nothing():
    hits = joined(
        Says(
            Hit("absolute_claim", None, 0.9, "encoder"),
            Hit("pointer", None, 0.9, "encoder"),
            Hit("pointer", Span(0, 2), 0.9, "encoder"),
        ),
        Says(
            Hit("absolute_claim", None, 0.9, "linear"),
            Hit("pointer", None, 0.9, "linear"),
            Hit("absolute_claim", Span(3, 5), 0.9, "linear"),
            Hit("pointer", Span(6, 8), 0.9, "linear"),
        ),
    )
    assert [(h.label, h.span) for h in hits if h.span] == [("pointer", Span(0, 2)), ("absolute_claim", Span(3, 5))]


def test_another_linear_model_is_refused():
    with pytest.raises(BundleError, match="blended with the linear model v2"):
        joined(Says(), Says(), version="v2")


def test_the_encoder_reads_only_what_may_sell():
    encoder, linear = (
        Says(Hit("absolute_claim", None, 0.9, "encoder")),
        Says(Hit("absolute_claim", None, 0.9, "linear")),
    )
    asked = []
    encoder.detect = lambda documents: asked.extend(documents) or [encoder.said for _ in documents]
    detector = EnsembleDetector(encoder, linear, Blend("v1", WEIGHTS, {}, clear=0.02))
    news, offer_at_the_end = (0.001, 0.019), (0.001, 0.02)
    cleared, read = detector.detect([news, offer_at_the_end])
    assert asked == [offer_at_the_end]
    assert [(h.label, h.span, h.score) for h in cleared] == [("promotional", None, 0.019)]
    assert read[0].label == "absolute_claim"


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_a_certain_reader_does_not_silence_the_other(certain):
    assert abs(log_odds(certain)) < 15
    assert 0.0 < blended(WEIGHTS, "absolute_claim", certain, 1.0 - certain) < 1.0


@pytest.mark.parametrize(
    ("text", "run", "kept"),
    [
        ("民保来啦！政府兜底，住院都能报", "来啦！政府兜底，住", "政府兜底"),
        ("放心，政府兜底，住院都能报", "，政府兜底，", "政府兜底"),
        ("政府兜底，住院都能报销", "政府兜底，住院都能报销", "政府兜底，住院都能报销"),
        ("有公家给咱撑腰怕啥", "公家给咱撑腰", "公家给咱撑腰"),
        ("好！赔", "好！赔", "好！赔"),
    ],
)
def test_crumbs_of_neighbouring_clauses_are_left_out(text, run, kept):
    start = text.index(run)
    span = _without_crumbs(text, _trim(text, start, start + len(run)))
    assert text[span.start : span.end] == kept
