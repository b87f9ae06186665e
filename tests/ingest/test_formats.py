"""Every format: what is read, what is named as unread, and how hostile files fail alone."""

import csv
import io
import json
import zipfile
from dataclasses import astuple
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image

from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.isolate import ChildReader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Reader, expand
from nlp_compliance.records import Box, Document
from nlp_compliance.settings import Settings
from tests.ingest import files, mixed
from tests.ingest.accuracy import measured

FIXTURES = Path(__file__).parents[1] / "fixtures"
BUSY = (FIXTURES / "poster-busy.jpg").read_bytes()
ROWS = [["编号", "发布时间", "公众号", "正文", "阅读"], ["a1", "2024/3/5", "岚溪生活", files.BODY, 210]]
PAGE = (
    '<html><head><title>岚溪保</title></head><body><p>今日开放</p><img data-src="{src}"><p>详见条款</p></body></html>'
)


def reader(**settings) -> Reader:
    return Reader(Limits.of(Settings(**settings)))


def only(data: bytes, name: str, **settings) -> Document:
    (item,) = reader(**settings).read_bytes(data, name)
    assert isinstance(item, Document), item.error
    return item


def failed(data: bytes, name: str, **settings) -> str:
    (item,) = reader(**settings).read_bytes(data, name)
    assert isinstance(item, Failure), item.text
    assert str(item.error).startswith(item.id)
    return f"{item.error.code}: {item.error}"


def csv_bytes() -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerows(ROWS)
    return stream.getvalue().encode("gb18030")


MADE = {
    "a.docx": files.word(),
    "a.pptx": files.slides(),
    "a.pdf": files.pdf([["岚溪保开放参保", files.BODY], [files.SMALL]]),
    "scan.pdf": (FIXTURES / "scan.pdf").read_bytes(),
    "a.jpg": BUSY,
    "a.xlsx": files.workbook(ROWS),
    "a.csv": csv_bytes(),
    "a.eml": files.mail(attachments={}),
    "a.mhtml": files.web_archive(PAGE.format(src="https://example.com/1.jpg"), {"https://example.com/1.jpg": BUSY}),
    "a.html": PAGE.format(src="http://gone/1.jpg").encode(),
    "a.zip": files.archive({"b.txt": files.BODY.encode()}),
}


MADE |= {
    "a.jsonl": json.dumps({"正文": files.BODY, "公众号": "岚溪生活"}).encode(),
    "a.parquet": files.parquet([dict(zip(ROWS[0], ROWS[1], strict=True))]),
    "article.html": files.wechat(f'<p>{files.BODY}</p><p style="color:#fff">{files.SMALL}</p>').encode(),
    "news.html": files.web_page().encode(),
    "pages.tiff": files.frames("TIFF"),
    "moving.gif": files.frames("GIF"),
    "16.txt": files.BODY.encode("utf-16"),
    "gb.txt": files.BODY.encode("gb18030"),
}


def sheets(data: bytes, name: str) -> dict[int | None, tuple[float, float]]:
    """(width, height) by page, of formats that have pages or pixels."""
    if name.endswith(".pdf"):
        pdf = pdfium.PdfDocument(data)
        return {number + 1: (page.get_width(), page.get_height()) for number, page in enumerate(pdf)}
    if name.endswith((".jpg", ".png", ".gif", ".webp")):
        return {None: Image.open(io.BytesIO(data)).size}
    if name.endswith(".tiff"):
        picture = Image.open(io.BytesIO(data))
        return {number + 1: picture.size for number in range(picture.n_frames)}
    return {}


@pytest.mark.parametrize("name", MADE)
def test_contract(name):
    first, second = (list(reader().read_bytes(MADE[name], name)) for _ in range(2))
    pages = sheets(MADE[name], name)
    assert first == second
    for document in first:
        assert isinstance(document, Document)
        last = 0
        for block in document.blocks:
            assert last <= block.start < block.end <= len(document.text)
            last = block.end
            assert document.text[block.start : block.end].strip()
            if block.box:
                assert 0 <= block.box.x0 < block.box.x1 and 0 <= block.box.y0 < block.box.y1
                if pages:
                    width, height = pages[block.page]
                    assert block.box.x1 <= width + 1 and block.box.y1 <= height + 1
            if block.kind == "ocr_line":
                assert block.box and 0 <= block.confidence <= 1
        assert document.coverage.complete == (not document.coverage.unread)
        # Every character but the line feeds between blocks belongs to exactly one block.
        assert "".join(document.text.split()) == "".join(
            "".join(document.text[b.start : b.end].split()) for b in document.blocks
        )


def test_word_is_read_everywhere_and_once():
    document = only(files.word(picture=BUSY), "a.docx")
    kinds = {document.text[b.start : b.end]: b.kind for b in document.blocks}
    assert kinds["内部资料 请勿外传"] == "header" and kinds["详见保险条款"] == "footer"
    assert kinds[files.SMALL] == "text_box" and kinds["2万元"] == "table_cell"
    assert document.text.count(files.SMALL) == 1
    assert [document.text[b.start : b.end] for b in document.blocks if not b.visible] == ["政府兜底"]
    assert kinds["大病住院都能报"] == "ocr_line" and document.source.title == "岚溪保宣传页"


def test_slides():
    document = only(files.slides(), "a.pptx")
    assert document.text.split("\n") == ["岚溪保开放参保", files.BODY, "承保", "岚溪财险", files.SMALL]
    assert {b.page for b in document.blocks} == {1}


def test_pdf_text_layer_has_pages_and_boxes():
    document = only(MADE["a.pdf"], "a.pdf")
    assert document.text.split("\n") == ["岚溪保开放参保", files.BODY, files.SMALL]
    assert [b.page for b in document.blocks] == [1, 1, 2]
    assert 540 - 100 < 600 - document.blocks[1].box.y1 < 540 and document.source.title == "岚溪保折页"


@pytest.mark.parametrize("title", ["untitled", "无标题", ""])
def test_pdf_that_was_given_no_title_has_none(title):
    assert only(files.pdf([[files.BODY]], title), "a.pdf").source.title is None


@pytest.mark.parametrize("name", ["poster-tall.png", "poster-busy.jpg", "scan.pdf"])
def test_ocr_reads_posters_and_scans(name):
    expected, wrong, _ = measured(name)
    assert wrong / expected <= 0.02


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_poster_saved_on_its_side_or_head_is_read_like_the_upright_one(degrees):
    upright = Image.open(io.BytesIO(BUSY))
    turned, stream = upright.rotate(degrees, expand=True), io.BytesIO()
    turned.save(stream, "PNG")
    expected, document = only(BUSY, "a.jpg"), only(stream.getvalue(), "a.png")
    assert document.text == expected.text
    for block, other in zip(document.blocks, expected.blocks, strict=True):
        # The line is marked on the picture as it was sent: turned with that, the mark lies on the upright line.
        mark = Image.new("L", turned.size)
        mark.paste(255, tuple(map(round, astuple(block.box))))
        assert mark.rotate(-degrees, expand=True).getbbox() == pytest.approx(astuple(other.box), abs=8)


def test_a_poster_written_in_columns_is_read_from_right_to_left(monkeypatch):
    """As the engine gives it: columns read with certainty, left to right, and fine print below that must not be lost."""
    drawn = [("岚溪保开放参保", 300, 40), ("人人都能买", 180, 40), ("由岚溪财险承保", 40, 500)]
    boxes = [Box(x, y, x + 50, y + 400) if y < 500 else Box(x, y, x + 250, y + 30) for _, x, y in drawn]
    found = [ocr.Line(text, box, 0.99) for (text, _, _), box in zip(drawn, boxes, strict=True)]
    monkeypatch.setattr(ocr, "_found", lambda picture: found[::-1])
    lines = ocr.read_lines(np.zeros((600, 400, 3), np.uint8))
    assert lines == found


def test_a_slanted_watermark_swallows_no_line_and_a_line_at_the_edge_of_a_tile_is_one(monkeypatch):
    """As the engine gives it: corners of each line in its tile, the second of which begins 160 pixels before the first ends."""
    tiles = {
        1_600: {"内部资料内部资料": (0, 0, 900, 900), "免赔额2万元": (300, 400, 620, 440), "既往症": (40, 1560, 500, 1600)},
        560: {"既往症不赔": (40, 120, 500, 160)},
    }  # fmt: skip

    def engine(tile):
        found = tiles[tile.shape[0]]
        boxes = [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) for x0, y0, x1, y1 in found.values()]
        return SimpleNamespace(boxes=boxes, txts=list(found), scores=[0.99] * len(found))

    monkeypatch.setattr(ocr, "_engine", lambda: engine)
    lines = ocr.read_lines(np.zeros((2_000, 1_000, 3), np.uint8))
    assert sorted(line.text for line in lines) == sorted(["内部资料内部资料", "免赔额2万元", "既往症不赔"])


def test_an_upright_poster_is_read_only_once(monkeypatch):
    found, read = ocr._found, []
    monkeypatch.setattr(ocr, "_found", lambda picture: read.append(picture.shape) or found(picture))
    assert "大病住院都能报" in only(BUSY, "a.jpg").text and len(read) == 1


def test_without_ocr_the_unread_is_named(monkeypatch):
    assert "extra_missing" in failed(BUSY, "a.jpg", ocr=False)
    assert only(MADE["scan.pdf"], "scan.pdf", ocr=False).coverage.unread[0].startswith("第1页是扫描图片")
    monkeypatch.setattr(ocr, "available", lambda: False)
    assert "未识别文字" in only(files.word(picture=BUSY), "a.docx").coverage.unread[0]


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a.parquet", "a.jsonl"])
def test_tables(tmp_path, name):
    path = tmp_path / name
    record = dict(zip(ROWS[0], ROWS[1], strict=True))
    path.write_bytes(json.dumps(record).encode() if name == "a.jsonl" else MADE[name])
    (document,) = reader().read_path(path)
    assert (document.id, document.text, document.source.account) == ("a1", files.BODY, "岚溪生活")
    assert document.source.published == date(2024, 3, 5) and str(document.source.extra["阅读"]) == "210"


def test_the_text_column_is_found_named_or_asked_for():
    table = "编号,代号,说明文字\n1,x,这一列最长所以就是正文了吧\n".encode()
    assert only(table, "a.csv").text == "这一列最长所以就是正文了吧"
    assert next(Reader(Limits.of(Settings()), "代号").read_bytes(table, "a.csv")).text == "x"
    assert "a,b" not in failed(b"a,b\n1,2\n", "a.csv") and "--text-column" in failed(b"a,b\n1,2\n", "a.csv")


def test_a_bad_row_fails_alone():
    good, bad, last = reader().read_bytes(
        "text,published\n好的一条正文,2024-01-02\n坏日期,昨天\n再一条,\n".encode(), "t.csv"
    )
    assert good.text == "好的一条正文" and last.text == "再一条"
    assert bad.id == "t.csv#2" and "published" in str(bad.error)


def test_archives_in_archives_keep_the_way_in_the_id():
    inner = files.archive({"c.txt": files.BODY.encode(), "坏.pdf": b"%PDF-1.4 nothing", "t.csv": csv_bytes()})
    items = list(reader().read_bytes(files.archive({"夹/b.zip": inner, "__MACOSX/x": b"", "d.bin": b"x"}), "a.zip"))
    assert [i.id for i in items] == ["a.zip!夹/b.zip!c.txt", "a.zip!夹/b.zip!坏.pdf", "a1", "a.zip!d.bin"]
    assert [isinstance(i, Failure) for i in items] == [False, True, False, True]


def part(kind: str, content: str, **headers: str) -> bytes:
    lines = [f"Content-Type: {kind}; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\n".join([*lines, "", content]).encode()


def parts(kind: str, *inner: bytes, head: str = "") -> bytes:
    mark = f"=={kind}=="
    body = b"".join(f"--{mark}\n".encode() + one + b"\n" for one in inner)
    return f'{head}Content-Type: multipart/{kind}; boundary="{mark}"\n\n'.encode() + body + f"--{mark}--\n".encode()


HEAD = "Subject: =?utf-8?b?5paH5qGI?=\nFrom: li@example.com\nMIME-Version: 1.0\n"
COPY = part("text/plain", files.BODY, Content_Disposition='attachment; filename="copy.txt"')


@pytest.mark.parametrize(
    ("message", "said", "attached"),
    [
        # Apple Mail puts attachments between the pages, inside of the alternative.
        (
            parts("alternative", part("text/plain", "纯文本"),
                  parts("mixed", part("text/html", "<p>第一段</p>"), COPY, part("text/html", "<p>第二段</p>")), head=HEAD),
            "文案\n第一段\n第二段", ["m.eml!copy.txt"],
        ),
        # Mailing lists put their footer behind the page.
        (
            parts("mixed", part("text/html", "<p>正文</p>"), part("text/plain", "页脚：稳赚不赔"), head=HEAD),
            "文案\n正文\n页脚：稳赚不赔", [],
        ),
        (
            parts("signed", parts("mixed", part("text/plain", "正文"), COPY), part("application/pkcs7-signature", "x"), head=HEAD),
            "文案\n正文", ["m.eml!copy.txt"],
        ),
        # Outlook names its page by an address, as saved pages do; it has been sent to somebody.
        (
            parts("related", part("text/html", "<p>正文</p>", Content_Location="mailto:a"), head=HEAD + "To: wang@example.com\n"),
            "文案\n正文", [],
        ),
        # A saved page with another framed in it.
        (
            parts("related", part("text/html", "<p>正文</p>", Content_Location="https://example.com/a"),
                  part("text/html", "", Content_Location="https://example.com/empty"),
                  part("text/html", "<p>框内：百分百理赔</p>", Content_Location="https://example.com/b"), head=HEAD),
            "正文\n框内：百分百理赔", [],
        ),
    ],
    ids=["Apple Mail", "footer", "signed", "page with an address", "frames"],
)  # fmt: skip
def test_every_text_and_attachment_of_a_mail_is_read(message, said, attached):
    body, *rest = reader().read_bytes(message, "m.eml")
    assert body.text == said
    assert [item.id for item in rest] == attached and all(item.text == files.BODY for item in rest)


def test_mail_with_attachments():
    body, word = reader().read_bytes(files.mail(attachments={"文案.docx": files.word()}), "m.eml")
    assert body.text.split("\n") == ["岚溪保文案送审", files.BODY, files.SMALL]
    assert body.source.published == date(2026, 11, 2) and word.id == "m.eml!文案.docx"


def test_the_day_of_a_mail_is_the_one_in_beijing():
    sent = files.mail(attachments={}).replace(b"Mon, 02 Nov 2026 09:00:00 +0800", b"Wed, 31 Dec 2025 16:30:00 +0000")
    assert only(sent, "m.eml").source.published == date(2026, 1, 1)


def test_web_archives_bring_their_pictures():
    document = only(MADE["a.mhtml"], "a.mhtml")
    assert "大病住院都能报" in document.text and document.coverage.complete
    assert document.text.startswith("岚溪保\n今日开放\n") and document.text.endswith("详见条款")


def test_pictures_beside_a_page_are_read_and_none_outside_its_folder(tmp_path):
    (tmp_path / "page_files").mkdir()
    (tmp_path / "page_files" / "1.jpg").write_bytes(BUSY)
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "page.html").write_text(PAGE.format(src="page_files/1.jpg"), "utf-8")
    (folder / "page.html").write_text(PAGE.format(src="../page_files/1.jpg"), "utf-8")
    (beside,), (outside,) = (list(reader().read_path(f / "page.html")) for f in (tmp_path, folder))
    assert "大病住院都能报" in beside.text
    assert outside.coverage.unread == ("1张图片未识别文字",)


ENTITY = b'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("name", "data", "code", "said"),
    [
        ("a.png", files.png_bomb(50_000), "limit_exceeded", "pixels"),
        ("a.png", BUSY[:3] + b"\0" * 50, "file_unreadable", "broken"),
        ("a.docx", files.word()[:2000], "file_unreadable", "cut off"),
        ("a.docx", files.archive({"word/document.xml": b"<x/>"}), "file_unreadable", "broken"),
        ("a.docx", b"\xd0\xcf\x11\xe0" + b"\0" * 100, "format_unsupported", "encrypted"),
        ("a.docx", b"hello", "file_unreadable", "content is something else"),
        ("a.docm", files.archive({"word/vbaProject.bin": b"x"}), "format_unsupported", "macros"),
        ("a.pdf", b"%PDF-1.7\nnothing", "file_unreadable", "PDF"),
        ("a.zip", files.archive({"b.txt": b"\0" * 30_000_000}), "limit_exceeded", "bomb"),
        ("a.xlsx", files.archive({"xl/workbook.xml": b" " * 30_000_000}), "limit_exceeded", "bomb"),
        ("a.rar", b"Rar!\x1a\x07", "format_unsupported", "zip"),
        ("a.txt", b"x" * 2_000_000, "limit_exceeded", "1000000"),
    ],
)
def test_hostile_files_say_why(name, data, code, said):
    limit = 1_000_000 if name == "a.txt" else 20_000_000
    item = next(iter(reader(max_upload_bytes=limit).read_bytes(data, name)))
    assert isinstance(item, Failure) and item.error.code == code and said in str(item.error)


def test_external_entities_are_not_resolved():
    page = ENTITY + "<html><body><p>好&x;</p></body></html>".encode()
    assert "root:" not in only(page, "a.html").text


def test_members_never_name_a_place_outside():
    (item,) = reader().read_bytes(files.archive({"../../etc/a.txt": "正文".encode()}), "a.zip")
    assert item.id == "a.zip!etc/a.txt"


def test_archives_may_not_stand_too_deep():
    data = files.archive({"x.txt": "正文".encode()})
    for _ in range(5):
        data = files.archive({"x.zip": data})
    (item,) = reader().read_bytes(data, "a.zip")
    assert isinstance(item, Failure) and "max_nesting" in str(item.error)


def test_encrypted_pdf_says_so():
    assert "password" in failed(files.locked_pdf(), "a.pdf")


BOMB = '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("declared", [ENTITY.decode().partition("?>")[2].replace(" x ", " b "), BOMB])
def test_entities_inside_word_files_stay_closed(declared):
    """Neither foreign files nor entities that grow come into the text."""
    package = zipfile.ZipFile(io.BytesIO(files.word()))
    members = {n: package.read(n) for n in package.namelist()}
    body = members["word/document.xml"].decode()
    head, _, rest = body.partition("?>")
    members["word/document.xml"] = (head + "?>" + declared + rest.replace("<w:t>", "<w:t>&b;", 1)).encode()
    items = list(reader().read_bytes(files.archive(members), "a.docx"))
    for item in items:
        text = item.text if isinstance(item, Document) else str(item.error)
        assert "root:" not in text and "aaaaaaaaaa" not in text


def test_a_folder_of_everything_is_read_and_every_failure_named(tmp_path):
    made = mixed.make(tmp_path)
    assert made >= 60
    failures = {}
    for path in expand([tmp_path]):
        if path.suffix in (".jpg", ".webp", ".gif", ".tiff") or path.name in (
            "扫描件.pdf",
            "带图传单.docx",
            "网页.mhtml",
        ):
            # Reading pictures takes seconds each and is tested above.
            continue
        for item in reader(ocr=False).read_path(path):
            if isinstance(item, Failure):
                failures[item.id.replace(str(tmp_path) + "/", "")] = item.error.code
            else:
                assert item.text.strip()
    assert failures.pop("表/导出.jsonl#9") == "record_invalid"
    bomb = [name for name in failures if name.startswith("坏/炸弹.zip!")]
    assert failures.pop(bomb[0]) == "limit_exceeded"
    expected = {k: v for k, v in mixed.EXPECTED_FAILURES.items() if k not in ("坏/炸弹.zip", "坏/炸弹.png")}
    assert failures.pop("坏/炸弹.png") in ("limit_exceeded", "extra_missing") and failures == expected


class Endless:
    """Stands in for a reader that a file has driven into a loop, and for one that it crashes."""

    limits = Limits.of(Settings(max_read_seconds=1))

    def __init__(self, act: str) -> None:
        self.act = act
        self.isolated = None

    def read_bytes(self, data: bytes, name: str, *, folder: object = None):
        import os
        import time

        if name == "good":
            yield Document(name, data.decode())
        elif self.act == "hang":
            time.sleep(60)
        else:
            os._exit(3)


@pytest.mark.parametrize(("act", "said"), [("hang", "max_seconds"), ("crash", "stopped")])
def test_a_reader_that_hangs_or_dies_loses_its_own_file_only(act, said, monkeypatch):
    monkeypatch.setattr("nlp_compliance.ingest.isolate.replace", lambda reader, **_: reader)
    with ChildReader(Endless(act)) as child:
        assert [d.text for d in child.read(b"1", "good")] == ["1"]
        (item,) = child.read(b"x", "bad")
        assert isinstance(item, Failure) and said in str(item.error)
        assert [d.text for d in child.read(b"2", "good")] == ["2"]


def test_a_reader_that_cannot_be_started_fails_that_file_and_the_next_one_is_read(monkeypatch):
    monkeypatch.setattr("nlp_compliance.ingest.isolate.replace", lambda reader, **_: reader)

    def refused(process: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with ChildReader(Endless("hang")) as child:
        with monkeypatch.context() as short_of_processes:
            short_of_processes.setattr("multiprocessing.context.SpawnProcess.start", refused)
            (item,) = child.read(b"1", "first")
        assert isinstance(item, Failure) and "temporarily unavailable" in str(item.error)
        assert [d.text for d in child.read(b"2", "good")] == ["2"]
