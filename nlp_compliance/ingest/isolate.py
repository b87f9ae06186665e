"""A child process that parses binary formats: it can crash, hang or eat memory, and only its own file is lost.

The child is started with the first such file and kept for the next; it is killed when a file takes longer than
`max_seconds` without a new document, and replaced after any end it did not announce.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from nlp_compliance.errors import LimitExceededError, UnreadableFileError
from nlp_compliance.ingest.reader import Failure, Item, Reader, unforeseen

# Starting Python and its libraries on a busy machine is not the first file's fault.
_START_SECONDS = 120
# Virtual memory of the child in bytes: OCR needs about 1 GiB, the rest is what thread pools reserve.
_CHILD_MEMORY = 8 << 30
_READY = "ready"


def _serve(connection: Connection, reader: Reader) -> None:
    """The child: answers (content, name, folder) with items, then with None."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_CHILD_MEMORY, _CHILD_MEMORY))
    connection.send(_READY)
    while True:
        try:
            content, name, folder = connection.recv()
        except EOFError:
            return
        try:
            if isinstance(content, Path):
                items = reader.read_parquet(content, name)
            else:
                items = reader.read_bytes(content, name, folder=folder)
            for item in items:
                connection.send(item)
        except Exception as error:
            # A parser's own failure is that file's failure, whatever it is called.
            connection.send(unforeseen(name, error))
        connection.send(None)


class ChildReader:
    """`reader` in a child process. Use as a context manager, or call `close`."""

    def __init__(self, reader: Reader) -> None:
        self.reader = replace(reader, isolated=None)
        self._context = multiprocessing.get_context("spawn")
        self._child: BaseProcess | None = None
        self._connection: Connection | None = None

    def read(self, content: bytes | Path, name: str, folder: Path | None = None) -> Iterator[Item]:
        """Items of one file called `name` as they come; a table may be given by its path. Never raises for its sake."""
        seconds = self.reader.limits.max_seconds
        finished = False
        try:
            connection = self._ready()
            connection.send((content, name, folder))
            while True:
                if not connection.poll(seconds):
                    says = f"{name}: takes longer than {seconds} s (max_seconds); split the file or raise the limit"
                    yield Failure(name, LimitExceededError(says), name)
                    return
                item: Any = connection.recv()
                if item is None:
                    finished = True
                    return
                yield item
        except (EOFError, OSError) as error:
            says = f"{name}: the reader stopped ({error or type(error).__name__}); the file is broken or too large"
            yield Failure(name, UnreadableFileError(says), name)
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """Kills the child; the next `read` starts a new one."""
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            self._child.kill()
            self._child.join()
        self._child = self._connection = None

    def _ready(self) -> Connection:
        if self._connection is None or self._child is None or not self._child.is_alive():
            self.close()
            own, theirs = self._context.Pipe()
            child = self._context.Process(target=_serve, args=(theirs, self.reader), daemon=True)
            with starting_children():
                child.start()
            # Only now: a process that could not be started cannot be killed either.
            self._child, self._connection = child, own
            theirs.close()
            if not own.poll(_START_SECONDS):
                raise OSError(f"its process did not start within {_START_SECONDS} s")
            own.recv()
        return self._connection

    def __enter__(self) -> ChildReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def starting_children() -> Iterator[None]:
    """Processes started inside never see Ctrl-C: the one that asked answers it, right after if it came meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python starts this helper with the first child and lets signals through again when it has, block or no block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def isolated_reader(reader: Reader) -> Reader:
    """`reader` with its binary formats read in a child process."""
    return replace(reader, isolated=ChildReader(reader))
