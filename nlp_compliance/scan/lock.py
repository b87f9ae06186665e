"""One scan at a time for one work file: a lock beside it, which the system lets go when its process ends.

So nobody has to judge whether a lock is stale: what a killed scan, or a machine that went down, left of it is no lock.
Process and host stand in the file for the one who finds it held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from nlp_compliance.errors import InputError


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Holds the lock of the work file at `work`. Raises InputError saying who holds it."""
    work.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that it is no input where the folder itself is scanned.
    path = work.with_name(f".{work.name}.lock")
    with _held(path, work):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _held(path: Path, work: Path) -> TextIO:
    while True:
        stream = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with stream:
                stream.seek(0)
                holder = stream.read().strip() or "it has just begun"
            raise InputError(
                f"another scan writes {work} and its output ({holder}); wait until it has ended, or give another output"
            ) from error
        except OSError:
            # A mounted cloud folder may know no locks; an unguarded scan there is better than none.
            pass
        # Whoever held it may have deleted the file between opening and locking.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                stream.truncate(0)
                stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
                stream.flush()
                return stream
        stream.close()
