"""One contract for every reader, then what each format is known for."""

from datetime import date
from pathlib import Path

import pytest

from nlp_compliance.errors import InputError
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Reader, expand
from nlp_compliance.records import Document
from nlp_compliance.settings import Settings

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
FILES = sorted(SAMPLES.iterdir())
READER = Reader(Limits.of(Settings()))


def documents(path: Path) -> list[Document]:
    items = list(READER.read_path(path))
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-32"])
def test_encodings(encoding):
    (document,) = READER.read_bytes("惠民保今日开放".encode(encoding), "a.txt")
    assert document.text == "惠民保今日开放"


TAIWANESE = (
    "「全家安心保」終身醫療險：政府掛保證，什麼病都賠！住院日額2000元，保費每月只要399元起。\n"
    "名額有限，請立即洽詢業務員，或掃描海報上的條碼投保。詳細給付內容以保單條款為準。\n"
)


@pytest.mark.parametrize("encoding", ["big5", "gb18030"])
@pytest.mark.parametrize("name", ["傳單.txt", "廣告.html", "匯出.csv"])
def test_the_traditional_characters_of_taiwan_and_hong_kong_are_told_from_those_of_the_mainland(encoding, name):
    start = {"傳單.txt": "", "廣告.html": "<!DOCTYPE html><title>x</title><p>", "匯出.csv": "text\n"}[name]
    document, *_ = READER.read_bytes((start + TAIWANESE).encode(encoding), name)
    assert "政府掛保證，什麼病都賠！住院日額2000元" in document.text


def test_texts_of_the_mainland_are_never_taken_for_big5():
    for path in (p for p in FILES if p.suffix == ".txt"):
        text = path.read_text("utf-8")
        assert [d.text for d in READER.read_bytes(text.encode("gb18030"), "a.txt")] == [text]


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"\xff\xff\xff\x81", "a.txt", "UTF-8"),
        (b"ab\x00c", "a.txt", "binary"),
        (b"MZ\x90", "a.exe", "no reader for .exe"),
        (b"abc", "noextension", "without extension"),
    ],
)
def test_unreadable(data, name, said):
    (failure,) = READER.read_bytes(data, name)
    assert isinstance(failure.error, InputError) and said in str(failure.error)


@pytest.mark.parametrize("name", ["速来投保!.txt", "a.zip!速来投保!.txt", "海报/抓紧!.txt"])
def test_a_name_with_an_exclamation_mark_keeps_its_suffix(name):
    (document,) = READER.read_bytes("惠民保今日开放".encode(), name)
    assert document.id == name
    (failure,) = READER.read_bytes(b"abc", "a.zip!README")
    assert "without extension" in str(failure.error)


@pytest.mark.parametrize("text", ["PK各大医疗险", "GIF8动图", "%PDF-说明", "Rar!压缩包"])
def test_texts_that_begin_as_other_formats_do_are_texts(text):
    (document,) = READER.read_bytes(text.encode(), "a.txt")
    assert document.text == text


def test_content_decides_before_the_extension():
    (document,) = READER.read_bytes(b"<!DOCTYPE html><p>99</p>", "a.txt")
    assert document.source.media_type == "text/html"


def test_a_file_over_the_limit_or_gone_fails_alone(tmp_path):
    (tmp_path / "big.txt").write_text("保" * 400, "utf-8")
    reader = Reader(Limits.of(Settings(max_upload_bytes=1_000)))
    (failure,) = reader.read_path(tmp_path / "big.txt")
    assert "1200; allowed: 1000" in str(failure.error) and failure.error.code == "limit_exceeded"
    (gone,) = reader.read_path(tmp_path / "gone.txt")
    assert isinstance(gone, Failure)


@pytest.mark.parametrize("mark", [b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"], ids=["little", "big"])
def test_the_mark_of_utf_32_is_not_taken_for_utf_16(mark):
    data = mark + "政府兜底".encode("utf-32-le" if mark[0] else "utf-32-be")
    (document,) = READER.read_bytes(data, "a.txt")
    assert document.text == "政府兜底"


def test_links_to_nothing_and_to_folders_are_missing_texts(tmp_path):
    (tmp_path / "文案.txt").symlink_to(tmp_path / "移走了.txt")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("惠民保今日开售", "utf-8")
    (tmp_path / "往期.jsonl").symlink_to(tmp_path / "folder")
    read = {p.name: list(READER.read_path(p)) for p in expand([tmp_path])}
    assert sorted(read) == ["a.txt", "往期.jsonl", "文案.txt"]
    assert isinstance(read["文案.txt"][0], Failure)
    (link,) = read["往期.jsonl"]
    assert isinstance(link, Failure) and "link to a folder" in str(link.error)


def test_folders_are_read_in_order_and_nothing_is_passed_over_in_silence(tmp_path):
    (tmp_path / "page_files").mkdir()
    (tmp_path / "e").mkdir()
    names = ("b.txt", "a.html", "c.bin", "d.JSONL", "e/x.txt", "page.htm", "page_files/1.jpg", ".DS_Store", "~$b.docx")
    for name in names:
        (tmp_path / name).write_text("x", "utf-8")
    found = [str(p.relative_to(tmp_path)) for p in expand([tmp_path / "b.txt", tmp_path, tmp_path / "e"])]
    assert found == ["b.txt", "a.html", "c.bin", "d.JSONL", "e/x.txt", "page.htm"]
    assert [p.name for p in expand([tmp_path / "*.txt"])] == ["b.txt"]
    assert [p.name for p in expand([tmp_path / "e"], without=[tmp_path / "e" / "x.txt"])] == []
    (failure,) = READER.read_path(tmp_path / "c.bin")
    assert failure.error.code == "format_unsupported"


def test_a_file_is_read_once_however_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.txt").write_text("x", "utf-8")
    (tmp_path / "a" / "y.txt").write_text("y", "utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    found = expand([Path("a/b"), Path("a"), Path("link"), tmp_path / "a", Path("a/../a/y.txt")])
    assert list(map(str, found)) == ["a/b/x.txt", "a/y.txt"]
