"""What the document page shows, computed from a stored document: segments, findings with decisions, boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup, escape

from nlp_compliance.records import MISSING_LABELS, discharging_tags
from nlp_compliance.report.segments import Segment, cut
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.schema import plain
from nlp_compliance.severity import gravest, risk_of
from nlp_compliance.store.decisions import Said, label_of, place_of
from nlp_compliance.store.schema import StoredDocument


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding as it now stands, with what people said about it, the newest word first.

    `former_label` is the program's, where a person changed it.
    """

    number: int
    finding: dict[str, Any]
    decisions: tuple[Said, ...]
    former_label: str = ""

    @property
    def action(self) -> str:
        return self.decisions[0][0].action if self.decisions else ""

    @property
    def closed(self) -> bool:
        """Whether a person said that this is none."""
        return self.action in ("dismiss", "withdraw")

    @property
    def rewrite(self) -> str:
        """The wording proposed last, unless the finding was dismissed since."""
        if self.closed:
            return ""
        return next((d.rewrite for d, _ in self.decisions if d.rewrite), "")


@dataclass(frozen=True, slots=True)
class Outline:
    """A finding's box on a picture, in its pixels."""

    number: int
    severity: str
    x: float
    y: float
    width: float
    height: float


def shown_findings(document: StoredDocument, decisions: Sequence[Said], rulebook: Rulebook) -> list[Shown]:
    """Findings of the report in their order, then those that people added, as grave as their label."""
    out = []
    for number, finding in enumerate(document.report["findings"], 1):
        own = [(d, n) for d, n in decisions if d.finding == number]
        label = label_of(finding, [d for d, _ in own])
        former = "" if label == finding["label"] else finding["label"]
        if former:
            finding = finding | _explained(label, document, rulebook)
        out.append(Shown(number, finding, tuple(reversed(own)), former))
    for place, (decision, name) in enumerate(decisions):
        if decision.action == "add":
            back = [
                (d, n) for d, n in decisions[place:] if d.action == "withdraw" and place_of(d) == place_of(decision)
            ]
            text = document.text[decision.start : decision.end]
            finding = {
                "start": decision.start,
                "end": decision.end,
                "text": text,
                **_explained(decision.label, document, rulebook),
                "reason": decision.reason,
            }
            out.append(Shown(len(out) + 1, finding, (*back[:1], (decision, name))))
    return out


def _explained(label: str, document: StoredDocument, rulebook: Rulebook) -> dict[str, Any]:
    """What a finding is under a label that a person gave it: as grave as the label, explained by it, sure."""
    info = rulebook.label(label)
    return {
        "label": label,
        "severity": info.severity,
        "reason": info.reason,
        "suggestion": info.suggestion,
        "basis": plain(rulebook.basis(label, date.fromisoformat(document.report["as_of"]))),
        "evidence": [],
        "score": None,
        "review": False,
        "pointer_only": False,
        "verdict": "violation",
    }


def open_violations(findings: Sequence[Shown]) -> list[Shown]:
    """The violations of which nobody said that they are none."""
    return [f for f in findings if f.finding["verdict"] == "violation" and not f.closed]


def remaining_risk(findings: Sequence[Shown]) -> str | None:
    """The risk after the decisions, by the rule of the report's own; None where nobody decided anything.

    What only a person can decide counts one step lower until somebody has taken it up.
    """
    if not any(f.decisions for f in findings):
        return None
    return risk_of((f.finding["severity"], f.finding["review"] and not f.action) for f in open_violations(findings))


def text_segments(document: StoredDocument, findings: Sequence[Shown]) -> list[tuple[Segment, str]]:
    """(segment, class): the text cut at findings, with the gravest severity over each run."""
    spans = [(f.finding["start"], f.finding["end"], f.number) for f in findings if f.finding["start"] is not None]
    by_number = {f.number: f for f in findings}
    out: list[tuple[Segment, str]] = []
    for segment in cut(document.text, spans):
        open_ones = [by_number[n] for n in segment.findings if not by_number[n].closed]
        grave = gravest(f.finding["severity"] for f in open_ones) or "dismissed"
        out.append((segment, grave if segment.findings else ""))
    return out


def outlines(document: StoredDocument, findings: Sequence[Shown], page: int | None = None) -> list[Outline]:
    """Boxes of the blocks that findings touch, of one page where the source has pages."""
    out = []
    for shown in findings:
        start, end = shown.finding["start"], shown.finding["end"]
        if start is None or shown.closed:
            continue
        for block in document.blocks:
            box = block["box"]
            if box and block["page"] == page and block["start"] < end and start < block["end"]:
                width, height = box["x1"] - box["x0"], box["y1"] - box["y0"]
                out.append(Outline(shown.number, shown.finding["severity"], box["x0"], box["y0"], width, height))
    return out


def pages_of(document: StoredDocument) -> list[int]:
    """Pages of which text with its place was read, in order."""
    return sorted({b["page"] for b in document.blocks if b["page"] is not None and b["box"]})


def proofs(rulebook: Rulebook) -> dict[str, str]:
    """What discharges each duty, in words: a limit of payment, too, discharges that of the ratio."""
    return {label: rulebook.label(discharging_tags(label)[0]).definition for label in MISSING_LABELS}


def changes(old: StoredDocument | None, new: StoredDocument) -> dict[str, Counter[tuple[str, str]]]:
    """Against the version before: violations fixed, new and remaining, each as (label, wording) with how often."""
    if old is None:
        return {}

    def counted(document: StoredDocument) -> Counter[tuple[str, str]]:
        return Counter(
            (f["label"], f["text"] or "") for f in document.report["findings"] if f["verdict"] == "violation"
        )

    before, after = counted(old), counted(new)
    return {"fixed": before - after, "new": after - before, "remaining": after & before}


@dataclass(frozen=True, slots=True)
class Draft:
    """The next version as the saved wordings make it, "" where there is none; `left_out` are the numbers of findings
    whose wording found no place in it."""

    text: str = ""
    left_out: tuple[int, ...] = ()


def rewritten(document: StoredDocument, findings: Sequence[Shown]) -> Draft:
    """The text with every proposed wording in its place.

    Where two findings overlap, the one that begins first keeps its wording, on the same words the one listed first.
    """
    proposals = sorted(
        (f.finding["start"], f.number, f.finding["end"], f.rewrite)
        for f in findings
        if f.rewrite and f.finding["start"] is not None
    )
    pieces: list[str] = []
    left_out, taken, place = [], set(), 0
    for start, number, end, wording in proposals:
        if start >= place:
            pieces += [document.text[place:start], wording]
            place = end
            taken.add((start, end, wording))
        elif (start, end, wording) not in taken:
            left_out.append(number)
    return Draft("".join([*pieces, document.text[place:]]) if pieces else "", tuple(left_out))


def as_written(text: str) -> Markup:
    """Text for a page in which a person selects a part: a browser would make one character of a line end of Windows,
    and every place behind it would be one too small."""
    return escape(text).replace("\r\n", Markup("&#13;\n"))
