"""Workbooks beside their cells: what officers paste, remark and chart there is read, or named where it cannot be."""

import io

import pytest
from openpyxl import Workbook
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.drawing.image import Image as Picture
from PIL import Image

from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Item, Reader, place_of
from nlp_compliance.ingest.workbook import BESIDE
from nlp_compliance.records import Box, Document
from nlp_compliance.settings import Settings
from tests.ingest import files


@pytest.fixture(autouse=True)
def told(monkeypatch) -> None:
    monkeypatch.setattr(ocr, "read_lines", lambda pixels: [ocr.Line("海报：政府兜底", Box(0, 0, 9, 9), 0.9)])
    monkeypatch.setattr(ocr, "available", lambda: True)


def read(book: Workbook) -> list[Item]:
    return list(Reader(Limits.of(Settings())).read_bytes(files.saved(book), "a.xlsx"))


def poster() -> Picture:
    stream = io.BytesIO()
    Image.new("RGB", (120, 80), "white").save(stream, "PNG")
    return Picture(stream)


def table() -> Workbook:
    book = Workbook()
    book.active.append(["编号", "正文"])
    book.active.append([1, files.BODY])
    return book


def test_a_table_alone_has_nothing_beside_it():
    (row,) = read(table())
    assert row.text == files.BODY


def test_comments_pictures_charts_and_margins_are_a_document_of_their_own():
    book = table()
    sheet = book.active
    sheet["B2"].comment = Comment("领导说可以写国家承保", "小周")
    sheet.add_image(poster(), "D1")
    chart = BarChart()
    chart.title = "各险种理赔率"
    chart.add_data(Reference(sheet, min_col=1, min_row=1, max_row=2), titles_from_data=True)
    sheet.add_chart(chart, "F1")
    sheet.oddHeader.center.text = "百分百理赔 & 放心投保"
    row, beside = read(book)
    assert isinstance(row, Document) and row.text == files.BODY
    assert isinstance(beside, Document) and place_of(beside) == f"a.xlsx!{BESIDE}"
    kinds = {beside.text[b.start : b.end]: b.kind for b in beside.blocks}
    assert kinds["领导说可以写国家承保"] == "comment" and kinds["海报：政府兜底"] == "ocr_line"
    assert kinds["各险种理赔率"] == "chart" and beside.coverage.complete
    assert "header" in kinds.values() and "百分百理赔" in beside.text and "放心投保" in beside.text


def test_a_poster_pasted_into_an_empty_sheet_is_read_though_there_is_no_table():
    book = Workbook()
    book.active.add_image(poster(), "A1")
    empty, beside = read(book)
    assert isinstance(empty, Failure)
    assert isinstance(beside, Document) and beside.text == "海报：政府兜底"
    assert place_of(empty) != place_of(beside)


def test_formulas_that_were_never_calculated_are_counted():
    book = table()
    book.active.append([2, '="政府"&"兜底"'])
    book.active.append([3, "=B2"])
    *_, beside = read(book)
    assert isinstance(beside, Document)
    assert beside.coverage.unread == ("2个公式没有存下结果，未读取；请用Excel打开并保存后再提交",)


def test_pictures_without_ocr_are_named(monkeypatch):
    monkeypatch.setattr(ocr, "available", lambda: False)
    book = table()
    book.active.add_image(poster(), "D1")
    _, beside = read(book)
    assert isinstance(beside, Document) and not beside.text and "第1张图片" in beside.coverage.unread[0]
