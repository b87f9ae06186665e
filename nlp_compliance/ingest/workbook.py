"""What stands in a workbook beside its cells: pictures, text boxes, charts, comments, lines in the margins of a print."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from html import unescape

from lxml import etree

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.drawing import PARSER, chart_words, paragraphs
from nlp_compliance.ingest.image import add_embedded
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.records import Document, Source

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# What the parts of a package hold, by the beginning of their names (ECMA-376, part 1, 12.3).
_COMMENTS, _THREADS, _DRAWINGS = "xl/comments", "xl/threadedComments/", ("xl/drawings/drawing", "xl/diagrams/data")
_CHARTS, _PICTURES = "xl/charts/chart", "xl/media/"
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
# Stands where the names of sheets stand in the ids of rows.
BESIDE = "单元格之外"
_EMBEDDED = "xl/embeddings/"
# Place, typeface, size and colour of a header or footer, in its text (18.3.1.46).
_MARGIN_CODES = re.compile(r'&(?:"[^"]*"|\d{1,3}|K[\dA-F]{6}|[A-Z])')
_MARGIN = re.compile(rb"<(?:odd|even|first)(?:Header|Footer)[^>]*>([^<]+)<")
# A cell with a formula and no value: programs that write workbooks do not calculate.
_UNCALCULATED = re.compile(rb"<f(?:\s[^>]*)?(?:/>|>[^<]*</f>)(?:<v>\s*</v>|<v/>)?</c>")
# Excel repeats the text of a thread in an old comment, behind this remark for old readers.
_OLD_COPY = re.compile(r"^\[线程批注\]|^\[Threaded comment\]")


def beside_cells(data: bytes, name: str, limits: Limits) -> Document | None:
    """One document of all that no row holds, or None where there is nothing. Raises UnreadableFileError."""
    assembly = Assembly()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = package.namelist()
            for part in names:
                for text, kind in _words(package, part):
                    assembly.add(text, kind)
            for number, part in enumerate((n for n in names if n.startswith(_PICTURES)), 1):
                add_embedded(assembly, package.read(part), f"第{number}张图片", limits)
            if any(n.startswith(_EMBEDDED) for n in names):
                assembly.embedded("文件中")
            uncalculated = 0
            for part in filter(_SHEET.fullmatch, names):
                sheet = package.read(part)
                uncalculated += len(_UNCALCULATED.findall(sheet))
                for margin in _MARGIN.findall(sheet):
                    assembly.add(_MARGIN_CODES.sub(" ", unescape(margin.decode("utf-8", "replace"))), "header")
            if uncalculated:
                assembly.unread(f"{uncalculated}个公式没有存下结果，未读取；请用Excel打开并保存后再提交")
    except (zipfile.BadZipFile, etree.LxmlError, KeyError, ValueError, OSError) as error:
        raise UnreadableFileError(f"{name}: the workbook is broken ({error}); save it again as xlsx") from error
    document = assembly.document(f"{name}!{BESIDE}", Source(path=name, media_type=XLSX))
    return document if document.text or document.coverage.unread else None


def _words(package: zipfile.ZipFile, part: str) -> Iterator[tuple[str, str]]:
    """(text, kind of block) of one part of the package."""
    if part.startswith(_CHARTS):
        yield from ((text, "chart") for text in chart_words(_root(package, part)))
    elif part.startswith(_DRAWINGS):
        yield from ((text, "text_box") for text in paragraphs(_root(package, part)))
    elif part.startswith(_COMMENTS):
        for comment in _root(package, part).iter("{*}comment"):
            text = "".join(t.text or "" for t in comment.iter("{*}t"))
            if not _OLD_COPY.match(text):
                yield text, "comment"
    elif part.startswith(_THREADS):
        yield from ((text.text or "", "comment") for text in _root(package, part).iter("{*}text"))


def _root(package: zipfile.ZipFile, part: str) -> etree._Element:
    return etree.fromstring(package.read(part), PARSER)
