"""PDF: the text layer with positions, filled forms and stamps included; pages without one go to OCR."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pypdfium2 as pdfium

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.image import add_picture
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.records import Box, Document, Source

# On a page with fewer characters than this (a scan with a page number) a picture of any size may be the text.
_FEWEST_CHARS = 8
# Smaller pictures on a page of text are logos and stamps.
_SMALLEST_SHARE = 0.03
# Many small pictures that cover so many times as much are one that a program has cut.
_STRIPS = 4
# Lines, boxes and rounded boxes have fewer segments; a few Chinese characters have more than the second, a slogan or a line
# of print more than the third, which beside real text a logo has not (each page read by OCR takes seconds).
_SEGMENTS_OF_A_FRAME = 20
_SEGMENTS_OF_A_WORD = 64
_SEGMENTS_OF_A_LINE = 256
# A line of the text layer that is more times as high as what OCR read within it is a slanted one.
_TALLEST_LINE = 4
# OCR of a long scan stops at this share of the time that a file may take.
_OCR_SHARE = 0.6
_OCR_DPI = 150
_POINTS_PER_INCH = 72
# PDFium tells places on the shown page in whole steps.
_STEPS_PER_POINT = 100
# Annotations whose words stand in no picture of the page; those of other kinds are drawn on it (ISO 32000-1, 12.5.6).
_REMARKS = (
    pdfium.raw.FPDF_ANNOT_TEXT,
    pdfium.raw.FPDF_ANNOT_HIGHLIGHT,
    pdfium.raw.FPDF_ANNOT_UNDERLINE,
    pdfium.raw.FPDF_ANNOT_SQUIGGLY,
    pdfium.raw.FPDF_ANNOT_STRIKEOUT,
    pdfium.raw.FPDF_ANNOT_CARET,
)
_UTF16 = ctypes.POINTER(pdfium.raw.FPDF_WCHAR)
# How PDFium gives a hyphen at the end of a line.
_LINE_HYPHEN = "\ufffe"
# What programs write as the title of a file that was given none.
_NO_TITLES = ("", "untitled", "无标题", "未命名")


def read_pdf(data: bytes, name: str, limits: Limits) -> Document:
    """All pages in order; boxes in points, origin top left. Raises UnreadableFileError or LimitExceededError."""
    try:
        pdf = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        locked = "password" in str(error).lower()
        says = "is encrypted; remove the password" if locked else f"is broken ({error}); export it again"
        raise UnreadableFileError(f"{name}: the PDF {says}") from error
    try:
        limits.check(name, len(pdf), limits.max_pages, "number of pages")
        assembly = Assembly()
        until = time.monotonic() + _OCR_SHARE * limits.max_seconds
        for number in range(len(pdf)):
            page = pdf[number]
            comments = list(_comments(page))
            _add_page(assembly, _flat(pdf, page, number), number + 1, limits, until)
            for comment in comments:
                assembly.add(comment, "comment", page=number + 1)
        if pdf.count_attachments():
            assembly.embedded("文件中")
        return assembly.document(name, Source(path=name, media_type="application/pdf", title=_title(pdf)))
    finally:
        pdf.close()


def _title(pdf: Any) -> str | None:
    title = str(pdf.get_metadata_dict().get("Title") or "").strip()
    return title if title.lower() not in _NO_TITLES else None


def _comments(page: Any) -> Iterator[str]:
    """Words of notes and of remarks on marked text, which a reader sees when pointing at them."""
    for number in range(pdfium.raw.FPDFPage_GetAnnotCount(page)):
        note = pdfium.raw.FPDFPage_GetAnnot(page, number)
        if pdfium.raw.FPDFAnnot_GetSubtype(note) in _REMARKS:
            size = pdfium.raw.FPDFAnnot_GetStringValue(note, b"Contents", None, 0)
            words = ctypes.create_string_buffer(size)
            pdfium.raw.FPDFAnnot_GetStringValue(note, b"Contents", ctypes.cast(words, _UTF16), size)
            yield words.raw.decode("utf-16-le", "replace").rstrip("\0").replace("\r", "\n")
        pdfium.raw.FPDFPage_CloseAnnot(note)


def _flat(pdf: Any, page: Any, number: int) -> Any:
    """The page with what is laid on it (fields of forms, typed notes, stamps) as part of its content."""
    if pdfium.raw.FPDFPage_Flatten(page, pdfium.raw.FLAT_NORMALDISPLAY) != pdfium.raw.FLATTEN_SUCCESS:
        return page
    # The flat content shows when the page is loaded anew.
    page.close()
    return pdf[number]


def _add_page(assembly: Assembly, page: Any, number: int, limits: Limits, until: float) -> None:
    lines = list(_lines(page))
    for text, box in lines:
        # The knife that crops the printed sheet also crops what stands outside of the page.
        assembly.add(text, "pdf_line", page=number, box=box, visible=box is not None)
    beside = [box for _, box in lines if box is not None]
    few = sum(len(text) for text, _ in lines) < _FEWEST_CHARS
    if _has_picture(page, smallest_share=0.0 if few else _SMALLEST_SHARE) or _has_outlines(
        page, _SEGMENTS_OF_A_WORD if few else _SEGMENTS_OF_A_LINE
    ):
        _add_scan(assembly, page, number, limits, until, beside)


def _add_scan(
    assembly: Assembly, page: Any, number: int, limits: Limits, until: float, beside: Sequence[Box] = ()
) -> None:
    """What OCR reads on the page and the text layer (lines at `beside`, in points) does not already say."""
    if time.monotonic() > until:
        # What is read so far would be lost with the process that takes too long.
        assembly.unread(f"第{number}页的图片未识别文字（超过 max_read_seconds，请拆分文件）")
        return
    if not limits.ocr or not ocr.available():
        what = "的图片" if beside else "是扫描图片，"
        assembly.unread(f"第{number}页{what}未识别文字（未安装或未启用文字识别）")
        return
    scale = _OCR_DPI / _POINTS_PER_INCH
    if page.get_width() * page.get_height() * scale * scale > limits.max_pixels:
        assembly.unread(f"第{number}页太大，图片未识别文字（超过 max_pixels）")
        return
    found = Assembly()
    add_picture(found, np.asarray(page.render(scale=scale).to_pil().convert("RGB")), f"第{number}页")
    scanned = found.document("", Source())
    for block in scanned.blocks:
        assert block.box is not None
        box = Box(*(side / scale for side in (block.box.x0, block.box.y0, block.box.x1, block.box.y1)))
        if not any(_says(line, box) for line in beside):
            text = scanned.text[block.start : block.end]
            assembly.add(text, "ocr_line", page=number, box=box, confidence=block.confidence)
    for what in scanned.coverage.unread:
        assembly.unread(what)


def _says(line: Box, read: Box) -> bool:
    """Whether a line of the text layer stands where OCR read one; a slanted watermark has a box over half the page."""
    return ocr.overlap(read, line) > 0.5 and line.y1 - line.y0 < _TALLEST_LINE * (read.y1 - read.y0)


def _has_picture(page: Any, *, smallest_share: float) -> bool:
    """Whether pictures of at least this share of the page stand on it, in one or cut into strips; one inside a form
    counts whatever its size."""
    smallest, together = smallest_share * page.get_width() * page.get_height(), 0.0
    for found in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = found.get_bounds()
        size = (right - left) * (top - bottom)
        together += size
        if found.level > 0 or size >= smallest or together >= _STRIPS * smallest:
            return True
    return False


def _has_outlines(page: Any, least: int) -> bool:
    """Whether shapes of `least` segments together stand on the page that may be letters: designers turn text into curves
    before it is printed."""
    segments = 0
    for found in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_PATH]):
        count = pdfium.raw.FPDFPath_CountSegments(found)
        if count > _SEGMENTS_OF_A_FRAME:
            segments += count
        if segments >= least:
            return True
    return False


def _lines(page: Any) -> Iterator[tuple[str, Box | None]]:
    """Lines of the text layer with the box around their characters; no box where they stand outside of the page."""
    text_page = page.get_textpage()
    text = text_page.get_text_range().replace(_LINE_HYPHEN, "-")
    start = 0
    for line in text.split("\r\n"):
        if line.strip():
            yield line, _box(page, text_page, start, _units(line))
        start += _units(line) + 2


def _units(text: str) -> int:
    """Length as PDFium counts: in UTF-16, where a pictograph is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _box(page: Any, text_page: Any, start: int, count: int) -> Box | None:
    """The box as the page is shown, turned and cropped, which is also how it is rendered for OCR."""
    rectangles = [text_page.get_rect(i) for i in range(text_page.count_rects(start, count))]
    if not rectangles:
        return Box(0, 0, 0, 0)
    lefts, bottoms, rights, tops = zip(*rectangles, strict=True)
    corners = _shown(page, min(lefts), max(tops)), _shown(page, max(rights), min(bottoms))
    (x0, x1), (y0, y1) = (sorted(ends) for ends in zip(*corners, strict=True))
    box = Box(max(0.0, x0), max(0.0, y0), min(page.get_width(), x1), min(page.get_height(), y1))
    return box if box.x0 < box.x1 and box.y0 < box.y1 else None


def _shown(page: Any, x: float, y: float) -> tuple[float, float]:
    """A point of the page's own space, in points from the top left of what is shown of the page."""
    width, height = (round(side * _STEPS_PER_POINT) for side in page.get_size())
    right, down = ctypes.c_int(), ctypes.c_int()
    pdfium.raw.FPDF_PageToDevice(page, 0, 0, width, height, 0, x, y, right, down)
    return right.value / _STEPS_PER_POINT, down.value / _STEPS_PER_POINT
