"""What the hits of all detectors mean together: findings, disclosures, duties, scores.

* A violation is a finding only in a text that promotes insurance; where that is in doubt, it asks for a person. The stance comes from the model; where no model
  runs, a text sells when it makes a benefit claim or violates something and carries no cue of a report or warning.
* Hits of one label that overlap are one finding: it keeps the span of the most certain hit, the highest score, and
  the names of all that saw it.
* A score inside the review band below its threshold asks for a person instead of pretending; so does every violation
  of a text in which none is sure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from nlp_compliance.detect.disclosure import duties
from nlp_compliance.records import (
    ANY_VIOLATION,
    BENEFIT_TAG,
    CATEGORY_OF,
    LABELS,
    PROMOTIONAL,
    TAGS,
    VIOLATION_LABELS,
    Disclosure,
    Duty,
    Finding,
    Hit,
    ParsedDocument,
    Promotional,
    Risk,
    Span,
)
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.severity import LOWERED, risk_of

# A rule that is right this often needs nobody to agree with it; a company's own rule has this score by default.
CERTAIN = 0.9
# So many violations, each likelier than not, outvote a stance score that is low but not nil: one such score closed texts
# full of claims (validation split: half a point of macro F1 for one more alarm on a text that sells nothing).
_OUTVOTE, _LIKELY, _LEAST_STANCE = 2, 0.5, 0.1
# From this probability on a text that counts as none of promotion is still shown to a person.
_DOUBTFUL_STANCE = 0.3
_REPORT_CUE = re.compile(
    "风险提示|谨防|警惕|辟谣|不实信息|行政处罚|处罚决定|消费者权益保护提示|本院认为|记者(?:调查|了解|从|昨日)|特此公告|话术|第[一二三四五六七八九十百]+条"
)
_ENROL_CUE = re.compile("投保|参保|扫码|链接|私信|咨询|保费|元/年|元一年|承保")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities from which a label counts; `review_band` is the width below in which a person is asked.

    A text is accused only where its surest violation reaches `any_violation`; beside that one the others count from
    their own thresholds. On the validation split this takes away two thirds of the false alarms on promotion without
    violation (training/calibrate.py).
    """

    by_label: Mapping[str, float] = field(default_factory=dict)
    default: float = 0.5
    review_band: float = 0.15

    def of(self, label: str) -> float:
        return self.by_label.get(label, self.default)

    @property
    def any_violation(self) -> float:
        return self.by_label.get(ANY_VIOLATION, 0.0)

    def accepts(self, label: str, score: float) -> bool:
        return score >= self.of(label) - self.review_band

    def unsure(self, label: str, score: float) -> bool:
        return score < self.of(label)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything a report says about the text itself."""

    promotional: Promotional
    findings: tuple[Finding, ...]
    disclosures: tuple[Disclosure, ...]
    duties: tuple[Duty, ...]
    scores: dict[str, float]
    risk: Risk


def resolve(
    parsed: ParsedDocument, hits: Sequence[Hit], rulebook: Rulebook, thresholds: Thresholds, as_of: date
) -> Resolved:
    """The meaning of all hits on one document."""
    document_scores = _document_scores(hits)
    spans = [h for h in hits if h.span is not None]
    promotional = _promotional(parsed, spans, document_scores, thresholds)
    disclosures = _disclosures(parsed, spans, document_scores, thresholds) if promotional.value else ()
    owed = duties(promotional.value, disclosures)
    findings: list[Finding] = []
    if promotional.value or promotional.review:
        findings = _violations(parsed, spans, document_scores, rulebook, thresholds, as_of)
    if not promotional.value:
        findings = _for_review(findings)
    findings += _missing(owed, promotional, rulebook, as_of)
    return Resolved(
        promotional=promotional,
        findings=tuple(findings),
        disclosures=disclosures,
        duties=owed,
        scores=_scores(findings, document_scores),
        risk=risk_of((f.severity, f.review) for f in findings if f.verdict == "violation"),
    )


def _document_scores(hits: Iterable[Hit]) -> dict[str, float]:
    out: dict[str, float] = {}
    for hit in hits:
        if hit.span is None:
            out[hit.label] = max(hit.score, out.get(hit.label, 0.0))
    return out


def _promotional(
    parsed: ParsedDocument, spans: Sequence[Hit], scores: Mapping[str, float], thresholds: Thresholds
) -> Promotional:
    if PROMOTIONAL in scores:
        score, threshold = scores[PROMOTIONAL], thresholds.of(PROMOTIONAL)
        likely = sorted((scores.get(label, 0.0) for label in VIOLATION_LABELS), reverse=True)[_OUTVOTE - 1]
        if _LEAST_STANCE <= score < threshold and likely >= _LIKELY:
            return Promotional(True, max(score, likely))
        return Promotional(score >= threshold, score, review=_DOUBTFUL_STANCE <= score < threshold)
    sells = any(h.label == BENEFIT_TAG or h.label in VIOLATION_LABELS for h in spans)
    value = sells and not _REPORT_CUE.search(parsed.normal)
    certain = bool(_ENROL_CUE.search(parsed.normal))
    return Promotional(value, (0.8 if certain else 0.6) if value else 0.2)


def _merged(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Hits of one label in groups that overlap, in order."""
    groups: list[list[Hit]] = []
    reach = -1
    for hit in sorted(hits, key=lambda h: (_span(h).start, _span(h).end, h.detector, h.rule or "")):
        if groups and _span(hit).start < reach:
            groups[-1].append(hit)
        else:
            groups.append([hit])
        reach = max(reach, _span(hit).end)
    return groups


def _span(hit: Hit) -> Span:
    assert hit.span is not None
    return hit.span


def _best(group: Sequence[Hit]) -> Hit:
    """The most certain hit; among equals the trained one, whose borders were learned from officers' underlining."""
    return max(group, key=lambda h: (h.score, h.rule is None, _span(h).end - _span(h).start, h.rule or ""))


def _disclosures(
    parsed: ParsedDocument, spans: Sequence[Hit], scores: Mapping[str, float], thresholds: Thresholds
) -> tuple[Disclosure, ...]:
    out = []
    for tag in TAGS:
        for group in _merged([h for h in spans if h.label == tag and h.verdict == "violation"]):
            best = _best(group)
            if best.rule is None and tag in scores and scores[tag] < thresholds.of(tag):
                continue
            if _doubted(group, tag, scores, thresholds):
                continue
            span = _span(best)
            out.append(Disclosure(tag, span.start, span.end, parsed.document.text[span.start : span.end], best.score))
    return tuple(sorted(out, key=lambda d: (d.start, d.end, d.tag)))


def _violations(
    parsed: ParsedDocument,
    spans: Sequence[Hit],
    scores: Mapping[str, float],
    rulebook: Rulebook,
    thresholds: Thresholds,
    as_of: date,
) -> list[Finding]:
    findings = []
    for label in VIOLATION_LABELS:
        for verdict in ("violation", "evidence_needed", "advisory"):
            own = [h for h in spans if h.label == label and h.verdict == verdict]
            for group in _merged(own):
                finding = _finding(parsed, group, label, scores, rulebook, thresholds, as_of)
                if finding is not None:
                    findings.append(finding)
    findings.sort(key=lambda f: (f.start or 0, f.end or 0, f.label, f.verdict))
    if any(f.verdict == "violation" and not f.review and f.score >= thresholds.any_violation for f in findings):
        return findings
    return _for_review(findings)


def _for_review(findings: Sequence[Finding]) -> list[Finding]:
    return [replace(f, review=True) if f.verdict == "violation" else f for f in findings]


def _finding(
    parsed: ParsedDocument,
    group: Sequence[Hit],
    label: str,
    scores: Mapping[str, float],
    rulebook: Rulebook,
    thresholds: Thresholds,
    as_of: date,
) -> Finding | None:
    best = _best(group)
    ruled = [h for h in group if h.rule is not None]
    score = _score(group, label, scores)
    if not thresholds.accepts(label, score):
        return None
    info = rulebook.label(label)
    speaker = max(ruled, key=lambda h: (h.score, h.rule or "")) if ruled else None
    span = _span(best)
    return Finding(
        label=label,
        category=CATEGORY_OF[label],
        severity=info.severity if best.verdict == "violation" else "info",
        score=round(score, 4),
        start=span.start,
        end=span.end,
        text=parsed.document.text[span.start : span.end],
        basis=rulebook.basis(label, as_of),
        reason=(speaker and speaker.reason) or info.reason,
        suggestion=(speaker and speaker.suggestion) or info.suggestion,
        detectors=tuple(sorted({h.detector for h in group})),
        rules=tuple(sorted({h.rule for h in ruled if h.rule})),
        verdict=best.verdict,
        review=best.verdict == "violation"
        and (thresholds.unsure(label, score) or _doubted(group, label, scores, thresholds)),
    )


def _doubted(group: Sequence[Hit], label: str, scores: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Whether only rules speak, none of them certain by itself, and the trained reader sees nothing near the label.

    Words alone do not know who says them; such a finding is shown to a person instead of being counted, and such a
    disclosure discharges no duty.
    """
    if label not in scores or any(h.rule is None or h.score >= CERTAIN for h in group):
        return False
    return scores[label] < thresholds.of(label) / 2


def _score(group: Sequence[Hit], label: str, scores: Mapping[str, float]) -> float:
    """A rule says its own precision; a trained hit counts by the document's calibrated probability."""
    return max(h.score if h.rule is not None else scores.get(label, h.score) for h in group)


def _missing(owed: Sequence[Duty], promotional: Promotional, rulebook: Rulebook, as_of: date) -> list[Finding]:
    out = []
    for duty in owed:
        if duty.state not in ("absent", "pointer_only"):
            continue
        info = rulebook.label(duty.label)
        pointer = duty.state == "pointer_only"
        out.append(
            Finding(
                label=duty.label,
                category=CATEGORY_OF[duty.label],
                severity=LOWERED[info.severity] if pointer else info.severity,
                score=round(promotional.score, 4),
                start=None,
                end=None,
                text=None,
                basis=rulebook.basis(duty.label, as_of),
                reason=info.reason,
                suggestion=info.suggestion,
                evidence=duty.evidence,
                pointer_only=pointer,
            )
        )
    return out


def _scores(findings: Sequence[Finding], document_scores: Mapping[str, float]) -> dict[str, float]:
    out = {label: round(document_scores.get(label, 0.0), 4) for label in LABELS}
    for finding in findings:
        if finding.verdict == "violation" and not finding.review:
            out[finding.label] = max(out[finding.label], finding.score)
    return out
