"""Tables: which column is the text, which day is meant, what a partitioned folder adds, what an archive may hold."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from openpyxl import Workbook

from nlp_compliance.errors import RecordError
from nlp_compliance.ingest.isolate import ChildReader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Reader
from nlp_compliance.settings import Settings
from tests.ingest import files

READER = Reader(Limits.of(Settings()))


def lines(*records: object) -> bytes:
    return "\n".join(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records).encode()


def test_json_lines_find_the_text_column_as_tables_do():
    first, second = READER.read_bytes(lines({"正文": files.BODY, "公众号": "甲号"}, {"正文": "短"}), "a.jsonl")
    assert (first.text, first.source.account, second.text) == (files.BODY, "甲号", "短")
    (longest,) = READER.read_bytes(lines({"k": "x", "说明": files.BODY}), "a.jsonl")
    assert longest.text == files.BODY and longest.source.extra == {"k": "x"}


def test_json_lines_take_the_column_asked_for():
    data = lines({"text": "不是这个", "copy": files.BODY})
    (document,) = Reader(Limits.of(Settings()), "copy").read_bytes(data, "a.jsonl")
    assert document.text == files.BODY
    (failure,) = Reader(Limits.of(Settings()), "none").read_bytes(data, "a.jsonl")
    assert isinstance(failure, Failure) and isinstance(failure.error, RecordError)


def test_a_line_without_text_still_fails_alone():
    good, absent, broken, wrong = READER.read_bytes(lines({"text": "好"}, {"id": "c"}, "{broken", "[1]"), "a.jsonl")
    assert good.text == "好" and [f.id for f in (absent, broken, wrong)] == [f"a.jsonl#{n}" for n in (2, 3, 4)]


def test_a_line_that_never_ends_is_not_read_whole(monkeypatch, tmp_path):
    monkeypatch.setattr("nlp_compliance.ingest.table._LONGEST_LINE", 100)
    (tmp_path / "a.jsonl").write_bytes(lines({"text": "一" * 400}, {"text": "二"}))
    failure, document = READER.read_path(tmp_path / "a.jsonl")
    assert isinstance(failure, Failure) and document.text == "二"


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("2026-11-02", date(2026, 11, 2)),
        ("2026/11/2", date(2026, 11, 2)),
        ("2026.11.02 08:30", date(2026, 11, 2)),
        ("2026年11月2日", date(2026, 11, 2)),
        ("2026年11月12日 08:30", date(2026, 11, 12)),
        ("2026-11-02T23:30:00+08:00", date(2026, 11, 2)),
        # In Beijing the new year has begun.
        ("2025-12-31T16:30:00Z", date(2026, 1, 1)),
        ("2025-12-31 16:30:00+0000", date(2026, 1, 1)),
        ("9999-12-31T23:59:59Z", date(9999, 12, 31)),
        (1793489400, date(2026, 11, 1)),
        (1793489400000, date(2026, 11, 1)),
        ("2026/1/5 9:30", date(2026, 1, 5)),
        ("2026-1-5 09:30:00", date(2026, 1, 5)),
        ("20261102", date(2026, 11, 2)),
        ("1793489400.0", date(2026, 11, 1)),
        ("", None),
        (" ", None),
    ],
)
def test_days(stated, meant):
    (document,) = READER.read_bytes(lines({"text": "正文", "published": stated}), "a.jsonl")
    assert document.source.published == meant


@pytest.mark.parametrize("stated", ["26/1/5", "2026-13-01", "0026-01-05", "1970-01-01T00:00:45Z", "0000045678", "昨天"])
def test_what_is_no_day_fails_its_row_and_says_so(stated):
    (failure,) = READER.read_bytes(lines({"text": "正文", "published": stated}), "a.jsonl")
    assert failure.id == "a.jsonl#1" and stated in str(failure.error) and "2026-01-31" in str(failure.error)


@pytest.mark.parametrize("rows", [3, 120])
def test_a_quotation_mark_that_is_never_closed_hides_nothing(tmp_path, rows):
    texts = [f'{n},"第{n}条：今天天气不错"' for n in range(rows)]
    texts[1] = texts[1][:-1]
    texts[-1] = texts[-1][:-1]
    (tmp_path / "a.csv").write_text("\n".join(["id,正文", *texts, "x,政府兜底"]), "utf-8")
    items = list(READER.read_path(tmp_path / "a.csv"))
    failures = [i for i in items if isinstance(i, Failure)]
    assert [i.id for i in items if i not in failures] == ["0", *(str(n) for n in range(2, rows - 1)), "x"]
    for failure, number in zip(failures, (2, rows), strict=True):
        assert failure.id == f"{tmp_path / 'a.csv'}#{number}" and f"line {number + 1}:" in str(failure.error)


def test_quotation_marks_inside_of_cells_are_read_as_people_mean_them():
    exported = (
        "编号,正文,阅读\n"
        '1,"客户说"真好"，然后就投保了",210\n'
        '2,客户说"政府兜底"，马上扫码,99\n'
        '3,"第一段：""全国最好""\n第二段：扫码投保",5\n'
        '4,"放心，这是"政府兜底"",7\n'
        '5,"限时,限量,"最后一天",不投后悔",8\n'
        '6,"最后一条" ,9\n'
    )
    items = list(READER.read_bytes(exported.encode("gb18030"), "导出.csv"))
    assert [i.text for i in items] == [
        '客户说"真好"，然后就投保了',
        '客户说"政府兜底"，马上扫码',
        '第一段："全国最好"\n第二段：扫码投保',
        '放心，这是"政府兜底"',
        '限时,限量,"最后一天',
        "最后一条",
    ]
    # A mark before a comma ends the cell, as in spreadsheets; what stands behind it is kept.
    assert items[4].source.extra == {"阅读": '不投后悔"', "多出的单元格": ["8"]}


def test_a_blank_id_and_surplus_cells():
    first, second = READER.read_bytes("id,正文\n ,政府兜底\n2,政府兜底,多的\n".encode(), "a.csv")
    assert first.id == "a.csv#1" and second.source.extra == {"多出的单元格": ["多的"]}


def test_folders_of_partitioned_parquet_are_columns(tmp_path):
    folder = tmp_path / "月份=2026-11" / "公众号=岚溪%20生活"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet").write_bytes(files.parquet([{"正文": files.BODY, "id": "1"}]))
    (document,) = READER.read_path(folder / "part-0.parquet")
    assert document.source.account == "岚溪 生活" and document.source.extra == {"月份": "2026-11"}


def test_archives_hold_tables_of_every_kind():
    row = {"id": "1", "正文": files.BODY}
    packed = files.archive({"a.jsonl": lines(row), "b.parquet": files.parquet([row]), "c.parquet": b"PAR1 broken"})
    first, second, broken = READER.read_bytes(packed, "t.zip")
    assert first.text == second.text == files.BODY
    assert broken.id == "t.zip!c.parquet" and broken.error.code == "file_unreadable"


def test_a_forwarded_message_is_read_too():
    from email import message_from_bytes, policy
    from email.message import EmailMessage

    outer = EmailMessage()
    outer["Subject"], outer["From"] = "转发", "a@example.com"
    outer.set_content("请审")
    outer.add_attachment(message_from_bytes(files.mail(attachments={}), policy=policy.default))
    cover, inner = READER.read_bytes(outer.as_bytes(), "m.eml")
    assert "请审" in cover.text and files.BODY in inner.text and inner.source.title == "岚溪保文案送审"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_tables_come_in_the_encodings_that_people_export(tmp_path, name, encoding):
    rows = [{"id": str(n), "正文": f"第{n}条：上线了，政府兜底"} for n in range(120)]
    whole = (
        lines(*rows).decode() if name == "a.jsonl" else "\n".join(["id,正文", *(",".join(r.values()) for r in rows)])
    )
    (tmp_path / name).write_bytes(whole.encode(encoding))
    for items in (READER.read_path(tmp_path / name), READER.read_bytes(whole.encode(encoding), name)):
        assert [(i.id, i.text) for i in items] == [(r["id"], r["正文"]) for r in rows]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_a_bad_line_in_any_encoding_fails_alone_and_is_numbered(encoding):
    data = lines({"text": "第一条文案"}, "", "{坏行", {"text": "第四条文案"}).decode().encode(encoding)
    first, bad, last = READER.read_bytes(data, "a.jsonl")
    assert (first.id, bad.id, last.id) == ("a.jsonl#1", "a.jsonl#3", "a.jsonl#4") and last.text == "第四条文案"


def test_texts_cut_by_bytes_are_not_taken_for_gb18030():
    cut = [json.dumps({"text": f"第{n}条：{files.BODY}障"}, ensure_ascii=False).encode() for n in range(3)]
    cut = [line.replace("障".encode() + b'"', "障".encode()[:2] + b'"') for line in cut]
    *bad, good = READER.read_bytes(b"\n".join([*cut, lines({"text": files.SMALL})]), "a.jsonl")
    assert [f.error.code for f in bad] == ["text_encoding"] * 3 and good.text == files.SMALL


def test_damaged_bytes_spoil_their_own_line_only():
    damaged = "第二条".encode() + b"\xff"
    data = lines({"text": "第一条文案"}, {"text": "第二条"}, {"text": "第三条文案"}).replace("第二条".encode(), damaged)
    first, bad, last = READER.read_bytes(data, "a.jsonl")
    assert (first.text, last.text) == ("第一条文案", "第三条文案")
    assert isinstance(bad, Failure) and bad.id == "a.jsonl#2"
    data = lines({"text": "第一条文案"}, {"text": "坏@@"}).decode().encode("utf-16-le").replace(b"@\0@\0", b"\0\xd8")
    first, bad = READER.read_bytes(b"\xff\xfe" + data, "a.jsonl")
    assert first.text == "第一条文案" and isinstance(bad, Failure)


def test_a_text_that_stands_where_headings_should_is_not_lost():
    rows = ["1,岚溪保由政府兜底，人人都该有一份", "2,岚溪保是全国最好的医疗保险"]
    (failure,) = READER.read_bytes("\n".join(rows).encode(), "a.csv")
    assert failure.id == "a.csv" and "headings" in str(failure.error) and "岚溪保由政府兜底" in str(failure.error)
    (failure,) = READER.read_bytes(files.workbook([row.split(",") for row in rows]), "a.xlsx")
    assert failure.id == "a.xlsx" and "headings" in str(failure.error)


def test_headings_given_twice_are_named():
    rows = [["编号", "正文", "正文"], ["1", "岚溪保由政府兜底", "今日开放参保"]]
    for data, name in (("\n".join(map(",".join, rows)).encode(), "a.csv"), (files.workbook(rows), "a.xlsx")):
        (failure,) = READER.read_bytes(data, name)
        assert failure.error.code == "record_invalid" and "正文" in str(failure.error)
    (document,) = READER.read_bytes("编号,正文,,\n1,岚溪保由政府兜底,,\n".encode(), "a.csv")
    assert document.text == "岚溪保由政府兜底"


def test_the_column_asked_for_goes_before_one_called_text():
    (document,) = Reader(Limits.of(Settings()), "copy").read_bytes("copy,text\n政府兜底,不是这个\n".encode(), "a.csv")
    assert document.text == "政府兜底"


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.csv", "编号,正文\n".encode()), ("a.jsonl", b""), ("b.jsonl", b"\n\n"), ("a.xlsx", files.workbook([["正文"]]))],
)
def test_a_table_without_rows_is_a_failure(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    for (failure,) in (READER.read_path(tmp_path / name), READER.read_bytes(data, name)):
        assert isinstance(failure, Failure) and failure.error.code == "text_empty" and name in failure.id


@pytest.mark.parametrize("text", ["", "\u3000", "\u200b\u200b\ufeff"])
def test_a_row_without_text_keeps_its_id_and_tells_its_place(text):
    good, bad = READER.read_bytes(f"id,正文\n1,政府兜底\n2,{text}\n".encode(), "b.csv")
    assert good.id == "1" and isinstance(bad, Failure) and bad.id == "2"
    assert bad.error.code == "text_empty" and str(bad.error).startswith("b.csv#2: ")
    (bad,) = READER.read_bytes(lines({"id": "2", "text": text}), "b.jsonl")
    assert bad.id == "2" and str(bad.error).startswith("b.jsonl#1: ")


@pytest.mark.parametrize("name", ["crawl.jsonl", "crawl.csv"])
def test_a_field_that_holds_a_whole_page_is_read_as_the_page(tmp_path, name):
    page = files.wechat(f'<p>{files.BODY}</p><p style="display:none">医保 报销</p><img data-src="https://x/1.png">')
    rows = [{"id": "1", "content": page, "账号": "岚溪号"}, {"id": "2", "content": "保障<50万元的请绕道", "账号": ""}]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0])
    writer.writeheader(), writer.writerows(rows)
    (tmp_path / name).write_bytes(lines(*rows) if name == "crawl.jsonl" else stream.getvalue().encode())
    with ChildReader(READER) as child:
        for reader in (READER, replace(READER, isolated=child)):
            article, plain = reader.read_path(tmp_path / name)
            assert article.text.split("\n") == ["岚溪保开放参保", files.BODY, "医保 报销"]
            assert [b.visible for b in article.blocks] == [True, True, False]
            assert (article.id, article.place) == ("1", f"{tmp_path / name}#1")
            assert (article.source.account, article.source.title) == ("岚溪号", "岚溪保开放参保")
            assert article.source.published == date(2026, 11, 1) and article.coverage.unread == ("1张图片未识别文字",)
            assert plain.text == "保障<50万元的请绕道"


def test_the_title_of_a_row_is_checked_behind_its_text():
    rows = "title,text\n政府兜底的沁河保,住院报七成\n沁河保,沁河保今天开放投保\n"
    first, second = Reader(Limits.of(Settings())).read_bytes(rows.encode(), "a.csv")
    assert first.text == "住院报七成\n政府兜底的沁河保" and first.blocks[-1].kind == "title"
    assert second.text == "沁河保今天开放投保"


def test_a_column_that_is_empty_in_the_first_rows_is_still_the_text():
    rows = "标题,正文\n" + "一篇没有正文的文章标题,\n" * 60 + "标题,保本保息，稳赚不赔\n"
    *empty, last = Reader(Limits.of(Settings())).read_bytes(rows.encode(), "a.csv")
    assert len(empty) == 60 and all(isinstance(e, Failure) for e in empty)
    assert last.text == "保本保息，稳赚不赔\n标题"


def test_commas_in_a_table_of_one_column_belong_to_the_text():
    (row,) = Reader(Limits.of(Settings())).read_bytes("文案\n本产品很好,保本保息,稳赚不赔\n".encode(), "a.csv")
    assert row.text == "本产品很好,保本保息,稳赚不赔" and not row.source.extra


def test_a_table_cut_inside_a_character_fails_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text\n沁河保今天开放投保\n政府兜底".encode()[:-1])
    (failure,) = Reader(Limits.of(Settings())).read_path(path)
    assert isinstance(failure, Failure) and failure.error.code == "text_encoding"


def test_the_day_of_a_moment_in_parquet_is_the_one_in_beijing():
    moment = datetime(2025, 12, 31, 16, 30, tzinfo=UTC)
    (row,) = READER.read_bytes(files.parquet([{"text": files.BODY, "published": moment}]), "a.parquet")
    assert row.source.published == date(2026, 1, 1)


def test_a_table_whose_only_row_is_broken_tells_what_is_wrong_with_it():
    (failure,) = READER.read_bytes('标题,描述\n开售,"今日开放参保\n'.encode(), "a.csv")
    assert failure.id == "a.csv#1" and "quotation mark" in str(failure.error)


def test_values_that_no_json_holds_cost_nothing_or_their_own_row():
    pictures = [{"text": files.BODY, "image": {"bytes": b"\x89PNG", "path": "1.png"}}]
    (row,) = READER.read_bytes(files.parquet(pictures), "a.parquet")
    assert row.source.extra == {"image": {"bytes": str(b"\x89PNG"), "path": "1.png"}}
    book = files.repacked(
        files.workbook([["正文", "流水号"], [files.BODY, 777]]),
        lambda part, content: (part, content.replace(b"<v>777<", f"<v>{10**20}<".encode())),
    )
    (row,) = READER.read_bytes(book, "a.xlsx")
    assert row.source.extra == {"流水号": str(10**20)}
    deep = '{"text": "正文", "k": ' + "[" * 300 + "]" * 300 + "}"
    failure, row = READER.read_bytes(lines(deep, {"text": "下一行"}), "a.jsonl")
    assert failure.id == "a.jsonl#1" and failure.error.code == "record_invalid" and row.text == "下一行"


def test_a_sheet_with_one_row_beside_a_table_is_named():
    book = Workbook()
    book.active.append(["正文"])
    book.active.append(["沁河保今天开放投保"])
    book.create_sheet("口号").append(["本产品保本保息，稳赚不赔"])
    good, bad = Reader(Limits.of(Settings())).read_bytes(files.saved(book), "a.xlsx")
    assert good.text == "沁河保今天开放投保" and isinstance(bad, Failure) and bad.id == "a.xlsx!口号"
