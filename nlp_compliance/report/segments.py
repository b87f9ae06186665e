"""Cuts a text where its marked spans begin and end, so that no reader of a report ever counts offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlp_compliance.records import Finding, Report


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of text and the numbers (from 1) of the findings that underline it."""

    text: str
    findings: tuple[int, ...]


def numbered(report: Report) -> list[tuple[int, Finding]]:
    """Findings with the numbers under which every report shows them."""
    return list(enumerate(report.findings, 1))


def segments(text: str, findings: Sequence[tuple[int, Finding]]) -> list[Segment]:
    """`text` cut into segments; joined they are the text again."""
    return cut(text, [(f.start, f.end, n) for n, f in findings if f.start is not None and f.end is not None])


def cut(text: str, spans: Sequence[tuple[int, int, int]]) -> list[Segment]:
    """As `segments`, of (start, end, number) in code points."""
    edges = sorted({0, len(text), *(s for s, _, _ in spans), *(e for _, e, _ in spans)})
    return [
        Segment(text[a:b], tuple(n for s, e, n in spans if s <= a and b <= e))
        for a, b in zip(edges, edges[1:], strict=False)
    ]
