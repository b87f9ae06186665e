"""Word and PowerPoint: every place where copy can stand, in reading order, pictures by OCR.

The XML is parsed by lxml inside python-docx and python-pptx, which resolve no external entities.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.oxml.ns import qn
from lxml import etree
from pptx import Presentation

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.image import add_embedded
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.records import Document, Source

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_BREAKS = {qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:tab"): "\t"}
_BROKEN = (KeyError, ValueError, AttributeError, OSError, zipfile.BadZipFile, etree.LxmlError)
_NOTES = ("footnotes", "endnotes", "comments")


def read_docx(data: bytes, name: str, limits: Limits) -> Document:
    """Headers, body with tables and text boxes, foot- and endnotes, footers, pictures. Raises UnreadableFileError."""
    try:
        word = docx.Document(io.BytesIO(data))
        assembly = Assembly()
        for header in _unique(section.header for section in word.sections):
            _add_element(assembly, header._element, "header")
        _add_element(assembly, word.element.body, "paragraph")
        for relation in word.part.rels.values():
            kind = relation.reltype.rpartition("/")[2]
            if kind in _NOTES and not relation.is_external:
                _add_element(assembly, etree.fromstring(relation.target_part.blob), kind.removesuffix("s"))
        for footer in _unique(section.footer for section in word.sections):
            _add_element(assembly, footer._element, "footer")
        _add_pictures(assembly, word.part, limits)
        core = word.core_properties
        source = Source(path=name, media_type=DOCX, title=core.title or None, author=core.author or None)
        return assembly.document(name, source)
    except _BROKEN as error:
        raise UnreadableFileError(
            f"{name}: the Word file is broken ({error}); open it and save it again as docx"
        ) from error


def _unique(parts: Iterator[Any]) -> Iterator[Any]:
    """Headers or footers without those that only repeat the section before."""
    seen: set[int] = set()
    for part in parts:
        if not part.is_linked_to_previous and id(part._element) not in seen:
            seen.add(id(part._element))
            yield part


def _add_element(assembly: Assembly, root: Any, kind: str) -> None:
    """Paragraphs below `root` in document order; a paragraph in a table or text box says so."""
    for paragraph in root.iter(qn("w:p")):
        # Word writes every text box twice, for old and new readers; the old copy is skipped.
        if any(a.tag.endswith("}Fallback") for a in paragraph.iterancestors()):
            continue
        text, visible = _paragraph_text(paragraph)
        assembly.add(text, _kind(paragraph, kind), visible=visible)


def _kind(paragraph: Any, kind: str) -> str:
    tags = {a.tag for a in paragraph.iterancestors()}
    if qn("w:txbxContent") in tags:
        return "text_box"
    return "table_cell" if qn("w:tc") in tags else kind


def _paragraph_text(paragraph: Any) -> tuple[str, bool]:
    """Text of the paragraph's own runs, and whether any of it shows; deleted text is not part of the document."""
    parts, shown = [], False
    for node in paragraph.iter(qn("w:t"), *_BREAKS):
        if next(node.iterancestors(qn("w:p")), None) is not paragraph:
            continue
        parts.append(node.text or "" if node.tag == qn("w:t") else _BREAKS[node.tag])
        run = next(node.iterancestors(qn("w:r")), None)
        hidden = run is not None and run.find(f"{qn('w:rPr')}/{qn('w:vanish')}") is not None
        shown = shown or not hidden
    return "".join(parts), shown


def _add_pictures(assembly: Assembly, part: Any, limits: Limits) -> None:
    number = 0
    for relation in part.rels.values():
        if not relation.reltype.endswith("/image"):
            continue
        number += 1
        if relation.is_external:
            assembly.unread(f"第{number}张图片在文件之外，未读取")
        else:
            add_embedded(assembly, relation.target_part.blob, f"第{number}张图片", limits)


def read_pptx(data: bytes, name: str, limits: Limits) -> Document:
    """Slides in order: shapes, tables, groups, pictures, notes; `page` is the slide. Raises UnreadableFileError."""
    try:
        deck = Presentation(io.BytesIO(data))
        limits.check(name, len(deck.slides), limits.max_pages, "number of slides")
        assembly = Assembly()
        for number, slide in enumerate(deck.slides, 1):
            for shape in slide.shapes:
                _add_shape(assembly, shape, number, limits)
            if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                assembly.add(slide.notes_slide.notes_text_frame.text, "notes", page=number)
        core = deck.core_properties
        source = Source(path=name, media_type=PPTX, title=core.title or None, author=core.author or None)
        return assembly.document(name, source)
    except _BROKEN as error:
        raise UnreadableFileError(
            f"{name}: the PowerPoint file is broken ({error}); open it and save it again as pptx"
        ) from error


def _add_shape(assembly: Assembly, shape: Any, page: int, limits: Limits) -> None:
    if hasattr(shape, "shapes"):
        for inner in shape.shapes:
            _add_shape(assembly, inner, page, limits)
    elif getattr(shape, "has_table", False) and shape.has_table:
        for row in shape.table.rows:
            for cell in row.cells:
                assembly.add(cell.text, "table_cell", page=page)
    elif getattr(shape, "has_text_frame", False) and shape.has_text_frame:
        assembly.add(shape.text_frame.text, "text_box", page=page)
    elif hasattr(shape, "image"):
        add_embedded(assembly, shape.image.blob, f"第{page}页的图片", limits, page=page)
