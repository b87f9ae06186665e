"""Tables with one text a row: JSON Lines, CSV, xlsx, Parquet. Rows stream; a bad row fails alone.

The text column is the one named, else the first with a usual name, else the one with the longest texts in the first
rows. `id`, `published`, `title`, `author`, `account`, `url` (or their Chinese names) are understood; every other
column is carried through into the result.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from urllib.parse import unquote

import orjson

from nlp_compliance.errors import (
    EmptyTextError,
    InputError,
    LimitExceededError,
    MissingExtraError,
    RecordError,
    TextEncodingError,
    UnreadableFileError,
)
from nlp_compliance.ingest.days import stamped_day, zoned_day
from nlp_compliance.ingest.places import Place, shown
from nlp_compliance.ingest.plain import chinese_encoding, marked_encoding, nearly_whole, paragraph_blocks
from nlp_compliance.records import Block, Document, Source, is_visible

_FIELDS = {
    "id": ("id", "编号", "序号", "文章id"),
    "text": ("text", "正文", "内容", "文案", "文本", "全文", "content", "body", "article"),
    "published": ("published", "发布时间", "发布日期", "日期", "publish_time", "create_time", "date"),
    "title": ("title", "标题"),
    "author": ("author", "作者"),
    "account": ("account", "公众号", "账号", "来源账号"),
    "url": ("url", "链接", "网址", "link"),
}
_OWN = set(_FIELDS)
_LOOKED_AT = 50
# A cell may be as long as a text may be; the csv module's own bound of 131,072 would break long articles.
csv.field_size_limit(10_000_000)
# A longer line is no record; reading it whole would fill the memory.
_LONGEST_LINE = 64_000_000
# Of a heading in a message: it may be a whole text.
_SHOWN = 20
_PARTITION = re.compile(r"([^=/\\]+)=([^/\\]*)")
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_DAY = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})(?!\d)|(\d{4})(\d\d)(\d\d)(?!\d)")
# Seconds or milliseconds since 1970, as crawlers keep them; a table of numbers adds `.0`.
_STAMP = re.compile(r"([1-9]\d{9})(\d{3})?(\.\d*)?")
# Nothing that is checked is older; an earlier year is a slip.
_FIRST_YEAR = 1990
# Whole numbers that results hold; workbooks have longer ones.
_INTEGERS = range(-(2**63), 2**64)
# Where cells come back that no heading names.
_SURPLUS = "多出的单元格"


@dataclass(frozen=True, slots=True)
class TableDocument(Document):
    """The document of a row; `place` is `path#row`, whatever id the row gives itself."""

    place: str = ""


# A document, or (id, error, place).
Row = TableDocument | tuple[str, InputError, str]


def read_jsonl(path: Place, *, text_column: str | None = None) -> Iterator[Row]:
    """A document for every good line, its id, error and place for every bad one; blank lines are skipped.

    In the encodings of texts (`plain.py`). Raises RecordError when no line has the column asked for.
    """
    with path.open("rb") as raw:
        yield from _jsonl_rows(raw, shown(path), text_column)


def jsonl_rows(data: bytes, name: str, *, text_column: str | None = None) -> Iterator[Row]:
    """As `read_jsonl`, of bytes already in memory."""
    yield from _jsonl_rows(io.BytesIO(data), name, text_column)


def _numbered(raw: Any) -> Iterator[tuple[int, bytes | str]]:
    """Lines with their numbers; of one that never ends only the beginning, which is no JSON and fails alone."""
    encoding = _encoding(raw)
    stream: BinaryIO | TextIO = raw
    if encoding != "utf-8-sig":
        # A byte that is no text becomes `\x..`, which JSON does not know: its line fails, and alone.
        stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n", errors="backslashreplace")
    elif raw.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        raw.seek(0)
    number = 0
    with stream:
        while line := stream.readline(_LONGEST_LINE):
            number += 1
            rest = line
            while len(rest) == _LONGEST_LINE and rest[-1:] not in (b"\n", "\n"):
                rest = stream.readline(_LONGEST_LINE)
            yield number, line


def _jsonl_rows(raw: Any, name: str, text_column: str | None) -> Iterator[Row]:
    stream = _numbered(raw)
    first = list(islice(stream, _LOOKED_AT))
    names = _jsonl_names(first, name, text_column)
    for number, line in chain(first, stream):
        if line.strip():
            where = f"{name}#{number}"
            try:
                yield _judgeable(record_document(_called(_parsed(line, number), names), where), where)
            except InputError as error:
                yield where, error, where


def _judgeable(document: TableDocument, where: str) -> Row:
    """The document, or its failure under its own id where there is nothing to read; only here the row is known."""
    if is_visible(document.text):
        return document
    error = EmptyTextError(f"{where}: the text is empty; send the text as it was or will be published")
    return document.id, error, where


def _jsonl_names(lines: Iterable[tuple[int, bytes | str]], name: str, text_column: str | None) -> dict[str, str]:
    """Our name of each field, by the first records; none where only the records' own errors can tell what is wrong."""
    records: list[Mapping[Any, object]] = []
    for number, line in lines:
        with contextlib.suppress(InputError):
            if line.strip() and isinstance(record := _parsed(line, number), dict):
                records.append(record)
    try:
        return _column_names(records, name, text_column) if records else {}
    except RecordError:
        if text_column is not None:
            raise
        return {}


def _called(record: object, names: dict[str, str]) -> object:
    if not isinstance(record, dict):
        return record
    ours = {names[k]: v for k, v in record.items() if k in names}
    return {k: v for k, v in record.items() if k not in names} | ours


def _parsed(line: bytes | str, number: int) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        kind = TextEncodingError if "surrogate" in str(error) or "UTF-8" in str(error) else RecordError
        raise kind(f"line {number} is no JSON object: {error}") from error


def record_document(record: object, where: str) -> TableDocument:
    """The document of one record; `where` becomes its id when it has none, or a blank one.

    Raises RecordError naming the field, or where further fields hold what no result can.
    """
    if not isinstance(record, dict):
        raise RecordError(f"the line holds a {type(record).__name__}; expected an object with a field text")
    text = record.get("text")
    if not isinstance(text, str):
        raise RecordError(f"field text is {'absent' if text is None else type(text).__name__}; expected a string")
    record = _plain_fields(record | {"text": ""})
    stated = record.get("id")
    identifier = where if stated is None or not str(stated).strip() else str(stated)
    source = Source(
        path=where.rpartition("#")[0],
        media_type="application/jsonl",
        published=_day(record.get("published")),
        extra={k: v for k, v in record.items() if k not in _OWN},
        **{k: str(record[k]) for k in ("title", "author", "account", "url") if record.get(k) is not None},
    )
    return TableDocument(identifier, text, paragraph_blocks(text), source, place=where)


def _plain_fields(record: dict[Any, object]) -> dict[str, Any]:
    """The fields as a result can hold them: bytes and decimals inside of structs as text. Raises RecordError."""
    try:
        fields: dict[str, Any] = orjson.loads(orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS))
    except TypeError as error:
        raise RecordError(f"further columns hold what JSON cannot ({error}); leave that column out") from error
    return fields


def with_title(row: TableDocument) -> TableDocument:
    """The row with its title as a block behind the text, so that offsets still count in the text as it was sent."""
    title = (row.source.title or "").strip()
    if not title or title in row.text:
        return row
    start = len(row.text) + 1
    block = Block(start, start + len(title), "title")
    return replace(row, text=f"{row.text}\n{title}", blocks=(*row.blocks, block))


def _day(value: object) -> date | None:
    stated = "" if value is None else str(value).strip()
    if not stated:
        return None
    day = _stated_day(stated)
    if day is None or day.year < _FIRST_YEAR:
        raise RecordError(f"field published is {value!r}; expected a day from {_FIRST_YEAR} on, as 2026-01-31")
    return day


def _stated_day(stated: str) -> date | None:
    if stamp := _STAMP.fullmatch(stated):
        return stamped_day(int(stamp[1]))
    if (day := zoned_day(stated)) is not None:
        return day
    if found := _DAY.match(stated):
        with contextlib.suppress(ValueError):
            return date(*(int(part) for part in found.groups() if part is not None))
    return None


def read_csv(path: Place, *, text_column: str | None = None) -> Iterator[Row]:
    """Rows of a CSV or TSV file in the encodings of texts, with a heading line. Row 1 is the first below it."""
    with path.open("rb") as raw:
        encoding = _encoding(raw)
        with io.TextIOWrapper(raw, encoding=encoding, newline="", errors="strict") as stream:
            yield from _csv_rows(stream, shown(path), text_column)


def csv_rows(data: bytes, name: str, *, text_column: str | None = None) -> Iterator[Row]:
    """As `read_csv`, of bytes already in memory."""
    encoding = _encoding(io.BytesIO(data))
    stream = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, newline="")
    yield from _csv_rows(stream, name, text_column)


def _encoding(raw: Any) -> str:
    """By the byte order mark, else UTF-8 where most lines of the first megabyte are valid or few of its characters
    damaged, else GB18030 or Big5.

    One line of another encoding, or texts cut by bytes, must not turn all others into characters that nobody wrote.
    """
    head: bytes = raw.read(1_000_000)
    raw.seek(0)
    if marked := marked_encoding(head):
        return marked
    told = [_is_utf8(line) for line in head.splitlines() if not line.isascii()]
    if 2 * sum(told) >= len(told) or nearly_whole(head.decode("utf-8", "replace")):
        return "utf-8-sig"
    return chinese_encoding(head)


def _is_utf8(line: bytes) -> bool:
    try:
        # Incremental, as the last line may be cut within a character.
        codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    return True


def _csv_rows(stream: io.TextIOWrapper, name: str, text_column: str | None) -> Iterator[Row]:
    try:
        head = stream.read(8192)
        stream.seek(0)
        delimiter = max(",\t;|", key=head.partition("\n")[0].count)
        records = _csv_records(stream, delimiter)
        headings = next(records, [])
        if isinstance(headings, InputError):
            raise headings
        if not headings:
            raise RecordError(f"{name}: the table has no heading line; the first line must name the columns")
        _check_headings(headings, name)
        if len(headings) == 1:
            # What looks like more cells is one text with commas, as people type it who know no quotation marks.
            records = (c if isinstance(c, InputError) else [delimiter.join(c)] for c in records if c)
        rows = (cells if isinstance(cells, InputError) else _headed(headings, cells) for cells in records if cells)
        yield from _table_rows(rows, name, text_column, headed=False, columns=headings)
    except UnicodeDecodeError as error:
        raise TextEncodingError(f"{name}: {error.reason} at byte {error.start}; save the table as UTF-8") from error


def _csv_records(stream: TextIO, delimiter: str) -> Iterator[list[str] | InputError]:
    """Cells of each row; a row whose quotation marks do not match is read again by itself, and fails alone if at all."""
    taken: list[str] = []
    ahead: deque[str] = deque()

    def lines() -> Iterator[str]:
        while line := ahead.popleft() if ahead else stream.readline():
            taken.append(line)
            yield line

    number = 1
    while True:
        try:
            # Strict: a quotation mark that is never closed would make one text of all rows below it.
            for cells in csv.reader(lines(), delimiter=delimiter, strict=True):
                number += len(taken)
                taken.clear()
                yield cells
            return
        except csv.Error as error:
            first, *swallowed = taken
            ahead.extendleft(reversed(swallowed))
            taken.clear()
            yield _forgiven(first, delimiter) or RecordError(
                f"line {number}: a quotation mark is not closed ({error}); the row is not checked, the next line is read "
                "as a row of its own: close the mark, or export the table again as CSV"
            )
            number += 1


def _forgiven(line: str, delimiter: str) -> list[str] | None:
    """Cells of one line with bare quotation marks inside of quoted cells, which end at a mark before a delimiter.

    None where a cell does not end. Marks are doubled as CSV asks, or bare as people type them: `"他说"好"，然后"`.
    """
    rest, cells = line.rstrip("\r\n"), []
    # Blanks may follow it, as after `"好" ,`.
    end = re.compile(rf'" *(?={re.escape(delimiter)}|$)')
    while True:
        cell, found, after = rest.partition(delimiter)
        if rest.startswith('"'):
            if (mark := end.search(rest, 1)) is None:
                return None
            cell, found, after = rest[1 : mark.start()], rest[mark.end() :][:1], rest[mark.end() + 1 :]
            cell = cell.replace('""', '"')
        cells.append(cell)
        if not found:
            return cells
        rest = after


def _headed(headings: Sequence[str], cells: Sequence[object]) -> dict[str | None, object]:
    """Cells by their headings; under None those that no heading names, beside the others or beyond them."""
    row: dict[str | None, object] = {}
    surplus = []
    for heading, cell in zip_longest(headings, cells):
        if heading and heading.strip():
            row[heading] = cell
        elif cell not in (None, ""):
            surplus.append(_plain(cell))
    if surplus:
        row[None] = surplus
    return row


def read_xlsx(data: bytes, name: str, *, text_column: str | None = None, max_rows: int = 1_048_576) -> Iterator[Row]:
    """Rows of every sheet of a workbook; the first row of a sheet names its columns. A sheet that is no table fails alone.

    Raises UnreadableFileError for a broken file.
    """
    # Imported here because most scans hold no workbook.
    import zipfile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    broken = (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError)
    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except broken as error:
        raise UnreadableFileError(f"{name}: the workbook is broken ({error}); save it again as xlsx") from error
    try:
        for sheet in book.worksheets:
            where = name if len(book.worksheets) == 1 else f"{name}!{sheet.title}"
            try:
                yield from _sheet_documents(sheet, where, text_column, max_rows, alone=len(book.worksheets) == 1)
            except InputError as error:
                # A cover sheet is no table, and says nothing about the sheets behind it.
                yield where, error, where
    except broken as error:
        raise UnreadableFileError(f"{name}: the workbook breaks off ({error}); save it again as xlsx") from error
    finally:
        book.close()


def _sheet_documents(sheet: Any, where: str, text_column: str | None, max_rows: int, *, alone: bool) -> Iterator[Row]:
    from openpyxl.utils.escape import unescape

    # Many programs state the size of a sheet wrongly, as A1 for one, and cells beyond it would not be read.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(values_only=True)
    heading = [unescape(str(cell)).strip() if cell is not None else "" for cell in next(rows, ())]
    _check_headings(heading, where)

    empty = True
    for row in _table_rows(
        _sheet_rows(rows, heading, where, max_rows), where, text_column, headed=False, columns=heading
    ):
        empty = False
        yield row
    if empty and not alone and any(heading):
        raise RecordError(
            f"{where}: the sheet has one row, which is taken for headings, and no text below it; put 正文 above the text"
        )


def _sheet_rows(
    rows: Iterable[Sequence[object]], heading: Sequence[str], where: str, max_rows: int
) -> Iterator[dict[str | None, object]]:
    from openpyxl.utils.escape import unescape

    for number, cells in enumerate(rows, 1):
        if number > max_rows:
            raise LimitExceededError(f"{where}: more than {max_rows} rows; split the sheet")
        plain = [unescape(c).replace("\r\n", "\n") if isinstance(c, str) else c for c in cells]
        yield {k: v for k, v in _headed(heading, plain).items() if v is not None}


def read_parquet(path: Path, name: str, *, text_column: str | None = None) -> Iterator[Row]:
    """Rows of the Parquet file at `path`, batch by batch; folders like `month=2026-11` in its `name` are columns.

    Raises MissingExtraError without the extra `parquet`, UnreadableFileError for a broken file.
    """
    partition = {
        unquote(key): unquote(value)
        for part in re.split(r"[/\\]", name)[:-1]
        if (found := _PARTITION.fullmatch(part)) and found.group(2) != NO_PARTITION
        for key, value in [found.groups()]
    }
    with path.open("rb") as stream:
        yield from parquet_rows(stream, name, text_column=text_column, partition=partition)


def parquet_rows(
    stream: BinaryIO, name: str, *, text_column: str | None = None, partition: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """As `read_parquet`, of an open file; every row also has the columns of `partition`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(
            "Parquet needs the optional extra parquet; install it: pip install 'nlp-compliance[parquet]'"
        ) from error
    fixed = dict(partition or {})
    try:
        with pq.ParquetFile(stream) as table:
            _check_headings(table.schema_arrow.names, name)
            rows = (fixed | row for batch in table.iter_batches(batch_size=512) for row in batch.to_pylist())
            yield from _table_rows(rows, name, text_column)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFileError(f"{name}: the Parquet file is broken ({error}); write it again") from error


def _check_headings(headings: Iterable[str], name: str) -> None:
    repeated = [heading for heading, times in Counter(headings).items() if heading.strip() and times > 1]
    if repeated:
        raise RecordError(
            f"{name}: several columns are called {', '.join(h[:_SHOWN] for h in repeated)}; "
            "give every column a heading of its own"
        )


def _table_rows(
    rows: Iterable[Mapping[Any, object] | InputError],
    name: str,
    text_column: str | None,
    *,
    headed: bool = True,
    columns: Sequence[str] = (),
) -> Iterator[Row]:
    """The documents of the rows, or of the reasons why a row has no cells; `columns` also names those still empty."""
    stream = iter(rows)
    first = list(islice(stream, _LOOKED_AT))
    if not first:
        return
    names = _column_names(
        [r for r in first if not isinstance(r, InputError)], name, text_column, headed=headed, columns=columns
    )
    for number, row in enumerate(chain(first, stream), 1):
        where = f"{name}#{number}"
        if isinstance(row, InputError):
            yield where, row, where
            continue
        if not any(str(v).strip() for v in row.values() if v is not None):
            continue
        try:
            yield _judgeable(record_document(_renamed(row, names), where), where)
        except InputError as error:
            yield where, error, where


def _column_names(
    rows: list[Mapping[Any, object]],
    name: str,
    text_column: str | None,
    *,
    headed: bool = True,
    columns: Sequence[str] = (),
) -> dict[str, str]:
    """Column of the table for each of our fields. Raises RecordError when no column can be the text; without any row the
    headings alone can tell, or else nothing.

    Unless it is `headed` for certain, a table without any usual heading may have a text in its first line.
    """
    columns = list(dict.fromkeys([*(c for c in columns if c), *(str(k) for row in rows for k in row if k is not None)]))
    by_folded = {c.strip().casefold(): c for c in reversed(columns)}
    names = {field: by_folded[a] for field, aliases in _FIELDS.items() for a in reversed(aliases) if a in by_folded}
    if text_column is not None:
        if text_column not in columns:
            raise RecordError(f"{name}: no column {text_column!r}; the table has {', '.join(columns)}")
        names["text"] = text_column
    elif not names and not headed:
        raise RecordError(
            f"{name}: the first line must be headings, 正文 or text among them, or the text column be named with "
            f"--text-column; found {', '.join(c[:_SHOWN] for c in columns)}"
        )
    elif "text" not in names and rows:
        lengths = {c: sum(len(v) for row in rows if isinstance(v := row.get(c), str)) / len(rows) for c in columns}
        longest = max(lengths, key=lambda c: lengths[c], default="")
        if lengths.get(longest, 0.0) < 8:
            raise RecordError(f"{name}: no column holds text; name it with --text-column; found {', '.join(columns)}")
        names["text"] = longest
    return {column: field for field, column in names.items()}


def _renamed(row: Mapping[Any, object], names: dict[str, str]) -> dict[str, object]:
    out: dict[str, object] = {}
    for column, value in row.items():
        if column is None:
            # More cells than headings.
            out[_SURPLUS] = value
        else:
            out[names.get(str(column), str(column))] = _plain(value)
    # Another column may be called text: the one chosen goes before it.
    for column, field in names.items():
        if column in row:
            out[field] = _plain(row[column])
    if out.get("text") is None:
        out["text"] = ""
    return out


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, int) and value not in _INTEGERS:
        return str(value)
    return value if isinstance(value, str | int | float | bool | list | dict) or value is None else str(value)
