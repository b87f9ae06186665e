"""JSON Lines: one record a line with `text`, optional `id` and `published`; every other field is carried through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import orjson

from nlp_compliance.errors import InputError, RecordError, TextEncodingError
from nlp_compliance.ingest.plain import paragraph_blocks
from nlp_compliance.records import Document, Source

_OWN = {"id", "text", "published", "title", "author", "account", "url"}


def read_jsonl(path: Path) -> Iterator[Document | tuple[str, InputError]]:
    """A document for every good line, `(path#line, error)` for every bad one; blank lines are skipped."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                where = f"{path}#{number}"
                try:
                    yield record_document(_parsed(line, number), where)
                except InputError as error:
                    yield where, error


def _parsed(line: bytes, number: int) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        kind = TextEncodingError if "surrogate" in str(error) or "UTF-8" in str(error) else RecordError
        raise kind(f"line {number} is no JSON object in UTF-8: {error}") from error


def record_document(record: object, where: str) -> Document:
    """The document of one record; `where` becomes its id when it has none. Raises RecordError naming the field."""
    if not isinstance(record, dict):
        raise RecordError(f"the line holds a {type(record).__name__}; expected an object with a field text")
    text = record.get("text")
    if not isinstance(text, str):
        raise RecordError(f"field text is {'absent' if text is None else type(text).__name__}; expected a string")
    identifier = record.get("id", where)
    source = Source(
        path=where.rpartition("#")[0],
        media_type="application/jsonl",
        published=_day(record.get("published")),
        extra={k: v for k, v in record.items() if k not in _OWN},
        **{k: str(record[k]) for k in ("title", "author", "account", "url") if record.get(k) is not None},
    )
    return Document(str(identifier), text, paragraph_blocks(text), source)


def _day(value: object) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise RecordError(f"field published is {value!r}; expected a day as 2026-01-31") from error
