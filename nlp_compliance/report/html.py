"""The same findings as one HTML file that opens without a network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nlp_compliance.ingest.reader import Failure
from nlp_compliance.records import Finding, Report
from nlp_compliance.report.segments import Segment, numbered, segments
from nlp_compliance.report.templates import environment
from nlp_compliance.report.terminal import SEVERITIES, clean_text, law_text
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.summary import Scanned, Summary
from nlp_compliance.severity import gravest

STATES = {"present": "已披露", "pointer_only": "仅提示条款", "absent": "未披露", "not_required": "不要求"}


def _css_class(segment: Segment, report: Report) -> str:
    """The class of the gravest finding over a segment."""
    return gravest(report.findings[n - 1].severity for n in segment.findings) or ""


def write_html(target: Path, results: Iterable[Scanned | Failure], rulebook: Rulebook, summary: Summary) -> None:
    """Write the report; every text of the documents is escaped by the template engine."""
    items: list[Scanned] = []
    failures: list[Failure] = []
    for item in results:
        summary.add(item)
        if isinstance(item, Failure):
            failures.append(item)
        else:
            items.append(item)
    pages = environment()
    pages.filters.update(law=law_text, severity=SEVERITIES.__getitem__, state=STATES.__getitem__)
    page = pages.get_template("report.html").render(
        items=items,
        failures=failures,
        summary=summary,
        rulebook=rulebook,
        numbered=numbered,
        segments=_segments,
        css_class=_css_class,
        clean_text=clean_text,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")


def _segments(item: Scanned) -> list[Segment]:
    found: list[tuple[int, Finding]] = numbered(item.report)
    return segments(item.document.text, found)
