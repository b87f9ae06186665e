"""What hits mean together."""

from datetime import date

import pytest

from nlp_compliance.detect.resolve import Thresholds, resolve
from nlp_compliance.records import MISSING_LABELS, Document, Hit, Span
from nlp_compliance.text.parse import parse

TEXT = "政府兜底，住院能报，详见保险条款"
DAY = date(2026, 11, 1)


def hit(label, run, score=0.9, detector="encoder", rule=None, verdict="violation"):
    start = TEXT.index(run)
    return Hit(label, Span(start, start + len(run)), score, detector, rule, verdict)


def document(label, score):
    return Hit(label, None, score, "encoder")


@pytest.fixture
def settle(rulebook):
    def run(*hits):
        return resolve(parse(Document("", TEXT)), hits, rulebook, Thresholds(), DAY)

    return run


SELLS = document("promotional", 0.95)


def test_a_text_that_does_not_sell_has_no_findings(settle):
    resolved = settle(
        document("promotional", 0.1), hit("state_underwriting", "政府兜底"), hit("benefit_claim", "住院能报")
    )
    assert resolved.findings == () and resolved.risk == "none"
    assert {d.state for d in resolved.duties} == {"not_required"}


@pytest.mark.parametrize(
    ("stance", "second", "sells"), [(0.2, 0.7, True), (0.2, 0.3, False), (0.05, 0.7, False), (0.95, 0.3, True)]
)
def test_two_likely_violations_outvote_a_low_stance_score(settle, stance, second, sells):
    resolved = settle(
        document("promotional", stance),
        document("state_underwriting", 0.8),
        document("coverage_exaggeration", second),
        hit("state_underwriting", "政府兜底"),
    )
    assert resolved.promotional.value is sells
    assert ("state_underwriting" in {f.label for f in resolved.findings}) is sells


def test_overlapping_hits_of_one_label_are_one_finding(settle):
    resolved = settle(
        SELLS,
        hit("state_underwriting", "政府兜底", 0.8),
        hit("state_underwriting", "府兜底", 0.95, "lexical", "state.underwrites"),
    )
    (finding,) = [f for f in resolved.findings if f.label == "state_underwriting"]
    assert finding.detectors == ("encoder", "lexical") and finding.rules == ("state.underwrites",)
    assert finding.score == 0.95


def test_two_labels_may_cover_the_same_characters(settle):
    resolved = settle(SELLS, hit("state_underwriting", "政府兜底"), hit("coverage_exaggeration", "政府兜底"))
    assert [f.label for f in resolved.findings] == ["coverage_exaggeration", "state_underwriting"]


@pytest.mark.parametrize(
    ("score", "found", "review"), [(0.9, True, False), (0.5, True, False), (0.4, True, True), (0.3, False, None)]
)
def test_the_review_band(settle, score, found, review):
    resolved = settle(SELLS, document("absolute_claim", score), hit("absolute_claim", "兜底", score))
    findings = [f for f in resolved.findings if f.label == "absolute_claim"]
    assert bool(findings) is found
    assert not findings or findings[0].review is review


def test_a_finding_for_a_person_weighs_one_step_less(settle):
    unsure = settle(SELLS, document("state_underwriting", 0.4), hit("state_underwriting", "政府兜底", 0.4))
    certain = settle(SELLS, document("state_underwriting", 0.9), hit("state_underwriting", "政府兜底", 0.9))
    assert (unsure.risk, certain.risk) == ("medium", "high")


def test_evidence_needed_is_information_not_risk(settle):
    resolved = settle(
        SELLS, hit("government_endorsement", "政府", 0.9, "lexical", "evidence.guidance", "evidence_needed")
    )
    (finding,) = resolved.findings
    assert finding.severity == "info" and finding.verdict == "evidence_needed" and resolved.risk == "none"


def test_a_benefit_claim_raises_every_duty_and_is_the_evidence(settle):
    resolved = settle(SELLS, hit("benefit_claim", "住院能报"))
    assert [f.label for f in resolved.findings] == list(MISSING_LABELS)
    assert all(f.start is None and [e.text for e in f.evidence] == ["住院能报"] for f in resolved.findings)
    assert resolved.risk == "high"


def test_a_pointer_lowers_but_does_not_discharge(settle):
    resolved = settle(SELLS, hit("benefit_claim", "住院能报"), hit("pointer", "详见保险条款"))
    severities = {f.label: f.severity for f in resolved.findings}
    assert severities["missing_exclusions"] == "medium" and severities["missing_insurer"] == "low"
    assert all(f.pointer_only for f in resolved.findings)


def test_pre_existing_treatment_also_discharges_exclusions(settle):
    resolved = settle(SELLS, hit("benefit_claim", "住院能报"), hit("disclosed_pre_existing", "保险条款"))
    labels = {f.label for f in resolved.findings}
    assert not labels & {"missing_exclusions", "missing_pre_existing"} and "missing_deductible" in labels


def test_without_a_model_the_stance_follows_claims_and_cues(rulebook):
    def stance(text, label, run):
        span = Span(text.index(run), text.index(run) + len(run))
        hits = [Hit(label, span, 0.9, "lexical", "r")]
        return resolve(parse(Document("", text)), hits, rulebook, Thresholds(), DAY).promotional.value

    assert stance("政府兜底，快来投保", "state_underwriting", "政府兜底")
    assert not stance("风险提示：有人说政府兜底", "state_underwriting", "政府兜底")


@pytest.mark.parametrize(
    ("rule_score", "reader", "review"),
    [(0.7, 0.02, True), (0.7, 0.4, False), (0.9, 0.02, False), (0.7, None, False)],
    ids=["nobody agrees", "the reader is near", "certain by itself", "no trained reader"],
)
def test_a_rule_alone_is_shown_to_a_person_where_the_reader_sees_nothing(settle, rule_score, reader, review):
    stated = [document("state_underwriting", reader)] if reader is not None else []
    resolved = settle(SELLS, *stated, hit("state_underwriting", "政府兜底", rule_score, "lexical", "state.underwrites"))
    (finding,) = [f for f in resolved.findings if f.label == "state_underwriting"]
    assert finding.review is review
    assert resolved.scores["state_underwriting"] == (reader if review else max(rule_score, reader or 0.0))


@pytest.mark.parametrize(
    ("rule_score", "reader", "discharged"), [(0.85, 0.02, False), (0.85, 0.4, True), (0.9, 0.02, True)]
)
def test_a_disclosure_that_only_a_rule_sees_discharges_nothing_where_the_reader_sees_none(
    settle, rule_score, reader, discharged
):
    resolved = settle(
        SELLS,
        document("disclosed_exclusions", reader),
        hit("benefit_claim", "住院能报"),
        hit("disclosed_exclusions", "详见保险条款", rule_score, "lexical", "exclusions.concrete"),
    )
    assert ("missing_exclusions" not in {f.label for f in resolved.findings}) is discharged


def test_a_rule_that_agrees_does_not_lower_the_score(settle):
    trained = (SELLS, document("state_underwriting", 0.92), hit("state_underwriting", "政府兜底", 0.7))
    (alone,) = settle(*trained).findings
    (both,) = settle(*trained, hit("state_underwriting", "政府兜底", 0.5, "lexical", "state.words")).findings
    assert both.score == alone.score == 0.92


@pytest.mark.parametrize(("surest", "sure"), [(0.7, False), (0.8, True)])
def test_a_text_is_accused_only_where_one_violation_is_sure(rulebook, surest, sure):
    hits = (
        SELLS,
        document("state_underwriting", surest),
        document("coverage_exaggeration", 0.55),
        hit("state_underwriting", "政府兜底", 0.99),
        hit("coverage_exaggeration", "住院能报", 0.99),
        hit("benefit_claim", "住院能报"),
    )
    resolved = resolve(parse(Document("", TEXT)), hits, rulebook, Thresholds({"any_violation": 0.75}), DAY)
    found = {f.label: f.review for f in resolved.findings if f.label not in MISSING_LABELS}
    assert found == {"state_underwriting": not sure, "coverage_exaggeration": not sure}
    assert not any(f.review for f in resolved.findings if f.label in MISSING_LABELS)


def test_a_word_that_is_itself_in_doubt_makes_no_other_finding_sure(rulebook):
    hits = [
        SELLS,
        document("state_underwriting", 0.05),
        document("coverage_exaggeration", 0.6),
        hit("state_underwriting", "政府兜底", 0.85, "lexical", rule="own-1"),
        hit("coverage_exaggeration", "住院能报", 0.6),
    ]
    resolved = resolve(parse(Document("", TEXT)), hits, rulebook, Thresholds({"any_violation": 0.75}), DAY)
    found = {f.label: f.review for f in resolved.findings if f.label not in MISSING_LABELS}
    assert found == {"state_underwriting": True, "coverage_exaggeration": True}


def test_a_doubtful_stance_shows_its_violations_to_a_person(settle):
    resolved = settle(
        document("promotional", 0.4), hit("state_underwriting", "政府兜底"), hit("benefit_claim", "住院能报")
    )
    assert resolved.promotional.review and not resolved.promotional.value
    assert [(f.label, f.review) for f in resolved.findings] == [("state_underwriting", True)]
    assert {d.state for d in resolved.duties} == {"not_required"}


def test_an_outvoted_stance_states_a_probability_that_the_model_gave(settle):
    resolved = settle(
        document("promotional", 0.2), document("state_underwriting", 0.8), document("coverage_exaggeration", 0.7)
    )
    assert resolved.promotional.value and resolved.promotional.score == 0.7
