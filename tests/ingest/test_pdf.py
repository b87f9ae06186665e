"""PDF beyond the plain text layer: text turned into curves, fields and stamps, pages turned and cropped."""

import io

import pytest
from PIL import Image
from pypdfium2 import PdfDocument
from reportlab.pdfgen.canvas import Canvas

from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Reader
from nlp_compliance.records import Box, Document
from nlp_compliance.settings import Settings
from tests.ingest import files


@pytest.fixture(autouse=True)
def told(monkeypatch) -> list[tuple[int, int]]:
    """OCR that tells the size of what it is shown: placing is tested here, reading elsewhere."""
    seen: list[tuple[int, int]] = []

    def read(pixels):
        seen.append((pixels.shape[1], pixels.shape[0]))
        return [ocr.Line("政府兜底", Box(0, 0, 9, 9), 0.9)]

    monkeypatch.setattr(ocr, "read_lines", read)
    monkeypatch.setattr(ocr, "available", lambda: True)
    return seen


def read(data: bytes) -> Document:
    (item,) = Reader(Limits.of(Settings())).read_bytes(data, "a.pdf")
    assert isinstance(item, Document), item.error
    return item


def text(sheet: Canvas) -> None:
    sheet.drawString(40, 300, files.BODY)


def curves(sheet: Canvas, segments: int = 70) -> None:
    path = sheet.beginPath()
    path.moveTo(40, 400)
    for step in range(segments):
        path.curveTo(40 + step, 410, 41 + step, 420, 42 + step, 400)
    sheet.drawPath(path, stroke=0, fill=1)


def frames(sheet: Canvas) -> None:
    for step in range(40):
        sheet.roundRect(10 + step, 10, 300, 40, 4)


def test_text_that_was_turned_into_curves_is_read_by_ocr(told):
    def slogan(sheet: Canvas) -> None:
        text(sheet)
        curves(sheet, 300)

    def logo(sheet: Canvas) -> None:
        text(sheet)
        curves(sheet)

    document = read(files.drawn(text, curves, slogan, frames, logo))
    assert [(b.page, b.kind) for b in document.blocks] == [
        (1, "pdf_line"),
        (2, "ocr_line"),
        (3, "pdf_line"),
        (3, "ocr_line"),
        (5, "pdf_line"),
    ]
    assert len(told) == 2


def test_what_is_filled_into_a_form_is_text_of_the_page():
    def filled(sheet: Canvas) -> None:
        text(sheet)
        sheet.acroForm.textfield(name="f", value="PICC 2026", x=40, y=400, width=200, height=30, relative=False)

    assert sorted(read(files.drawn(filled)).text.split("\n")) == ["PICC 2026", files.BODY]


@pytest.mark.parametrize(("degrees", "corner"), [(90, (297, 41)), (180, (26, 297)), (270, (88, 226))])
def test_boxes_lie_on_a_page_as_it_is_shown(degrees, corner):
    def turned(sheet: Canvas) -> None:
        sheet.setPageRotation(degrees)
        text(sheet)

    box = read(files.drawn(turned)).blocks[0].box
    assert box is not None and (box.x0, box.y0) == pytest.approx(corner, abs=1)


def test_boxes_count_from_the_cropped_page_and_what_is_cropped_off_is_hidden():
    def cropped(sheet: Canvas) -> None:
        sheet.setCropBox((20, 100, 400, 600))
        text(sheet)
        sheet.drawString(40, 50, files.SMALL)

    shown, hidden = read(files.drawn(cropped)).blocks
    assert shown.visible and shown.box is not None and 19 < shown.box.x0 < 22 and 286 < shown.box.y0 < 291
    assert not hidden.visible and hidden.box is None


def test_a_slanted_watermark_hides_nothing_that_ocr_reads():
    def watermark(sheet: Canvas) -> None:
        curves(sheet, 300)
        sheet.rotate(53)
        sheet.setFontSize(40)
        sheet.drawString(0, 0, "内部资料仅供培训使用内部资料仅供培训使用内部")

    document = read(files.drawn(watermark))
    assert "政府兜底" in document.text.split("\n")


def test_lines_below_pictographs_keep_their_boxes():
    def emoji(sheet: Canvas) -> None:
        sheet.drawString(40, 300, "𠮷" * 12 + "沁河保")
        sheet.drawString(40, 200, "住院报七成")

    first, second = read(files.drawn(emoji)).blocks
    assert first.box.y1 < second.box.y0 and second.box.y1 - second.box.y0 < 30


def test_remarks_on_a_page_are_read_and_files_inside_are_named():
    def noted(sheet: Canvas) -> None:
        text(sheet)
        sheet.textAnnotation("领导说写成国家承保", (300, 300, 320, 320))

    pdf = PdfDocument(files.drawn(noted, text))
    pdf.new_attachment("条款.pdf").set_data(b"%PDF")
    stream = io.BytesIO()
    pdf.save(stream)
    document = read(stream.getvalue())
    told = [(document.text[b.start : b.end], b.kind, b.page) for b in document.blocks]
    assert told == [(files.BODY, "pdf_line", 1), ("领导说写成国家承保", "comment", 1), (files.BODY, "pdf_line", 2)]
    assert document.coverage.unread == ("文件中嵌入了其他文件，未读取，请另行提交",)


def test_a_poster_that_a_program_has_cut_into_strips_is_read_and_a_few_logos_are_not(told):
    def pieces(count: int):
        def draw(sheet: Canvas) -> None:
            text(sheet)
            for number in range(count):
                sheet.drawInlineImage(Image.new("RGB", (300, 20), "white"), 40, 50 + 20 * number, 300, 20)

        return draw

    document = read(files.drawn(pieces(8), pieces(2)))
    assert {b.page for b in document.blocks if b.kind == "ocr_line"} == {1}


def test_a_hyphen_at_the_end_of_a_line_stays_a_hyphen():
    def broken(sheet: Canvas) -> None:
        sheet.setFont("Helvetica", 14)
        sheet.drawString(40, 300, "VIP-")
        sheet.drawString(40, 280, "Plan")

    assert read(files.drawn(broken)).text == "VIP-Plan"
