"""Cuts the input of a scan into tasks: small enough to be lost and done again, large enough to fill a model batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from nlp_compliance.errors import InputError
from nlp_compliance.ingest.places import Place, is_far, shown
from nlp_compliance.ingest.reader import KIND_OF_SUFFIX, STREAMED, Item, Reader, expand

# A task of a table ends with whichever comes first. So many characters keep a worker busy for some two seconds, so that
# two workers end within two seconds of each other, and an interrupted scan loses no more.
ROWS_PER_TASK = 64
CHARACTERS_PER_TASK = 16_384
FILES_PER_TASK = 16
# Light files are read many to a task; a poster or a PDF may take seconds and stands alone.
_LIGHT = ("text", "html")
# The one character that no path can hold.
_BETWEEN = "\0"


@dataclass(frozen=True, slots=True)
class Task:
    """Either `files` to read, or `items` of a table already read.

    `key` names it in the journal: the paths joined by `_BETWEEN`, or `path` and the number of rows up to its end.
    `state` is that of the table when it was read, as `_told` says; empty for files. `weight` is its share of the
    input in bytes, for the progress bar.
    """

    key: tuple[str, int]
    files: tuple[Place, ...] = ()
    items: tuple[Item, ...] = ()
    state: str = ""
    weight: int = 0


@dataclass(slots=True)
class Done:
    """What an earlier run finished: whole files, and rows of tables by path, with the state that the table had."""

    files: set[str]
    rows: dict[str, tuple[int, str]]

    @classmethod
    def nothing(cls) -> Done:
        return cls(set(), {})

    def add(self, key: tuple[str, int], state: str) -> None:
        name, rows = key
        if rows:
            self.rows[name] = rows, state
        else:
            self.files.update(name.split(_BETWEEN))


def plan(paths: Sequence[Place], reader: Reader, done: Done, *, without: Iterable[Place] = ()) -> Iterator[Task]:
    """Tasks in the order of the input, without what is done and the paths in `without`. Same input, same tasks.

    Raises InputError where a table of which rows are done is no longer the same.
    """
    light: list[Place] = []
    for path in expand(paths, without=without):
        kind = KIND_OF_SUFFIX.get(path.suffix.lower())
        if kind in STREAMED:
            yield from _flushed(light)
            yield from _table_tasks(path, reader, done.rows.get(shown(path)))
        elif shown(path) not in done.files:
            if kind not in _LIGHT:
                yield from _flushed(light)
                yield _file_task([path])
                continue
            light.append(path)
            if len(light) == FILES_PER_TASK:
                yield from _flushed(light)
    yield from _flushed(light)


def _flushed(light: list[Place]) -> Iterator[Task]:
    if light:
        yield _file_task(light)
        light.clear()


def _file_task(files: Iterable[Place]) -> Task:
    files = tuple(files)
    return Task((_BETWEEN.join(map(shown, files)), 0), files=files, weight=sum(map(_size, files)))


def _table_tasks(path: Place, reader: Reader, done: tuple[int, str] | None) -> Iterator[Task]:
    size, state = _told(path)
    first, before = done or (0, state)
    # A table that is out of reach now tells so when it is read.
    if state and state != before:
        # The rows before `first` are not those that were judged, and the result would be of two tables.
        raise InputError(
            f"{shown(path)} has changed since its first {first} rows were scanned; put it back as it was and go on, "
            "or start anew with --restart"
        )
    end = first
    for chunk, characters in _chunks(islice(reader.read_path(path), first, None)):
        end += len(chunk)
        # Bytes of the table that these rows stand for, near enough for a progress bar.
        yield Task((shown(path), end), items=chunk, state=state, weight=min(size, 3 * characters))


def _chunks(items: Iterable[Item]) -> Iterator[tuple[tuple[Item, ...], int]]:
    """Rows of one task each, with the characters in them."""
    chunk: list[Item] = []
    characters = 0
    for item in items:
        chunk.append(item)
        characters += len(getattr(item, "text", ""))
        if len(chunk) == ROWS_PER_TASK or characters >= CHARACTERS_PER_TASK:
            yield tuple(chunk), characters
            chunk, characters = [], 0
    if chunk:
        yield tuple(chunk), characters


def _told(path: Place) -> tuple[int, str]:
    """The bytes of a file, and what changes when it is written anew: size, and on this machine the time (ns).

    Nothing where the file system tells nothing. File systems of the cloud do not agree on what a time is.
    """
    try:
        told = path.stat()
    except Exception:
        # Reading the file tells what is wrong with it.
        return 0, ""
    return told.st_size, f"{told.st_size}" if is_far(path) else f"{told.st_size} {told.st_mtime_ns}"


def _size(path: Place) -> int:
    return _told(path)[0]


def total_weight(paths: Sequence[Place]) -> int:
    """Bytes of all input."""
    return sum(map(_size, expand(paths)))
