"""Frozen records that every module speaks in. Offsets are code points of `Document.text`, end exclusive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from typing import Literal

import numpy as np
import numpy.typing as npt

# Days are those of Chinese calendars, wherever a text is read or a decision taken; China has no summer time.
BEIJING = timezone(timedelta(hours=8))


def week_of(day: date) -> str:
    """ISO week as 2026-W42, which sorts by time."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


Category = Literal["false_publicity", "government_underwriting", "missing_disclosure"]
Severity = Literal["high", "medium", "low", "info"]
Risk = Literal["high", "medium", "low", "none"]
Verdict = Literal["violation", "evidence_needed", "advisory"]

CATEGORY_LABELS: dict[Category, tuple[str, ...]] = {
    "false_publicity": (
        "absolute_claim",
        "coverage_exaggeration",
        "guarantee_promise",
        "false_urgency",
        "unfair_comparison",
        "unsupported_data",
        "improper_inducement",
        "misleading_price",
        "investment_return",
    ),
    "government_underwriting": (
        "state_underwriting",
        "government_endorsement",
        "social_insurance_confusion",
    ),
    "missing_disclosure": (
        "missing_exclusions",
        "missing_pre_existing",
        "missing_deductible",
        "missing_ratio",
        "missing_insurer",
        "missing_term",
    ),
}
CATEGORY_OF: dict[str, Category] = {label: category for category, labels in CATEGORY_LABELS.items() for label in labels}
VIOLATION_LABELS = (
    *CATEGORY_LABELS["false_publicity"],
    *CATEGORY_LABELS["government_underwriting"],
)
MISSING_LABELS = CATEGORY_LABELS["missing_disclosure"]
BENEFIT_TAG = "benefit_claim"
POINTER_TAG = "pointer"
DISCLOSURE_TAGS = tuple("disclosed_" + label.removeprefix("missing_") for label in MISSING_LABELS)
TAGS = (BENEFIT_TAG, *DISCLOSURE_TAGS, POINTER_TAG)
SPAN_LABELS = (*VIOLATION_LABELS, *TAGS)
LABELS = (*VIOLATION_LABELS, *MISSING_LABELS)
# What models say of a whole text beside its labels, and the entry of their thresholds for its surest violation.
PROMOTIONAL = "promotional"
ANY_VIOLATION = "any_violation"


def discharging_tags(missing_label: str) -> tuple[str, ...]:
    """The disclosure tags any of which discharges the duty behind `missing_label` (labels.md, rulings 6 and 20)."""
    own = "disclosed_" + missing_label.removeprefix("missing_")
    return (own, "disclosed_pre_existing") if missing_label == "missing_exclusions" else (own,)


def missing_labels(promotional: bool, span_labels: set[str]) -> tuple[str, ...]:
    """The `missing_*` labels that follow from a document's stance and the span labels found in it.

    A text owes disclosure only when it is promotional and carries a benefit claim.
    """
    if not promotional or BENEFIT_TAG not in span_labels:
        return ()
    return tuple(m for m in MISSING_LABELS if span_labels.isdisjoint(discharging_tags(m)))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page or picture, in pixels (pictures) or points (pdf), origin top left."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Block:
    """A run of `Document.text` that stood together in the source. `kind` is e.g. paragraph, table_cell, ocr_line."""

    start: int
    end: int
    kind: str = "paragraph"
    page: int | None = None
    box: Box | None = None
    confidence: float | None = None
    visible: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document came from. `path` is as given by the caller; `published` decides the law in force."""

    path: str | None = None
    media_type: str | None = None
    title: str | None = None
    author: str | None = None
    account: str | None = None
    url: str | None = None
    published: date | None = None
    extra: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of the source was read. `unread` names each part that was not, in Chinese, ready to be shown."""

    complete: bool = True
    unread: tuple[str, ...] = ()

    @classmethod
    def without(cls, unread: Iterable[str]) -> Coverage:
        """Of a source of which these parts were not read; complete where there are none."""
        named = tuple(unread)
        return cls(complete=not named, unread=named)


@dataclass(frozen=True, slots=True)
class Document:
    """One text to be judged. All offsets that leave the package count code points of `text`."""

    id: str
    text: str
    blocks: tuple[Block, ...] = ()
    source: Source = Source()
    coverage: Coverage = Coverage()


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range [start, end) in code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document with its normal text and the map back.

    `normal[i]` stands for the original characters [starts[i], ends[i]); both sequences have `len(normal)` entries
    and never decrease. `sentences` are spans of `normal`, in order, and never overlap.
    """

    document: Document
    normal: str
    starts: Sequence[int] | npt.NDArray[np.int32]
    ends: Sequence[int] | npt.NDArray[np.int32]
    sentences: tuple[Span, ...]

    def original(self, start: int, end: int) -> Span:
        """The original span behind normal characters [start, end), `start < end`."""
        return Span(int(self.starts[start]), int(self.ends[end - 1]))


@dataclass(frozen=True, slots=True)
class Hit:
    """One detector's statement about a span of the original text, or about the whole document (`span` None).

    `label` is a violation label, a tag, or `promotional`. `score` is a probability in [0, 1].
    `detector` and `rule` say who found it; `reason` is a Chinese sentence, or None for the label's own reason.
    """

    label: str
    span: Span | None
    score: float
    detector: str
    rule: str | None = None
    verdict: Verdict = "violation"
    reason: str | None = None
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Basis:
    """One law a finding rests on. `article` is None where the number is not verified or the rule cites the whole."""

    law: str
    article: str | None
    summary: str
    number: str | None = None
    issuer: str | None = None
    effective_from: date | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of the original text with its characters."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a compliance officer should look at.

    `missing_*` findings have no span: `start`, `end` and `text` are None and `evidence` holds the benefit claims.
    `review` marks a score inside the band in which the product says 建议人工复核.
    """

    label: str
    category: Category
    severity: Severity
    score: float
    start: int | None
    end: int | None
    text: str | None
    basis: tuple[Basis, ...]
    reason: str
    suggestion: str
    detectors: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    verdict: Verdict = "violation"
    review: bool = False
    pointer_only: bool = False


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A span that is no violation: a benefit claim, a disclosure or a pointer to terms."""

    tag: str
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Duty:
    """The state of one required disclosure: `present`, `pointer_only`, `absent`, or `not_required`."""

    label: str
    state: Literal["present", "pointer_only", "absent", "not_required"]
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Promotional:
    """Whether the text promotes insurance. `score` is a probability in [0, 1].

    `review` asks a person: the text probably does not, and the violations found in case it does are for review too.
    """

    value: bool
    score: float
    review: bool = False


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which model and rulebook judged: `version` of the bundle, `rulebook` is a content hash."""

    name: str
    version: str
    rulebook: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of scoring one document; `schema_version` changes when a field changes its meaning."""

    id: str
    promotional: Promotional
    risk: Risk
    findings: tuple[Finding, ...]
    disclosures: tuple[Disclosure, ...]
    duties: tuple[Duty, ...]
    scores: dict[str, float]
    model: ModelVersion
    as_of: date
    coverage: Coverage = Coverage()
    schema_version: str = "1.0"


def is_visible(text: str) -> bool:
    """Whether anybody could read something in `text`: not blanks, zero-width and control characters alone."""
    return any(c.isprintable() and not c.isspace() for c in text)
