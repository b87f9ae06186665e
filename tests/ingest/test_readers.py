"""One contract for every reader, then what each format is known for."""

from datetime import date
from pathlib import Path

import pytest

from nlp_compliance.errors import InputError
from nlp_compliance.ingest.reader import Failure, expand, read_bytes, read_path
from nlp_compliance.records import Document

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
FILES = sorted(SAMPLES.iterdir())


def documents(path: Path) -> list[Document]:
    items = list(read_path(path, max_bytes=1_000_000))
    assert not [i for i in items if isinstance(i, Failure)]
    return items


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_contract(path):
    for document in documents(path):
        last = 0
        for block in document.blocks:
            assert last <= block.start < block.end <= len(document.text)
            last = block.end
            assert document.text[block.start : block.end].strip()
        assert document.coverage.complete == (not document.coverage.unread)
    assert documents(path) == documents(path)


def test_wechat_article():
    (document,) = documents(SAMPLES / "wechat-qinhe.html")
    assert document.source.account == "沁河生活圈" and document.source.author == "小满"
    assert document.source.published == date(2026, 10, 20)
    assert document.text.startswith("沁河惠民保今日开放参保，这些变化您要知道\n")
    assert "菜籽油" in document.text and "rich_media_title" not in document.text
    assert document.coverage.unread == ("1张图片未识别文字",)
    hidden = [b for b in document.blocks if not b.visible]
    assert [document.text[b.start : b.end] for b in hidden] == ["惠民保怎么买 惠民保哪个好 医保报销"]


def test_cells_of_a_table_stay_apart():
    (document,) = documents(SAMPLES / "wechat-lanting.html")
    assert "目录内住院自付 | 1.6万元 | 80%（特定既往症40%） | 100万元" in document.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_encodings(encoding):
    assert read_bytes("惠民保今日开放".encode(encoding), name="a.txt").text == "惠民保今日开放"


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"\xff\xff\xff\x00\x81", "a.txt", "UTF-8"),
        (b"MZ\x90", "a.exe", "no reader for .exe"),
        (b"abc", "noextension", "without extension"),
    ],
)
def test_unreadable(data, name, said):
    with pytest.raises(InputError, match=said):
        read_bytes(data, name=name)


def test_content_decides_before_the_extension():
    assert read_bytes(b"<!DOCTYPE html><p>99</p>", name="a.txt").source.media_type == "text/html"


def test_a_file_over_the_limit_or_gone_fails_alone(tmp_path):
    (tmp_path / "big.txt").write_text("保" * 100, "utf-8")
    (failure,) = read_path(tmp_path / "big.txt", max_bytes=10)
    assert "300 bytes" in str(failure.error) and failure.error.code == "limit_exceeded"
    (gone,) = read_path(tmp_path / "gone.txt", max_bytes=10)
    assert isinstance(gone, Failure)


def test_folders_are_read_in_order_and_only_known_kinds(tmp_path):
    for name in ("b.txt", "a.html", "c.bin", "d.JSONL"):
        (tmp_path / name).write_text("x", "utf-8")
    assert [p.name for p in expand([tmp_path])] == ["a.html", "b.txt", "d.JSONL"]
