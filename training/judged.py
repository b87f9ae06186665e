"""What is measured of a system: every document beside its report, and the figures that follow from both.

A finding that only asks for a person (建议人工复核) counts as not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from nlp_compliance.checker import Checker
from nlp_compliance.records import (
    CATEGORY_LABELS,
    CATEGORY_OF,
    LABELS,
    MISSING_LABELS,
    TAGS,
    VIOLATION_LABELS,
    Document,
    Report,
)
from training.calibrate import expected_calibration_error
from training.corpus import Example, series_of
from training.metrics import Counts, add, bootstrap_interval, character_counts, count, indicator, macro_f1


@dataclass(frozen=True, slots=True)
class Judged:
    """One document with what was said about it; findings that only ask for a person count as not found."""

    example: Example
    report: Report

    @property
    def found(self) -> frozenset[str]:
        return frozenset(f.label for f in self.report.findings if f.verdict == "violation" and not f.review)

    @property
    def truth(self) -> frozenset[str]:
        return true_labels(self.example)

    def found_spans(self, labels: Sequence[str]) -> list[tuple[int, int, str]]:
        findings = [
            (f.start, f.end, f.label)
            for f in self.report.findings
            if f.start is not None and f.end is not None and f.verdict == "violation" and not f.review
        ]
        return [s for s in (*findings, *((d.start, d.end, d.tag) for d in self.report.disclosures)) if s[2] in labels]

    def true_spans(self, labels: Sequence[str]) -> list[tuple[int, int, str]]:
        return [(s.start, s.end, s.label) for s in self.example.spans if s.label in labels]


def true_labels(example: Example) -> frozenset[str]:
    """The violation labels that a document carries, `missing_*` among them."""
    return frozenset({s.label for s in example.spans if s.label in VIOLATION_LABELS} | set(example.missing))


def judge(checker: Checker, examples: Sequence[Example]) -> list[Judged]:
    """Every document with its report. A document that the checker refuses is a fault of the corpus and raises."""
    reports = checker.check_many([Document(e.id, e.text) for e in examples])
    out = []
    for example, report in zip(examples, reports, strict=True):
        if not isinstance(report, Report):
            raise report
        out.append(Judged(example, report))
    return out


def categories(labels: frozenset[str]) -> frozenset[str]:
    return frozenset(CATEGORY_OF[label] for label in labels)


@dataclass(frozen=True, slots=True)
class ContrastGroups:
    """How many groups of two or more documents are fully right; `groups` is at least 1."""

    right: int
    groups: int

    @property
    def share(self) -> float:
        return self.right / self.groups

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the share (Wilson 1927); groups were written independently of each other."""
        interval = binomtest(self.right, self.groups).proportion_ci(method="wilson")
        return float(interval.low), float(interval.high)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is reported of one system; rates are shares, None where nothing of the kind is in the split."""

    categories: float
    violations: float
    violations_interval: tuple[float, float]
    missing: float
    promotional: float
    span_characters: float
    tag_characters: float
    false_alarms_compliant: float | None
    false_alarms_other: float | None
    contrast: ContrastGroups | None
    disguise_plain: float | None
    disguise_changed: float | None
    calibration_error: float


def figures(judged: Sequence[Judged]) -> Figures:
    """All figures of one system."""
    found, truth = [j.found for j in judged], [j.truth for j in judged]
    groups = [j.example.group for j in judged]
    violation = indicator(found, VIOLATION_LABELS), indicator(truth, VIOLATION_LABELS)
    plain, changed = disguise_recall(judged)
    return Figures(
        categories=macro_f1(
            indicator([categories(f) for f in found], tuple(CATEGORY_LABELS)),
            indicator([categories(t) for t in truth], tuple(CATEGORY_LABELS)),
        ),
        violations=macro_f1(*violation),
        violations_interval=bootstrap_interval(*violation, groups),
        missing=macro_f1(indicator(found, MISSING_LABELS), indicator(truth, MISSING_LABELS)),
        promotional=_promotional_f1(judged),
        span_characters=_characters(judged, VIOLATION_LABELS).f1,
        tag_characters=_characters(judged, TAGS).f1,
        false_alarms_compliant=alarm_rate(_compliant(judged)),
        false_alarms_other=alarm_rate([j for j in judged if not j.example.promotional]),
        contrast=contrast_groups(judged),
        disguise_plain=plain,
        disguise_changed=changed,
        calibration_error=_calibration(judged),
    )


def _compliant(judged: Sequence[Judged]) -> list[Judged]:
    """Promotion without violation."""
    return [j for j in judged if j.example.promotional and not _violates(j)]


def _violates(judged: Judged) -> bool:
    return bool(judged.truth & set(VIOLATION_LABELS))


def _promotional_f1(judged: Sequence[Judged]) -> float:
    found = np.array([j.report.promotional.value for j in judged])
    return count(found, np.array([j.example.promotional for j in judged])).f1


def _characters(judged: Sequence[Judged], labels: Sequence[str]) -> Counts:
    return add([character_counts(j.found_spans(labels), j.true_spans(labels)) for j in judged])


def alarm_rate(judged: Sequence[Judged]) -> float | None:
    """Share of documents without violation in which one is found."""
    return sum(bool(j.found & set(VIOLATION_LABELS)) for j in judged) / len(judged) if judged else None


def contrast_groups(judged: Sequence[Judged]) -> ContrastGroups | None:
    """Groups of two or more, and those in which the violation labels of every member are exactly right."""
    groups: dict[str, list[bool]] = {}
    for j in judged:
        groups.setdefault(j.example.group, []).append(exactly_right(j))
    several = [all(members) for members in groups.values() if len(members) > 1]
    return ContrastGroups(sum(several), len(several)) if several else None


def disguise_recall(judged: Sequence[Judged]) -> tuple[float | None, float | None]:
    """Recall of violation labels on plain texts and on their disguised twins, over groups that hold both."""
    disguised = [j for j in judged if j.example.disguise]
    groups = {j.example.group for j in disguised}
    plain = [j for j in judged if j.example.group in groups and not j.example.disguise]
    return _recall(plain), _recall(disguised)


def _recall(judged: Sequence[Judged]) -> float | None:
    wanted = [(label, j) for j in judged for label in j.truth & set(VIOLATION_LABELS)]
    return sum(label in j.found for label, j in wanted) / len(wanted) if wanted else None


def _calibration(judged: Sequence[Judged]) -> float:
    scores = np.array([[j.report.scores[label] for label in VIOLATION_LABELS] for j in judged]).reshape(-1)
    return expected_calibration_error(scores, indicator([j.truth for j in judged], VIOLATION_LABELS).reshape(-1))


def label_rows(judged: Sequence[Judged]) -> list[tuple[str, Counts, tuple[float, float]]]:
    """Counts and interval of every label."""
    found, truth = indicator([j.found for j in judged], LABELS), indicator([j.truth for j in judged], LABELS)
    groups = [j.example.group for j in judged]
    return [
        (label, count(found[:, i], truth[:, i]), bootstrap_interval(found[:, [i]], truth[:, [i]], groups))
        for i, label in enumerate(LABELS)
    ]


@dataclass(frozen=True, slots=True)
class GenreRow:
    """One genre: documents, those whose violation labels are exactly right, those without violation, those alarmed."""

    genre: str
    documents: int
    right: int
    clean: int
    alarmed: int


def genre_rows(judged: Sequence[Judged]) -> list[GenreRow]:
    """Every genre, the one with the smallest share of exactly right documents first."""
    genres: dict[str, list[Judged]] = {}
    for j in judged:
        genres.setdefault(j.example.genre, []).append(j)
    rows = []
    for genre, own in genres.items():
        clean = [j for j in own if not _violates(j)]
        alarmed = sum(bool(j.found & set(VIOLATION_LABELS)) for j in clean)
        rows.append(GenreRow(genre, len(own), sum(exactly_right(j) for j in own), len(clean), alarmed))
    return sorted(rows, key=lambda r: (r.right / r.documents, r.genre))


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """What one writer wrote: documents, pooled counts of the violation labels, share of the promotion without violation
    that is alarmed, contrast groups; None where there is nothing of the kind."""

    series: str
    documents: int
    counts: Counts
    alarms: float | None
    contrast: ContrastGroups | None


def series_rows(judged: Sequence[Judged]) -> list[SeriesRow]:
    """One row for every series, by name."""
    series: dict[str, list[Judged]] = {}
    for j in judged:
        series.setdefault(series_of(j.example), []).append(j)
    rows = []
    for name, own in sorted(series.items()):
        found, truth = (indicator(sets, VIOLATION_LABELS) for sets in ([j.found for j in own], [j.truth for j in own]))
        alarms = alarm_rate(_compliant(own))
        rows.append(SeriesRow(name, len(own), count(found, truth), alarms, contrast_groups(own)))
    return rows


def exactly_right(judged: Judged) -> bool:
    """Whether the violation labels found are those of the document, no more and no less."""
    return judged.found & set(VIOLATION_LABELS) == judged.truth & set(VIOLATION_LABELS)


def disguise_rows(judged: Sequence[Judged]) -> list[tuple[str, int, float | None, float | None]]:
    """(kind, disguised documents with a plain twin, recall on the twins, recall under the disguise), by kind."""
    rows = []
    for kind in sorted({j.example.disguise for j in judged if j.example.disguise}):
        hidden = [j for j in judged if j.example.disguise == kind]
        groups = {j.example.group for j in hidden}
        plain = [j for j in judged if j.example.group in groups and not j.example.disguise]
        twins = {j.example.group for j in plain}
        rows.append((kind, sum(j.example.group in twins for j in hidden), _recall(plain), _recall(hidden)))
    return rows
