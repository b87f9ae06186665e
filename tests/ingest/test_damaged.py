"""Files as careless programs leave them: cut characters, wrong sizes and charsets, cover sheets, pictures elsewhere."""

import io
import re
import warnings
import zipfile

import pytest
from openpyxl import Workbook
from PIL import Image
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.oxml import parse_xml

from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Item, Reader, place_of
from nlp_compliance.records import Box, Document
from nlp_compliance.settings import Settings
from tests.ingest import files

_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def read(data: bytes, name: str) -> list[Item]:
    return list(Reader(Limits.of(Settings())).read_bytes(data, name))


def only(data: bytes, name: str) -> Document:
    (item,) = read(data, name)
    assert isinstance(item, Document), item.error
    return item


@pytest.mark.parametrize("name", ["a.txt", "a.html"])
def test_one_cut_character_costs_no_more_than_itself_and_is_named(name):
    page = f"<html><body><p>{files.BODY}</p></body></html>" if name == "a.html" else files.BODY
    document = only(page.encode().replace("赔付".encode(), "赔".encode() + b"\xe4\xbb", 1), name)
    assert document.text == files.BODY.replace("付", "\ufffd", 2).replace("\ufffd", "付", 1)
    assert document.coverage.unread == ("有1处字符已损坏，无法读取（文中为\ufffd）",)


def test_a_text_cut_within_its_last_character_is_not_taken_for_gb18030():
    whole = "大病住院都能报销多次理赔不限"
    data = whole.encode() + b"\xe4\xb8"
    assert data.decode("gb18030") and only(data, "a.txt").text == whole + "\ufffd"


@pytest.mark.parametrize(
    ("stated", "written"),
    [("gb2312", "gb18030"), ("us-ascii", "utf-8"), ("utf-8", "gb18030"), ("x-unknown", "utf-8"), ("big5", "big5")],
)
def test_a_message_is_read_whatever_charset_it_states(stated, written):
    head = f"From: a@example.com\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset={stated}\n"
    # The second character is in GBK but not in GB 2312.
    body = "政府擔保，保險期間一年" if written == "big5" else "朱镕先生说，政府兜底。"
    data = head.encode() + b"Content-Transfer-Encoding: 8bit\n\n" + body.encode(written)
    assert only(data, "m.eml").text == f"x\n{body}"


def test_a_workbook_that_states_a_wrong_size_is_read_whole():
    def wrong(name: str, content: bytes) -> tuple[str, bytes]:
        return name, re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', content)

    book = files.workbook([["编号", "正文"], ["1", files.BODY], ["2", files.SMALL]])
    assert [i.text for i in read(files.repacked(book, wrong), "a.xlsx")] == [files.BODY, files.SMALL]


def test_a_cover_sheet_fails_alone():
    book = Workbook()
    book.active.title = "说明"
    book.active.append(["本表为第三季度推文汇总"])
    book.active.append(["请各单位核对"])
    sheet = book.create_sheet("数据")
    for row in (["编号", "正文"], ["1", files.BODY]):
        sheet.append(row)
    cover, row = read(files.saved(book), "a.xlsx")
    assert isinstance(cover, Failure) and cover.id == "a.xlsx!说明" and row.text == files.BODY


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv"])
def test_cells_without_a_heading_come_back_wherever_they_stand(name):
    rows = [["编号", "", "正文", ""], ["1", "甲", files.BODY, "乙", "丙"]]
    data = files.workbook(rows) if name == "a.xlsx" else "\n".join(map(",".join, rows)).encode()
    assert only(data, name).source.extra == {"多出的单元格": ["甲", "乙", "丙"]}


@pytest.fixture
def slide(monkeypatch):
    """An empty slide with a text box; OCR tells the size of what it is shown."""
    monkeypatch.setattr(ocr, "read_lines", lambda p: [ocr.Line(f"图{p.shape[1]}x{p.shape[0]}", Box(0, 0, 9, 9), 0.9)])
    monkeypatch.setattr(ocr, "available", lambda: True)
    deck = Presentation()
    page = deck.slides.add_slide(deck.slide_layouts[6])
    page.shapes.add_textbox(0, 0, 900, 900).text_frame.text = files.BODY
    return page


def slides(page) -> Document:
    return only(files.saved(page.part.package.presentation_part.presentation), "a.pptx")


def poster() -> io.BytesIO:
    stream = io.BytesIO()
    Image.new("RGB", (100, 50), "white").save(stream, "PNG")
    return stream


def test_a_poster_laid_as_background_of_a_slide_is_read(slide):
    _, relation = slide.part.get_or_add_image_part(poster())
    slide._element.cSld.insert(
        0,
        parse_xml(
            '<p:bg xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
            f' xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{_RELATIONS}">'
            f'<p:bgPr><a:blipFill><a:blip r:embed="{relation}"/></a:blipFill></p:bgPr></p:bg>'
        ),
    )
    assert slides(slide).text == f"图100x50\n{files.BODY}"


def test_a_picture_outside_of_the_deck_is_named_and_loses_nothing_beside_it(slide):
    (blip,) = slide.shapes.add_picture(poster(), 0, 0)._element.xpath(".//a:blip")
    del blip.attrib[f"{{{_RELATIONS}}}embed"]
    blip.set(f"{{{_RELATIONS}}}link", slide.part.relate_to("file:///c:/a.png", f"{_RELATIONS}/image", is_external=True))
    document = slides(slide)
    assert document.text == files.BODY and document.coverage.unread == ("第1页有图片在文件之外，未读取",)


def test_names_in_a_chart_are_read_once(slide):
    data = CategoryChartData()
    data.categories = ["住院", "门诊"]
    data.add_series("赔付率", (0.9, 0.8))
    data.add_series("同类产品", (0.5, 0.4))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 900, 900, data)
    assert sorted(slides(slide).text.split("\n")) == sorted([files.BODY, "住院", "门诊", "赔付率", "同类产品"])


@pytest.mark.parametrize("encoding", ["gb18030", "big5hkscs"])
def test_a_character_cut_in_other_encodings_costs_no_more_than_itself(encoding):
    simplified, traditional = (
        "保险期间一年，住院费用扣除免赔额后按比例赔付。",
        "保險期間一年，住院費用扣除免賠額後按比例賠付。",
    )
    line = simplified if encoding == "gb18030" else traditional
    data = (line * 8).encode(encoding)
    document = only(data[:-1], "a.txt")
    assert document.text.startswith(line * 7) and len(document.coverage.unread) == 1
    (failure,) = read(bytes(range(128, 256)) * 20, "a.txt")
    assert isinstance(failure, Failure) and failure.error.code == "text_encoding"


def test_damage_that_only_a_library_knows_is_a_failure_and_the_next_file_is_read():
    newer = bytearray(files.archive({"a.txt": files.BODY.encode()}))
    # The version that is needed to unpack, in the central directory.
    newer[newer.index(b"PK\x01\x02") + 6] = 99
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as package:
        package.writestr("a.txt", files.BODY * 99)
        package.writestr("b.txt", files.SMALL, zipfile.ZIP_STORED)
    corrupt = bytearray(stream.getvalue())
    corrupt[60:80] = b"\xff" * 20
    for name in ("a.zip", "a.docx", "a.xlsx"):
        (failure,) = read(bytes(newer), name)
        assert isinstance(failure, Failure) and failure.error.code == "file_unreadable"
    bad, good = read(bytes(corrupt), "b.zip")
    assert isinstance(bad, Failure) and bad.id == "b.zip!a.txt" and good.text == files.SMALL


def test_a_fault_of_a_reader_is_a_failure_that_the_log_explains(monkeypatch, caplog, tmp_path):
    def faulty(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    for place in ("reader.read_html", "table._encoding"):
        monkeypatch.setattr(f"nlp_compliance.ingest.{place}", faulty)
    for name in ("a.html", "a.csv"):
        (tmp_path / name).write_text("<html><body>正文</body></html>", "utf-8")
        (failure,) = Reader(Limits.of(Settings())).read_path(tmp_path / name)
        assert isinstance(failure, Failure) and failure.id == str(tmp_path / name)
        assert failure.error.code == "file_unreadable" and "ZeroDivisionError" in str(failure.error)
        assert "Traceback" in caplog.text
        caplog.clear()


def test_members_of_one_name_keep_places_of_their_own():
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as package:
        warnings.simplefilter("ignore")
        for text in (files.BODY, files.SMALL):
            package.writestr("a.txt", text)
    first, second = read(stream.getvalue(), "p.zip")
    assert (place_of(first), place_of(second)) == ("p.zip!a.txt", "p.zip!a（2）.txt")
    assert (first.text, second.text) == (files.BODY, files.SMALL)


@pytest.mark.parametrize("name", ["a.docx", "a.pptx"])
def test_what_a_file_refers_to_and_does_not_hold_is_named_and_costs_nothing_else(name):
    def lost(part: str, content: bytes) -> tuple[str, bytes]:
        whose = "word/_rels/document.xml.rels" if name == "a.docx" else "ppt/slides/_rels/slide1.xml.rels"
        image = f'<Relationship Id="rId99" Type="{_RELATIONS}/image" Target="../NULL"/></Relationships>'
        return part, content.replace(b"</Relationships>", image.encode()) if part == whose else content

    whole = files.word() if name == "a.docx" else files.slides()
    document = only(files.repacked(whole, lost), name)
    assert document.text == only(whole, name).text
    assert document.coverage.unread == ("文件中引用的“../NULL”不在文件里，未读取",)


def test_a_main_part_with_a_number_is_a_word_file():
    def numbered(part: str, content: bytes) -> tuple[str, bytes]:
        swapped = content.replace(b"word/document.xml", b"word/document2.xml")
        return part.replace("document.xml", "document2.xml"), swapped

    assert only(files.repacked(files.word(), numbered), "a.docx").text == only(files.word(), "a.docx").text
