"""The marked document and its report as PDF, in Chinese."""

from __future__ import annotations

import io
from collections.abc import Iterator
from html import escape
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer

from nlp_compliance.rulebook import Rulebook
from nlp_compliance.store.schema import StoredDocument
from nlp_compliance.web.desk.exports import SEVERITIES, clean, facts, lines_of
from nlp_compliance.web.desk.view import Shown, text_segments

# One of the typefaces that every PDF reader brings for simplified Chinese; nothing has to be embedded.
_FONT = "STSong-Light"
_MARKS = {"high": "#ffd7d3", "medium": "#ffe9b8", "low": "#cdeaf4", "info": "#e3e8f7"}
_MARGIN = 18 * mm
_INK = HexColor("#1d2530")


def _style(name: str, size: float, **more: Any) -> ParagraphStyle:
    return ParagraphStyle(
        name,
        fontName=_FONT,
        fontSize=size,
        leading=size * 1.7,
        textColor=_INK,
        wordWrap="CJK",
        alignment=TA_LEFT,
        spaceAfter=size * 0.4,
        **more,
    )


def pdf_report(document: StoredDocument, findings: list[Shown], rulebook: Rulebook, people: dict[int, str]) -> bytes:
    """The text with evidence marked and numbered, then every finding with decision, law and advice."""
    registerFont(UnicodeCIDFont(_FONT))
    stream = io.BytesIO()
    title = clean(document.title or document.name)
    pages = SimpleDocTemplate(
        stream,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=title,
        author="nlp_compliance",
    )
    pages.build(list(_parts(title, document, findings, rulebook, people)), onFirstPage=_foot, onLaterPages=_foot)
    return stream.getvalue()


def _foot(canvas: Canvas, pages: SimpleDocTemplate) -> None:
    canvas.setFont(_FONT, 8)
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"第{pages.page}页")


def _parts(
    title: str, document: StoredDocument, findings: list[Shown], rulebook: Rulebook, people: dict[int, str]
) -> Iterator[Flowable]:
    body, head = _style("body", 10), _style("head", 13, spaceBefore=10)
    yield Paragraph(escape(title), _style("title", 17))
    for line in facts(document, findings, people):
        yield Paragraph(escape(line), body)
    yield Paragraph("原文标注", head)
    for line in _marked_lines(document, findings):
        yield Paragraph(line, body) if line else Spacer(1, 6)
    yield Paragraph("问题清单", head)
    for shown in findings:
        found = shown.finding
        name = f"{shown.number}. {rulebook.label(found['label']).name}（{SEVERITIES[found['severity']]}）"
        yield Paragraph(escape(name), _style("finding", 11, spaceBefore=6))
        for heading, value in lines_of(shown, rulebook):
            yield Paragraph(f"<b>{escape(heading)}</b>：{escape(clean(value))}", body)
    if not findings:
        yield Paragraph("未发现问题。", body)


def _marked_lines(document: StoredDocument, findings: list[Shown]) -> list[str]:
    """The lines of the text as markup; a mark that runs over a line end is closed and opened again."""
    lines = [""]
    for segment, grave in text_segments(document, findings):
        parts = clean(segment.text).split("\n")
        for number, part in enumerate(parts):
            if number:
                lines.append("")
            marked = escape(part)
            if part and grave in _MARKS:
                marked = f'<u><font backColor="{_MARKS[grave]}">{marked}</font></u>'
            lines[-1] += marked
        if grave in _MARKS:
            lines[-1] += f"<super>[{','.join(map(str, segment.findings))}]</super>"
    return lines
