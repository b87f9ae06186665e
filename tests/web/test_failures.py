"""Everything that readers and checker can say no to, as an officer reads it."""

import ast
import re

import pytest

from nlp_compliance import errors
from nlp_compliance.checker import Checker
from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Reader
from nlp_compliance.rulebook import load_rulebook
from nlp_compliance.settings import Settings
from nlp_compliance.web.desk import failures
from tests.ingest import files
from tests.web.acting import FIXTURES

PACKAGE = FIXTURES.parents[1] / "nlp_compliance"
# What is raised while a file is read and checked; a broken bundle stops the server before there is any file.
SOURCES = [
    *(PACKAGE / "ingest").glob("*.py"),
    PACKAGE / "checker.py",
    PACKAGE / "text/parse.py",
    PACKAGE / "store/files.py",
]
NEVER_MET = {"NlpComplianceError", "BundleError"}
LIMITS = Limits.of(
    Settings(max_upload_bytes=50_000, max_members=2, max_nesting=1, max_pages=2, max_pixels=10_000, ocr=False)
)


def raised() -> list[str]:
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "nlp_compliance.errors":
                found |= {alias.name for alias in node.names}
    return sorted(found - NEVER_MET)


@pytest.mark.parametrize("name", raised())
def test_every_error_class_has_words_for_officers(name):
    code = getattr(errors, name).code
    said = failures.said(code, "something that no pattern knows")
    assert said != failures.said("no such code", "something that no pattern knows")
    assert "；请" in said and not re.search("[a-z]{3,} [a-z]{2,}", said)


def failed(name: str, data: bytes) -> NlpComplianceError:
    """Why a file of this name could not be used."""
    checker = Checker([], load_rulebook(), max_text_chars=100)
    for item in Reader(LIMITS).read_bytes(data, name):
        if isinstance(item, Failure):
            return item.error
        (result,) = checker.check_many([item])
        if isinstance(result, NlpComplianceError):
            return result
    raise AssertionError(f"{name} was read")


# fmt: off
REFUSED = [
    ("too big",             "a.txt",     b"x" * 60_000,                          "文件有60,000字节，最多50,000字节；请拆分"),
    ("too many pages",      "a.pdf",     files.pdf([["一"], ["二"], ["三"]]),       "共3页，最多2页；请拆分"),
    ("too many members",    "a.zip",     files.archive({f"{n}.txt": b"x" for n in range(3)}), "压缩包里有3个文件，最多2个"),
    ("nested too deep",     "a.zip",     files.archive({"b.zip": files.archive({"c.txt": b"x"})}), "压缩包套了2层，最多1层"),
    ("text too long",       "a.txt",     "长".encode() * 101,                     "文字有101个字符，最多100个字符"),
    ("old Office",          "a.doc",     b"\xd0\xcf\x11\xe0",                    "是旧版或加密的Office文件；请去掉密码"),
    ("rar",                 "a.rar",     b"Rar!\x1a\x07\x00",                    "是rar压缩包，只能读取zip"),
    ("unknown kind",        "a.mp4",     b"\x00\x01",                            "不能读取.mp4文件；请转存为"),
    ("no extension",        "a",         b"\x00\x01",                            "文件没有扩展名，也认不出内容"),
    ("encrypted PDF",       "a.pdf",     files.locked_pdf(),                     "PDF有密码；请去掉密码"),
    ("broken PDF",          "a.pdf",     b"%PDF-1.7 nothing",                    "PDF已损坏；请重新导出"),
    ("cut off Word",        "a.docx",    files.word()[:500],                     "文件不完整或已损坏；请重新保存"),
    ("another content",     "a.docx",    b"nothing",                             "扩展名是.docx，内容却不是"),
    ("binary",              "a.txt",     b"a\x00b",                              "内容不是文字；请核对"),
    ("pictures are off",    "a.png",     files.png_bomb(10),                     "服务器没有启用图片文字识别；请联系管理员"),
    ("empty",               "a.txt",     b" \n",                                 "没有文字；请确认内容完整"),
    ("nothing to be seen",  "a.txt",     "\u200b\u200b".encode(),                "只有空白或看不见的字符"),
    ("bad encoding",        "a.txt",     b"\xff\xff\xff",                        "文字编码不是UTF-8、UTF-16、GB18030或Big5"),
    ("mark of UTF-8 lies",  "a.txt",     b"\xef\xbb\xbfabc\xff",                 "标明是utf-8-sig编码，第3个字节处却不是"),
    ("table without rows",  "a.csv",     "正文\n".encode(),                       "表格里没有一行有文字"),
    ("empty table",         "a.csv",     b"",                                    "表格没有表头；第一行须写明"),
    ("no column of texts",  "a.csv",     "id,价格\n1,2\n".encode(),               "没有一列是文案（现有：id, 价格）"),
    ("columns of one name", "a.csv",     "正文,正文\n甲,乙\n".encode(),             "有几列同名（正文）"),
    ("open quotation mark", "a.csv",     '正文\n甲\n"乙\n'.encode(),               "第3行的引号没有成对，这一行没有检查；请补全引号"),
    ("no JSON",             "a.jsonl",   b"{no json",                            "第1行不是JSON"),
    ("no field text",       "a.jsonl",   b'{"id": 1}',                           "没有文字"),
    ("a day that is none",  "a.jsonl",   '{"text": "一", "published": "昨天"}'.encode(), "发布日期'昨天'无法识别"),
]
# fmt: on


@pytest.mark.parametrize(("what", "name", "data", "wanted"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_refusal_says_in_chinese_what_was_found_and_what_is_allowed(what, name, data, wanted):
    error = failed(name, data)
    said = failures.said(error.code, str(error))
    assert wanted in said and not re.search("[a-z]{3,} [a-z]{2,}", said), error


# fmt: off
HARD = [
    ("limit_exceeded", "a.pdf: takes longer than 120 s (max_seconds); split the file or raise the limit", "读取超过120秒仍未完成"),
    ("limit_exceeded", "a.xlsx: more than 1048576 rows; split the sheet", "工作表超过1,048,576行"),
    ("limit_exceeded", "a.png: pixels is 90000000; allowed: 60000000; split the file or raise the limit", "图片有90,000,000像素，最多60,000,000像素"),
    ("file_unreadable", "a.zip!b.txt: the member is encrypted; pack it again without a password", "压缩包里的文件有密码"),
    ("extra_missing", "Parquet needs the optional extra parquet; install it: pip install", "没有安装读取Parquet的组件"),
    ("file_unreadable", "a.docx: cannot be read (KeyError: 'x'); save the file again", "文件打不开，可能已损坏、加密"),
]
# fmt: on


@pytest.mark.parametrize(("code", "message", "wanted"), HARD)
def test_what_is_hard_to_bring_about_is_said_too(code, message, wanted):
    assert wanted in failures.said(code, message)


def test_a_note_of_what_was_not_read_quotes_errors_in_chinese():
    note = "第1张图片无法读取（第1张图片: the picture is broken (cannot identify image file); export it again as png or jpg）"
    assert failures.unread(note) == "第1张图片无法读取：图片已损坏；请重新导出为png或jpg"
    assert failures.unread("动图只识别了第一帧") == "动图只识别了第一帧"
