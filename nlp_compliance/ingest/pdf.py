"""PDF: the text layer with positions; pages without one go to OCR."""

from __future__ import annotations

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

# A page with fewer characters than this and a picture on it is a scan with a stamp or page number, not a text page.
_FEWEST_CHARS = 8
# Smaller pictures on a page of text are logos and stamps.
_SMALLEST_SHARE = 0.03
# OCR of a long scan stops at this share of the time that a file may take.
_OCR_SHARE = 0.6
_OCR_DPI = 150
_POINTS_PER_INCH = 72


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
            _add_page(assembly, pdf[number], number + 1, limits, until)
        title = str(pdf.get_metadata_dict().get("Title") or "").strip() or None
        return assembly.document(name, Source(path=name, media_type="application/pdf", title=title))
    finally:
        pdf.close()


def _add_page(assembly: Assembly, page: Any, number: int, limits: Limits, until: float) -> None:
    height = page.get_height()
    lines = list(_lines(page, height))
    if sum(len(text) for text, _ in lines) >= _FEWEST_CHARS or not _has_picture(page):
        for text, box in lines:
            assembly.add(text, "pdf_line", page=number, box=box)
        if lines and _has_picture(page, smallest_share=_SMALLEST_SHARE):
            _add_scan(assembly, page, number, limits, until, beside=[box for _, box in lines])
        return
    _add_scan(assembly, page, number, limits, until)


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
        if not any(ocr.overlap(box, other) > 0.5 for other in beside):
            text = scanned.text[block.start : block.end]
            assembly.add(text, "ocr_line", page=number, box=box, confidence=block.confidence)
    for what in scanned.coverage.unread:
        assembly.unread(what)


def _has_picture(page: Any, *, smallest_share: float = 0.0) -> bool:
    """Whether a picture of at least this share of the page stands on it; one inside a form counts whatever its size."""
    smallest = smallest_share * page.get_width() * page.get_height()
    for found in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = found.get_bounds()
        if found.level > 0 or (right - left) * (top - bottom) >= smallest:
            return True
    return False


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
