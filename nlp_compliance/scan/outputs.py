"""Writes finished scans: JSONL holds whole reports, the tables one flat row a document for people and warehouses."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from nlp_compliance.errors import MissingExtraError
from nlp_compliance.ingest.places import Place, whole
from nlp_compliance.rulebook import Rulebook

SUFFIXES = (".jsonl", ".csv", ".xlsx", ".parquet")
RISKS = {"high": "高", "medium": "中", "low": "低", "none": "无"}
COLUMNS = (
    "编号",
    "标题",
    "公众号",
    "作者",
    "发布日期",
    "链接",
    "是否宣传",
    "风险",
    "标签",
    "问题数",
    "证据",
    "修改建议",
    "未读部分",
)
_EVIDENCE_SHOWN = 20
_XLSX_CELL = 32_767
# Numbers of a workbook have 15 digits; the rest of a longer one, as of an article's number, would become zeros.
_XLSX_EXACT = 10**15
_XLSX_ROWS = 1_048_575
_PARQUET_BATCH = 2_048


def errors_path(out: Place) -> Place:
    """Where what could not be read stands, beside a result."""
    return out.with_name(out.name + ".errors.jsonl")


def write_output(target: Place, rows: Iterable[bytes], rulebook: Rulebook, extras: Sequence[str] = ()) -> None:
    """Rows (JSON lines without line feed) as the format of `target`'s suffix; the target appears complete or not at all.

    `extras` are the columns of the input that tables carry through.
    """
    writers = {".jsonl": _jsonl, ".csv": _csv, ".xlsx": _xlsx, ".parquet": _parquet}
    with whole(target) as draft:
        writers[target.suffix.lower()](draft, rows, rulebook, extras)


def _jsonl(target: Path, rows: Iterable[bytes], rulebook: Rulebook, extras: Sequence[str]) -> None:
    with target.open("wb") as stream:
        for row in rows:
            stream.write(row + b"\n")


def _csv(target: Path, rows: Iterable[bytes], rulebook: Rulebook, extras: Sequence[str]) -> None:
    # The byte order mark makes Excel read the file as UTF-8.
    with target.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        columns = _columns(extras)
        writer.writerow([_inert(c) for c in columns])
        for row in flat_rows(rows, rulebook, extras):
            writer.writerow([_inert(row[c]) for c in columns])


def _inert(value: object) -> object:
    """Text that a spreadsheet would run as a formula, made plain text."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _xlsx(target: Path, rows: Iterable[bytes], rulebook: Rulebook, extras: Sequence[str]) -> None:
    columns = _columns(extras)
    records = ([row[c] for c in columns] for row in flat_rows(rows, rulebook, extras))
    write_workbook(target, [("扫描结果", columns, records)])


def _columns(extras: Sequence[str]) -> list[str]:
    return [*COLUMNS, *_own_names(extras).values()]


def _own_names(extras: Sequence[str]) -> dict[str, str]:
    """The name of each column of the input in the output, where our own columns stand first; no two are alike."""
    ours, names = {*COLUMNS, "report"}, {}
    for column in extras:
        name = column
        while name in ours or (name != column and name in extras):
            name += "（原表）"
        names[column] = name
    return names


Sheets = Iterable[tuple[str, Sequence[str], Iterable[Sequence[Any]]]]


def workbook_bytes(sheets: Sheets) -> bytes:
    """As `write_workbook`, in memory."""
    stream = io.BytesIO()
    write_workbook(stream, sheets)
    return stream.getvalue()


def write_workbook(target: Path | BinaryIO, sheets: Sheets) -> None:
    """Writes (title, heading, rows) sheets in bounded memory. Text is never a formula or a link; a full sheet is
    continued on the next. Raises OSError where the file cannot be written."""
    from xlsxwriter import Workbook

    # Opened here, because xlsxwriter would find out at the end, with an error of its own class.
    with (
        target.open("wb") if isinstance(target, Path) else nullcontext(target) as stream,
        Workbook(stream, {"constant_memory": True}) as book,
    ):
        _fill(book, sheets)


def _fill(book: Any, sheets: Sheets) -> None:
    bold, wrap = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
    for title, heading, rows in sheets:
        part, line, stream = 1, _XLSX_ROWS, iter(rows)
        for row in chain([None], stream):
            if line == _XLSX_ROWS:
                sheet = book.add_worksheet(title if part == 1 else f"{title}{part}")
                sheet.write_row(0, 0, heading, bold)
                sheet.set_column(0, len(heading) - 1, 24)
                sheet.freeze_panes(1, 0)
                part, line = part + 1, 0
            if row is None:
                continue
            line += 1
            for place, value in enumerate(row):
                if isinstance(value, int) and abs(value) >= _XLSX_EXACT:
                    value = str(value)
                if isinstance(value, str):
                    sheet.write_string(line, place, _fitting(value), wrap)
                else:
                    sheet.write(line, place, value, wrap)


def _fitting(value: str) -> str:
    """A text as a cell of a workbook holds it: what is too long says so at its end."""
    if len(value) <= _XLSX_CELL:
        return value
    note = f"……（全文{len(value)}字，超出单元格上限，完整内容见 JSONL 或 CSV）"
    return value[: _XLSX_CELL - len(note)] + note


def arrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises MissingExtraError without the extra `parquet`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "Parquet needs the optional extra parquet; install it: pip install 'nlp-compliance[parquet]'"
        ) from error
    return pyarrow, pyarrow.parquet


def _parquet(target: Path, rows: Iterable[bytes], rulebook: Rulebook, extras: Sequence[str]) -> None:
    pa, pq = arrow()
    text, count = pa.string(), pa.int32()
    columns = _columns(extras)
    schema = pa.schema([*((c, count if c == "问题数" else text) for c in columns), ("report", text)])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for row in flat_rows(rows, rulebook, extras, with_report=True):
            batch.append(row | {c: str(v) for c in columns[len(COLUMNS) :] if (v := row[c]) is not None})
            if len(batch) == _PARQUET_BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
                batch.clear()
        writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))


def flat_rows(
    rows: Iterable[bytes], rulebook: Rulebook, extras: Sequence[str] = (), *, with_report: bool = False
) -> Iterator[dict[str, Any]]:
    """One flat record with Chinese column names a document; `report` holds the whole as JSON where asked."""
    names = _own_names(extras)
    for line in rows:
        row = orjson.loads(line)
        flat = _flat(row, rulebook)
        for column, name in names.items():
            flat[name] = _cell(row.get("extra", {}).get(column))
        if with_report:
            flat["report"] = line.decode()
        yield flat


def _cell(value: object) -> object:
    """A value that a cell can hold; lists and objects as JSON."""
    return value if isinstance(value, str | int | float) or value is None else orjson.dumps(value).decode()


def _flat(row: Mapping[str, Any], rulebook: Rulebook) -> dict[str, Any]:
    source = row.get("source", {})
    findings = [f for f in row["findings"] if f["verdict"] == "violation"]
    names = dict.fromkeys(rulebook.label(f["label"]).name for f in findings)
    evidence = [f"【{rulebook.label(f['label']).name}】{f['text']}" for f in findings if f["text"]]
    advice = dict.fromkeys(f["suggestion"] for f in findings)
    shown = evidence[:_EVIDENCE_SHOWN]
    if len(evidence) > len(shown):
        shown.append(f"……另有{len(evidence) - len(shown)}处，见完整报告")
    return {
        "编号": row["id"],
        "标题": source.get("title", ""),
        "公众号": source.get("account", ""),
        "作者": source.get("author", ""),
        "发布日期": source.get("published", ""),
        "链接": source.get("url", ""),
        "是否宣传": "是" if row["promotional"]["value"] else "存疑" if row["promotional"].get("review") else "否",
        "风险": RISKS[row["risk"]],
        "标签": "；".join(names),
        "问题数": len(findings),
        "证据": "\n".join(shown),
        "修改建议": "\n".join(advice),
        "未读部分": "；".join(row["coverage"]["unread"]),
    }
