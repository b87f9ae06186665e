"""Word and PowerPoint: every place where copy can stand, in reading order, pictures by OCR.

The XML is parsed by lxml inside python-docx and python-pptx, which resolve no external entities.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import unquote

import docx
from docx.oxml.ns import qn
from lxml import etree
from pptx import Presentation
from pptx.enum.shapes import PP_PLACEHOLDER

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.drawing import FORMULA, PARSER, chart_words, paragraphs, repeats
from nlp_compliance.ingest.image import add_embedded
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.records import Document, Source

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_SIGNS = {qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:tab"): "\t", qn("w:noBreakHyphen"): "-"}
_BROKEN = (KeyError, ValueError, AttributeError, OSError, zipfile.BadZipFile, etree.LxmlError)
_EMBEDDED = ("/aFChunk", "/package", "/oleObject")
_PLAYED = ("/video", "/audio", "/media")
# Number of the slide, header, footer and date of a page of notes.
_PROMPTS = (PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.HEADER, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.DATE)
_NOTES = ("footnotes", "endnotes", "comments")
_DRAWINGS = {"diagramData": "diagram", "chart": "chart", "chartEx": "chart"}
_OLD_PICTURE = "{urn:schemas-microsoft-com:vml}imagedata"
_WORD_ART = "{urn:schemas-microsoft-com:vml}textpath"
_WRITTEN = (qn("w:t"), FORMULA)
_MOVED_AWAY, _GUIDE = qn("w:moveFrom"), qn("w:rt")
_COMMENT = "{http://schemas.openxmlformats.org/presentationml/2006/main}text"
_CHOICE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Choice"


def read_docx(data: bytes, name: str, limits: Limits) -> Document:
    """Headers, body with tables and text boxes, foot- and endnotes, footers, pictures. Raises UnreadableFileError."""
    try:
        assembly = Assembly()
        word = docx.Document(io.BytesIO(_without_dangling(data, assembly)))
        pictures = _Pictures(assembly, limits)
        for header in _unique(h for s in word.sections for h in (s.header, s.first_page_header, s.even_page_header)):
            _add_element(assembly, header._element, "header", header.part, pictures)
        _add_element(assembly, word.element.body, "paragraph", word.part, pictures)
        for relation in word.part.rels.values():
            kind = relation.reltype.rpartition("/")[2]
            if kind in _NOTES and not relation.is_external:
                part = relation.target_part
                _add_element(assembly, etree.fromstring(part.blob, PARSER), kind.removesuffix("s"), part, pictures)
        for footer in _unique(f for s in word.sections for f in (s.footer, s.first_page_footer, s.even_page_footer)):
            _add_element(assembly, footer._element, "footer", footer.part, pictures)
        _add_drawings(assembly, word.part, pictures.add)
        for relation_id, relation in word.part.rels.items():
            if relation.reltype.endswith("/image"):
                pictures.add(word.part, relation_id)
        _name_others(assembly, word.part, "文件中")
        core = word.core_properties
        source = Source(path=name, media_type=DOCX, title=core.title or None, author=core.author or None)
        return assembly.document(name, source)
    except _BROKEN as error:
        raise UnreadableFileError(
            f"{name}: the Word file is broken ({error}); open it and save it again as docx"
        ) from error


def _without_dangling(data: bytes, assembly: Assembly) -> bytes:
    """The package without references to parts it does not hold, which programs leave behind for pictures they lost
    (`word/NULL`); python-docx and python-pptx would refuse the whole file."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        names = set(package.namelist())
        mended: dict[str, bytes] = {}
        for part in sorted(names):
            if not part.endswith(".rels"):
                continue
            root = etree.fromstring(package.read(part), PARSER)
            base = posixpath.dirname(posixpath.dirname(part))
            lost = [r for r in root if r.get("TargetMode") != "External" and _target(base, r) not in names]
            for relation in lost:
                root.remove(relation)
                target = relation.get("Target") or ""
                # A place in the text itself is no part.
                if not target.startswith("#"):
                    assembly.unread(f"文件中引用的“{target}”不在文件里，未读取")
            if lost:
                mended[part] = etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)
        if not mended:
            return data
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as copy:
            for part in package.namelist():
                copy.writestr(part, mended.get(part) or package.read(part))
        return stream.getvalue()


def _target(base: str, relation: Any) -> str:
    """Name in the package of what a relation of the part in folder `base` leads to (ECMA-376, part 2)."""
    return posixpath.normpath(posixpath.join("/", base, unquote(relation.get("Target") or ""))).lstrip("/")


def _name_others(assembly: Assembly, part: Any, where: str) -> None:
    """Names what is no text: files, films and sound that are kept inside."""
    for relation in part.rels.values():
        if relation.reltype.endswith(_EMBEDDED):
            assembly.embedded(where)
        elif relation.reltype.endswith(_PLAYED):
            assembly.unread(f"{where}有视频或音频，未读取，请另行提交文字稿")


def _unique(parts: Iterator[Any]) -> Iterator[Any]:
    """Headers or footers without those that only repeat the section before."""
    seen: set[int] = set()
    for part in parts:
        if not part.is_linked_to_previous and id(part._element) not in seen:
            seen.add(id(part._element))
            yield part


def _add_element(assembly: Assembly, root: Any, kind: str, part: Any, pictures: _Pictures) -> None:
    """Paragraphs below `root` in document order, each with its pictures; one in a table or text box says so."""
    for paragraph in root.iter(qn("w:p")):
        # Word writes every text box twice, for old and new readers; the old copy is skipped.
        if repeats(paragraph):
            continue
        text, visible = _paragraph_text(paragraph)
        assembly.add(text, _kind(paragraph, kind), visible=visible)
        for node in _own(paragraph, _WORD_ART):
            if not repeats(node):
                assembly.add(node.get("string") or "", "text_box")
        for node in _own(paragraph, qn("a:blip"), _OLD_PICTURE):
            pictures.add(part, node.get(qn("r:embed")) or node.get(qn("r:link")) or node.get(qn("r:id")))


def _own(paragraph: Any, *tags: str) -> Iterator[Any]:
    """Elements of the paragraph that stand in no paragraph inside it, as those of text boxes do."""
    return (node for node in paragraph.iter(*tags) if next(node.iterancestors(qn("w:p")), None) is paragraph)


def _kind(paragraph: Any, kind: str) -> str:
    tags = {a.tag for a in paragraph.iterancestors()}
    if qn("w:txbxContent") in tags:
        return "text_box"
    return "table_cell" if qn("w:tc") in tags else kind


def _hidden(run: Any) -> bool:
    vanish = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
    return vanish is not None and vanish.get(qn("w:val"), "true") not in ("false", "0", "off")


def _paragraph_text(paragraph: Any) -> tuple[str, bool]:
    """Text of the paragraph's own runs, and whether any of it shows; deleted text is not part of the document.

    A guide to the pronunciation would tear the words apart; it follows them.
    """
    parts: list[str] = []
    guides: list[str] = []
    shown = False
    for node in _own(paragraph, *_WRITTEN, *_SIGNS):
        above = {a.tag for a in node.iterancestors()}
        if _MOVED_AWAY in above:
            continue
        (guides if _GUIDE in above else parts).append(node.text or "" if node.tag in _WRITTEN else _SIGNS[node.tag])
        run = next(node.iterancestors(qn("w:r")), None)
        shown = shown or not (run is not None and _hidden(run))
    return "".join(parts) + ("\n" + "".join(guides) if guides else ""), shown


class _Pictures:
    """Reads pictures where the text shows them, each once, and numbers them."""

    def __init__(self, assembly: Assembly, limits: Limits) -> None:
        self._assembly = assembly
        self._limits = limits
        self._known: set[tuple[str, str]] = set()

    def add(self, part: Any, relation_id: str | None) -> None:
        relation = part.rels.get(relation_id) if relation_id else None
        if relation is None or (key := (str(part.partname), str(relation_id))) in self._known:
            return
        self._known.add(key)
        number = len(self._known)
        if relation.is_external:
            self._assembly.unread(f"第{number}张图片在文件之外，未读取")
        else:
            add_embedded(self._assembly, relation.target_part.blob, f"第{number}张图片", self._limits)


def _add_drawings(
    assembly: Assembly, part: Any, add_picture: Callable[[Any, str], None], *, page: int | None = None
) -> None:
    """Words and pictures of charts and SmartArt, which stand in parts of their own."""
    for relation in part.rels.values():
        kind = relation.reltype.rpartition("/")[2]
        if kind in _DRAWINGS and not relation.is_external:
            for text in chart_words(etree.fromstring(relation.target_part.blob, PARSER)):
                assembly.add(text, _DRAWINGS[kind], page=page)
            for inner_id, inner in relation.target_part.rels.items():
                if inner.reltype.endswith("/image"):
                    add_picture(relation.target_part, inner_id)


def read_pptx(data: bytes, name: str, limits: Limits) -> Document:
    """Slides in order: shapes, tables, groups, pictures, notes; `page` is the slide. Raises UnreadableFileError."""
    try:
        assembly, frames = Assembly(), set()
        deck = Presentation(io.BytesIO(_without_dangling(data, assembly)))
        limits.check(name, len(deck.slides), limits.max_pages, "number of slides")
        for number, slide in enumerate(deck.slides, 1):
            if (background := slide._element.cSld.bg) is not None:
                _add_pictures(assembly, background, slide.part, number, limits)
            for frame in (slide.slide_layout.slide_master, slide.slide_layout):
                if frame.part.partname not in frames:
                    frames.add(frame.part.partname)
                    _add_frame(assembly, frame, number, limits)
            for shape in slide.shapes:
                _add_shape(assembly, shape, number, limits)
            _add_alternatives(assembly, slide, number, limits)
            _add_drawings(assembly, slide.part, partial(_add_related, assembly, number, limits), page=number)
            if slide.has_notes_slide:
                _add_notes(assembly, slide.notes_slide, number)
            _add_comments(assembly, slide.part, number)
            _name_others(assembly, slide.part, f"第{number}页")
        core = deck.core_properties
        source = Source(path=name, media_type=PPTX, title=core.title or None, author=core.author or None)
        return assembly.document(name, source)
    except _BROKEN as error:
        raise UnreadableFileError(
            f"{name}: the PowerPoint file is broken ({error}); open it and save it again as pptx"
        ) from error


def _add_frame(assembly: Assembly, frame: Any, page: int, limits: Limits) -> None:
    """What a master or layout shows on every slide made with it, read once; its placeholders hold only prompts."""
    if (background := frame._element.cSld.bg) is not None:
        _add_pictures(assembly, background, frame.part, page, limits)
    for shape in frame.shapes:
        if not shape.is_placeholder:
            _add_shape(assembly, shape, page, limits)


def _add_alternatives(assembly: Assembly, slide: Any, page: int, limits: Limits) -> None:
    """What newer programs write beside a copy for old ones, which python-pptx does not look into: formulas, new shapes."""
    for choice in slide._element.iter(_CHOICE):
        if any(a.tag in (_CHOICE, qn("a:p")) for a in choice.iterancestors()):
            # A formula inside of a paragraph; its letters alone are no copy and stand with it.
            formula = "".join(t.text or "" for t in choice.iter(FORMULA))
            assembly.add(formula, "text_box", page=page)
            continue
        for text in paragraphs(choice):
            assembly.add(text, "text_box", page=page)
        _add_pictures(assembly, choice, slide.part, page, limits)


def _add_comments(assembly: Assembly, part: Any, page: int) -> None:
    for relation in part.rels.values():
        if relation.reltype.endswith("/comments") and not relation.is_external:
            root = etree.fromstring(relation.target_part.blob, PARSER)
            # Old comments are one text each, those since 2021 paragraphs.
            for text in chain((t.text or "" for t in root.iter(_COMMENT)), paragraphs(root)):
                assembly.add(text, "comment", page=page)


def _add_notes(assembly: Assembly, notes: Any, page: int) -> None:
    for shape in notes.shapes:
        prompt = shape.is_placeholder and shape.placeholder_format.type in _PROMPTS
        if shape.has_text_frame and not prompt:
            assembly.add(_with_breaks(shape.text_frame.text), "notes", page=page)


def _add_shape(assembly: Assembly, shape: Any, page: int, limits: Limits) -> None:
    if hasattr(shape, "shapes"):
        _add_pictures(assembly, shape._element.grpSpPr, shape.part, page, limits)
        for inner in shape.shapes:
            _add_shape(assembly, inner, page, limits)
        return
    _add_pictures(assembly, shape._element, shape.part, page, limits)
    if getattr(shape, "has_table", False) and shape.has_table:
        for row in shape.table.rows:
            for cell in row.cells:
                assembly.add(_with_breaks(cell.text), "table_cell", page=page)
    elif getattr(shape, "has_text_frame", False) and shape.has_text_frame:
        assembly.add(_with_breaks(shape.text_frame.text), "text_box", page=page)


def _with_breaks(text: str) -> str:
    """python-pptx gives a line break inside a paragraph as a vertical tab."""
    return text.replace("\x0b", "\n")


def _add_pictures(assembly: Assembly, element: Any, part: Any, page: int, limits: Limits) -> None:
    """Every picture in `element`: placed as such, or filling a shape, a cell or the background, as posters do."""
    for blip in element.iter(qn("a:blip")):
        if embedded := blip.get(qn("r:embed")):
            _add_related(assembly, page, limits, part, embedded)
        elif blip.get(qn("r:link")):
            assembly.unread(f"第{page}页有图片在文件之外，未读取")


def _add_related(assembly: Assembly, page: int, limits: Limits, part: Any, relation_id: str) -> None:
    relation = part.rels.get(relation_id)
    if relation is None:
        # Named already: what it led to is not in the file.
        return
    if relation.is_external:
        assembly.unread(f"第{page}页有图片在文件之外，未读取")
    else:
        add_embedded(assembly, relation.target_part.blob, f"第{page}页的图片", limits, page=page)
