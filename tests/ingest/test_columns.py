"""Tables: which column is the text, which day is meant, what a partitioned folder adds, what an archive may hold."""

import json
from datetime import date

import pytest

from nlp_compliance.errors import RecordError
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
        (1793489400, date(2026, 11, 1)),
        (1793489400000, date(2026, 11, 1)),
        ("", None),
    ],
)
def test_days(stated, meant):
    (document,) = READER.read_bytes(lines({"text": "正文", "published": stated}), "a.jsonl")
    assert document.source.published == meant


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
