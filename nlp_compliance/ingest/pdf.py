"""PDF: the text layer with positions; pages without one go to OCR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pypdfium2 as pdfium

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.image import add_picture
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.records import Box, Document, Source

# A page with fewer characters than this and a picture on it is a scan with a stamp or page number, not a text page.
_FEWEST_CHARS = 8
_OCR_DPI = 150
_POINTS_PER_INCH = 72


def read_pdf(data: bytes, name: str, limits: Limits) -> Document:
    """All pages in order; boxes in points, origin top left. Raises UnreadableFileError or LimitExceededError."""
    try:
        pdf = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        says = "is encrypted; remove the password" if "password" in str(error).lower() else f"is broken ({error})"
        raise UnreadableFileError(f"{name}: the PDF {says} and try again") from error
    try:
        limits.check(name, len(pdf), limits.max_pages, "number of pages")
        assembly = Assembly()
        for number in range(len(pdf)):
            _add_page(assembly, pdf[number], number + 1, limits)
        title = str(pdf.get_metadata_dict().get("Title") or "").strip() or None
        return assembly.document(name, Source(path=name, media_type="application/pdf", title=title))
    finally:
        pdf.close()


def _add_page(assembly: Assembly, page: Any, number: int, limits: Limits) -> None:
    height = page.get_height()
    lines = list(_lines(page, height))
    if sum(len(text) for text, _ in lines) >= _FEWEST_CHARS or not _has_picture(page):
        for text, box in lines:
            assembly.add(text, "pdf_line", page=number, box=box)
        if _has_picture(page) and lines:
            assembly.unread(f"第{number}页的图片未识别文字")
        return
    if not limits.ocr or not ocr.available():
        assembly.unread(f"第{number}页是扫描图片，未识别文字（未安装或未启用文字识别）")
        return
    scale = _OCR_DPI / _POINTS_PER_INCH
    limits.check(f"第{number}页", round(page.get_width() * height * scale * scale), limits.max_pixels, "pixels")
    pixels = np.asarray(page.render(scale=scale).to_pil().convert("RGB"))
    before = Assembly()
    add_picture(before, pixels, f"第{number}页")
    scanned = before.document("", Source())
    for block in scanned.blocks:
        assert block.box is not None
        box = Box(block.box.x0 / scale, block.box.y0 / scale, block.box.x1 / scale, block.box.y1 / scale)
        text = scanned.text[block.start : block.end]
        assembly.add(text, "ocr_line", page=number, box=box, confidence=block.confidence)
    for what in scanned.coverage.unread:
        assembly.unread(what)


def _has_picture(page: Any) -> bool:
    return next(iter(page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3)), None) is not None


def _lines(page: Any, height: float) -> Iterator[tuple[str, Box]]:
    """Lines of the text layer with the box around their characters, origin moved to the top left."""
    text_page = page.get_textpage()
    text = text_page.get_text_range()
    start = 0
    for line in text.split("\r\n"):
        if line.strip():
            yield line, _box(text_page, start, len(line), height)
        start += len(line) + 2


def _box(text_page: Any, start: int, count: int, height: float) -> Box:
    rectangles = [text_page.get_rect(i) for i in range(text_page.count_rects(start, count))]
    if not rectangles:
        return Box(0, 0, 0, 0)
    lefts, bottoms, rights, tops = zip(*rectangles, strict=True)
    return Box(max(0, min(lefts)), max(0, height - max(tops)), max(rights), height - min(bottoms))
