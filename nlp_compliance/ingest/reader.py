"""Chooses the reader of a file by its content and keeps failures apart: one bad file, row or member stops nothing else."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from nlp_compliance.errors import (
    EmptyTextError,
    InputError,
    LimitExceededError,
    NlpComplianceError,
    UnreadableFileError,
    UnsupportedFormatError,
)
from nlp_compliance.ingest import archive, mail, table
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.places import Place, canonical, entries, is_far, is_there, matching, on_disk, shown
from nlp_compliance.ingest.plain import decode, marked_encoding, named_damage, paragraph_blocks
from nlp_compliance.ingest.wechat import FindPicture, has_pictures, looks_like_html, read_html
from nlp_compliance.records import Coverage, Document, Source

log = logging.getLogger("nlp_compliance.ingest")

# What each kind of file is called on disk. The content decides; the name only settles what content cannot tell.
KINDS: dict[str, tuple[str, ...]] = {
    "text": (".txt", ".md"),
    "html": (".html", ".htm", ".xhtml"),
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "xlsx": (".xlsx",),
    "docx": (".docx",),
    "pptx": (".pptx",),
    "pdf": (".pdf",),
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    "mail": (".eml", ".mhtml", ".mht"),
    "zip": (".zip",),
}
KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}
SUFFIXES = tuple(KIND_OF_SUFFIX)
# What systems and programs leave in folders and nobody means to have checked.
_NOISE = ("thumbs.db", "desktop.ini", "__macosx", "_success", "_metadata", "_common_metadata")
# Folders in which browsers put the pictures and scripts of a page that lies beside; they are read with the page.
_PAGE_FOLDERS = ("_files", ".files", "_file")
# Tables of any size stream from disk; everything else is loaded and bounded by `max_bytes`.
STREAMED = ("jsonl", "csv", "parquet")
# Enough of a file to tell its kind.
_HEAD_BYTES = 8_192
# Formats whose parsers are large or written in C: read in a process that can be killed.
ISOLATED = ("docx", "pptx", "xlsx", "parquet", "pdf", "image", "mail")
_MAGIC = (
    (b"%PDF-1.", "pdf"),
    (b"%PDF-2.", "pdf"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"BM", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"PAR1", "parquet"),
)
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an old or encrypted Office file; save it as docx, xlsx or pptx without a password"),
    (b"Rar!\x1a\x07", "a rar archive; pack it as zip"),
    (b"7z\xbc\xaf", "a 7z archive; pack it as zip"),
    (b"\x1f\x8b", "a gzip archive; pack it as zip"),
)
# What rows and pages both may say of themselves.
_STATED = ("title", "author", "account", "url", "published")
# Texts begin with PK too: PK各大医疗险.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# Some programs number the main part: `word/document2.xml`.
_PACKAGES = (
    (re.compile(r"word/document\d*\.xml"), "docx"),
    (re.compile(r"ppt/presentation\d*\.xml"), "pptx"),
    (re.compile(r"xl/workbook\d*\.xml"), "xlsx"),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be read: `id` is the path, `path#row`, `path!member`, or the record's own id.

    `place` is the same but for a record with an id of its own, where it is `path#row`.
    """

    id: str
    error: NlpComplianceError
    place: str


Item = Document | Failure


def unforeseen(name: str, error: Exception) -> Failure:
    """The failure of a file that a parser, or a fault of ours, could not take; the log tells which of the two."""
    log.error("%s cannot be read", name, exc_info=error)
    says = f"{name}: cannot be read ({type(error).__name__}: {error}); save the file again"
    return Failure(name, UnreadableFileError(says), name)


def place_of(item: Item) -> str:
    """Where the item stands: `path`, `path#row` or `path!member`; no two of a scan share one."""
    return item.place if isinstance(item, Failure | table.TableDocument) else item.id


class Isolated(Protocol):
    """Reads the isolated formats elsewhere, where a crash or an endless loop does no harm."""

    def read(self, content: bytes | Path, name: str, folder: Path | None) -> Iterator[Item]: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files under `limits`; without `isolated` everything is parsed in this process."""

    limits: Limits
    text_column: str | None = None
    isolated: Isolated | None = None

    def read_path(self, path: Place) -> Iterator[Item]:
        """All documents of one file, in order, with a Failure for each part that could not be read.

        Raises OSError when a far table breaks off: its other rows are not bad, and reading can go on later.
        """
        kind, name = KIND_OF_SUFFIX.get(path.suffix.lower()), shown(path)
        try:
            if kind in STREAMED:
                yield from self._streamed(path, kind)
            else:
                folder = path.parent if isinstance(path, Path) else None
                yield from self.read_bytes(self._load(path), name, folder=folder)
        except NlpComplianceError as error:
            yield Failure(name, error, name)
        except IsADirectoryError:
            says = f"{name}: is a link to a folder, which is not followed; give that folder itself"
            yield Failure(name, UnreadableFileError(says), name)
        except Exception as error:
            if not is_far(path) and not isinstance(error, OSError):
                yield unforeseen(name, error)
                return
            # File systems of the cloud have errors of their own, whatever they are called.
            says = f"{name}: {getattr(error, 'strerror', None) or error}; check the file"
            if is_far(path) and kind in STREAMED:
                raise OSError(says) from error
            yield Failure(name, UnreadableFileError(says), name)

    def read_parquet(self, path: Path, name: str) -> Iterator[Item]:
        """Rows of the Parquet file at `path`, which its user calls `name`."""
        try:
            yield from self._items(table.read_parquet(path, name, text_column=self.text_column), name)
        except NlpComplianceError as error:
            yield Failure(name, error, name)

    def read_bytes(self, data: bytes, name: str, *, folder: Path | None = None, depth: int = 0) -> Iterator[Item]:
        """As `read_path`, of bytes in memory. `folder` is where a saved page's pictures may lie."""
        try:
            self.limits.check(name, len(data), self.limits.max_bytes, "size in bytes")
            kind = kind_of(data, name)
            if kind == "zip":
                yield from self._members(archive.members(data, name, self.limits), name, depth)
            elif self.isolated and (kind in ISOLATED or (kind == "html" and has_pictures(data))):
                yield from self.isolated.read(data, name, folder)
            else:
                yield from self._parsed(kind, data, name, folder)
                if kind == "mail":
                    yield from self._members(mail.attachments(data, name), name, depth)
        except NlpComplianceError as error:
            yield Failure(name, error, name)
        except Exception as error:
            yield unforeseen(name, error)

    def _load(self, path: Place) -> bytes:
        if path.suffix.lower() not in KIND_OF_SUFFIX:
            # Films and disk images are no readable kind, whatever their size.
            with path.open("rb") as stream:
                kind_of(stream.read(_HEAD_BYTES), shown(path), whole=False)
        self.limits.check(shown(path), path.stat().st_size, self.limits.max_bytes, "size in bytes")
        return path.read_bytes()

    def _streamed(self, path: Place, kind: str) -> Iterator[Item]:
        if kind == "jsonl":
            yield from self._items(table.read_jsonl(path, text_column=self.text_column), shown(path))
        elif kind == "csv":
            yield from self._items(table.read_csv(path, text_column=self.text_column), shown(path))
        else:
            # The reading child needs no network and no credentials.
            with on_disk(path) as file:
                if self.isolated:
                    yield from self.isolated.read(file, shown(path), None)
                else:
                    yield from self.read_parquet(file, shown(path))

    def _members(self, members: Iterable[tuple[str, bytes | InputError]], name: str, depth: int) -> Iterator[Item]:
        if depth >= self.limits.max_nesting:
            raise LimitExceededError(
                f"{name}: archives stand {depth + 1} deep; allowed: {self.limits.max_nesting} (max_nesting); unpack it"
            )
        for member, content in members:
            where = f"{name}!{member}"
            if isinstance(content, InputError):
                yield Failure(where, content, where)
            else:
                yield from self.read_bytes(content, where, depth=depth + 1)

    def _parsed(self, kind: str, data: bytes, name: str, folder: Path | None) -> Iterator[Item]:
        # The readers of binary formats are imported when the first such file comes: most scans hold none.
        if kind == "jsonl":
            yield from self._items(table.jsonl_rows(data, name, text_column=self.text_column), name)
        elif kind == "csv":
            yield from self._items(table.csv_rows(data, name, text_column=self.text_column), name)
        elif kind == "xlsx":
            archive.check_package(data, name, self.limits)
            yield from self._items(table.read_xlsx(data, name, text_column=self.text_column), name)
            from nlp_compliance.ingest.workbook import beside_cells

            if (beside := beside_cells(data, name, self.limits)) is not None:
                yield beside
        elif kind == "parquet":
            yield from self._items(table.parquet_rows(io.BytesIO(data), name, text_column=self.text_column), name)
        else:
            yield self._document(kind, data, name, folder)

    def _document(self, kind: str, data: bytes, name: str, folder: Path | None) -> Document:
        limits = self.limits
        if kind == "html":
            return read_html(data, identifier=name, path=name, limits=limits, find_picture=_beside(folder, limits))
        if kind == "mail":
            return mail.read_mail(data, name, limits)
        if kind == "image":
            from nlp_compliance.ingest.image import read_image

            return read_image(data, name, limits)
        if kind == "pdf":
            from nlp_compliance.ingest.pdf import read_pdf

            return read_pdf(data, name, limits)
        if kind in ("docx", "pptx"):
            from nlp_compliance.ingest import office

            archive.check_package(data, name, limits)
            return (office.read_docx if kind == "docx" else office.read_pptx)(data, name, limits)
        if b"\x00" in data and marked_encoding(data) in (None, "utf-8-sig"):
            raise UnreadableFileError(f"{name}: holds binary data, no text; check what kind of file it is")
        text = decode(data)
        source = Source(path=name, media_type="text/plain")
        return Document(name, text, paragraph_blocks(text), source, Coverage.without(named_damage(text)))

    def _items(self, rows: Iterable[table.Row], name: str) -> Iterator[Item]:
        empty = True
        for row in rows:
            empty = False
            yield Failure(*row) if isinstance(row, tuple) else self._page(row)
        if empty:
            error = EmptyTextError(f"{name}: the table has no row with a text; check whether it is complete")
            yield Failure(name, error, name)

    def _page(self, row: table.TableDocument) -> Item:
        """The row, read as a page where its text is the source of one, as crawlers keep it; what else it states counts
        before what the page does."""
        source = row.text.encode("utf-8", "replace") if "<" in row.text else b""
        if not looks_like_html(source):
            return table.with_title(row)
        (page, *_) = self.read_bytes(source, row.place)
        if isinstance(page, Failure):
            return Failure(row.id, page.error, row.place)
        stated = {k: getattr(row.source, k) or getattr(page.source, k) for k in _STATED}
        read = replace(row, text=page.text, blocks=page.blocks, coverage=page.coverage)
        return table.with_title(replace(read, source=replace(row.source, **stated)))


def expand(paths: Sequence[Place], *, without: Iterable[Place] = ()) -> Iterator[Place]:
    """Files as given, and all files below folders in order of name; each once, and none of `without` or below it,
    however they are written.

    Files that no reader knows come too: their failure tells that they were not checked.
    """
    taken = {canonical(path) for path in without}
    for path in globbed(paths):
        name = canonical(path)
        if not taken.isdisjoint((name, *name.parents)):
            continue
        yield from _below(path, name, taken) if path.is_dir() else (path,)
        taken.add(name)


def globbed(paths: Sequence[Place]) -> Iterator[Place]:
    """Patterns that the shell left alone (`articles/**/*.html` in quotes) as the files they stand for."""
    for path in paths:
        if any(mark in str(path) for mark in "*?[") and not is_there(path):
            yield from matching(path) or [path]
        else:
            yield path


def _below(folder: Place, name: Place, taken: Container[Place]) -> Iterator[Place]:
    """Files in order of name, one folder in memory at a time; `name` is the folder's canonical one, as in `taken`. Links
    to folders are not followed, they could lead in a circle: each comes as a file, and reading it tells that its texts
    are missing."""
    found = entries(folder)
    names = {entry.name.lower() for entry in found}
    for entry in found:
        if entry.name.startswith((".", "~$")) or entry.name.lower() in _NOISE:
            continue
        path, own = folder / entry.name, name / entry.name
        if own in taken:
            continue
        if not entry.is_folder:
            if entry.is_file:
                yield path
        elif not _belongs_to_page(entry.name.lower(), names):
            yield from _below(path, own, taken)


def _belongs_to_page(folder: str, names: set[str]) -> bool:
    stems = [folder.removesuffix(end) for end in _PAGE_FOLDERS if folder.endswith(end)]
    return any(stem + suffix in names for stem in stems for suffix in KINDS["html"])


def kind_of(data: bytes, name: str, *, whole: bool = True) -> str:
    """The kind of a file by its content, else by its name; `whole` says whether `data` is more than its beginning.

    Raises UnsupportedFormatError or UnreadableFileError.
    """
    suffix = Path(name).suffix.lower()
    if "!" in suffix:
        # That of the archive, whose member has none.
        suffix = ""
    by_name = KIND_OF_SUFFIX.get(suffix)
    for magic, advice in _FOREIGN:
        if data.startswith(magic):
            raise UnsupportedFormatError(f"{name}: is {advice}")
    if data.startswith(_ZIP):
        return _package_kind(data, name) if whole else "zip"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image"
    for magic, kind in _MAGIC:
        if data.startswith(magic) and (len(magic) > 2 or by_name == kind):
            return kind
    if by_name == "pdf" and b"%PDF-" in data[:1024]:
        return "pdf"
    if by_name == "mail" or (by_name is None and mail.looks_like_mail(data)):
        return "mail"
    if by_name in ("jsonl", "csv", "text", "html"):
        return "html" if by_name == "text" and looks_like_html(data) else by_name
    if looks_like_html(data):
        return "html"
    if by_name is not None:
        raise UnreadableFileError(
            f"{name}: the name says {suffix}, the content is something else or cut off; save the file again"
        )
    raise UnsupportedFormatError(
        f"{name}: no reader for {suffix or 'a file without extension'}; readable: {', '.join(SUFFIXES)}"
    )


def _package_kind(data: bytes, name: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            names = set(package.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UnreadableFileError(f"{name}: the file is cut off or broken ({error}); save or pack it again") from error
    if any(n.endswith("vbaProject.bin") for n in names):
        raise UnsupportedFormatError(f"{name}: carries macros; save it as docx, xlsx or pptx without macros")
    return next((kind for part, kind in _PACKAGES if any(part.fullmatch(n) for n in names)), "zip")


def _beside(folder: Path | None, limits: Limits) -> FindPicture:
    """Finds pictures that a browser saved beside a page; nothing outside the page's own folder is opened."""

    def find(address: str) -> bytes | None:
        if folder is None or "://" in address or address.startswith(("/", "data:")):
            return None
        home = folder.resolve()
        try:
            path = (home / unquote(address.split("?")[0])).resolve()
            inside = path.is_relative_to(home) and path.is_file() and path.stat().st_size <= limits.max_bytes
            return path.read_bytes() if inside else None
        except (OSError, ValueError):
            return None

    return find
