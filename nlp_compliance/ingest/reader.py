"""Chooses the reader of a path and keeps failures apart: one bad file or line never stops the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlp_compliance.errors import InputError, LimitExceededError, UnreadableFileError, UnsupportedFormatError
from nlp_compliance.ingest.plain import decode, paragraph_blocks
from nlp_compliance.ingest.table import read_jsonl
from nlp_compliance.ingest.wechat import looks_like_html, read_html
from nlp_compliance.records import Document, Source

TEXT_SUFFIXES = (".txt", ".md")
HTML_SUFFIXES = (".html", ".htm")
TABLE_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (*TEXT_SUFFIXES, *HTML_SUFFIXES, *TABLE_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be read: `id` is the path, `path#line`, or the record's own id."""

    id: str
    error: InputError


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files as given, folders as all files below them that a reader knows, in order of name."""
    out: list[Path] = []
    for path in paths:
        if path.is_dir():
            out += sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
        else:
            out.append(path)
    return out


def read_path(path: Path, *, max_bytes: int) -> Iterator[Document | Failure]:
    """All documents of one file. A JSONL file of any size streams; other files are at most `max_bytes` long."""
    try:
        if path.suffix.lower() in TABLE_SUFFIXES:
            for item in read_jsonl(path):
                yield Failure(*item) if isinstance(item, tuple) else item
        else:
            yield read_bytes(_load(path, max_bytes), name=str(path))
    except InputError as error:
        yield Failure(str(path), error)
    except OSError as error:
        yield Failure(str(path), UnreadableFileError(f"{path}: {error.strerror or error}"))


def _load(path: Path, max_bytes: int) -> bytes:
    size = path.stat().st_size
    if size > max_bytes:
        raise LimitExceededError(f"{path} has {size} bytes; allowed: {max_bytes} (max_upload_bytes); split the file")
    return path.read_bytes()


def read_bytes(data: bytes, *, name: str) -> Document:
    """The document in `data`. The content decides before the extension of `name`. Raises InputError."""
    suffix = Path(name).suffix.lower()
    if suffix in HTML_SUFFIXES or looks_like_html(data):
        return read_html(data, identifier=name, path=name)
    if suffix in TEXT_SUFFIXES:
        text = decode(data)
        return Document(name, text, paragraph_blocks(text), Source(path=name, media_type="text/plain"))
    raise UnsupportedFormatError(
        f"{name}: no reader for {suffix or 'a file without extension'}; readable: {', '.join(SUFFIXES)}"
    )
