"""The work file of a scan: rows as they are made, a mark after every finished task.

Whatever moment the program is killed at, everything up to the last mark is kept and everything after it is done
again; so nothing is lost and nothing stands twice. `<out>.part` becomes the output and `<out>.errors.jsonl` when the
last task is done; a dataset (`dataset.py`) takes rows out earlier, and what it notes of them stands as `state`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from nlp_compliance.errors import InputError
from nlp_compliance.ingest.places import whole
from nlp_compliance.scan.tasks import Done
from nlp_compliance.scan.worker import Row

_ROW, _ERROR, _MARK, _HEAD, _STATE, _MET = b"r", b"e", b"m", b"h", b"s", b"p"


class Journal:
    """The open work file. `done` says what an earlier run of the same command finished, `pending` the bytes of good
    rows in the file, `met` the places that were noted, `state` what the last `cut` kept.

    Raises InputError when the work file belongs to a different command.
    """

    def __init__(self, path: Path, command: dict[str, object], *, restart: bool = False) -> None:
        self.path = path
        self.done = Done.nothing()
        self.pending = 0
        self.met: set[str] = set()
        self.state: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if restart:
            path.unlink(missing_ok=True)
        kept = self._resume(orjson.loads(orjson.dumps(command))) if path.exists() else 0
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(kept)
        self._file.seek(kept)
        if not kept:
            self._file.write(_HEAD + orjson.dumps(command) + b"\n")
            self._sync()

    def _resume(self, command: object) -> int:
        """Bytes of the work file that count."""
        kept = 0
        with self.path.open("rb") as stream:
            place = pending = 0
            met: list[str] = []
            for line in stream:
                place += len(line)
                if not line.endswith(b"\n"):
                    break
                if line.startswith(_HEAD):
                    if orjson.loads(line[1:]) != command:
                        raise InputError(
                            f"{self.path} belongs to a scan with other input, rules, model or options; "
                            "finish that one with its own command, or start anew with --restart"
                        )
                    kept = place
                elif line.startswith(_MARK):
                    name, rows, state = orjson.loads(line[1:])
                    self.done.add((name, rows), state)
                    self.pending += pending
                    self.met.update(met)
                    kept, pending, met = place, 0, []
                elif line.startswith(_STATE):
                    self.state = orjson.loads(line[1:])
                    kept = place
                elif line.startswith(_ROW):
                    pending += len(line)
                elif line.startswith(_MET):
                    met = orjson.loads(line[1:])
        return kept

    def add(self, key: tuple[str, int], rows: Iterable[Row], met: Sequence[str] = (), state: str = "") -> None:
        """Writes the rows of one task, the places worth noting, and its mark; on return they are on the disk.

        `key` and `state` are those of the task.
        """
        for row in rows:
            self._file.write((_ERROR if row.failed else _ROW) + row.line + b"\n")
            self.pending += 0 if row.failed else len(row.line) + 2
        if met:
            self._file.write(_MET + orjson.dumps(met) + b"\n")
            self.met.update(met)
        self._file.write(_MARK + orjson.dumps((*key, state)) + b"\n")
        self._sync()

    def cut(self, state: dict[str, Any]) -> None:
        """Forgets the good rows, which stand elsewhere by now, and keeps `state` for them; both at once or neither."""
        with whole(self.path) as draft, self.path.open("rb") as old, draft.open("wb") as new:
            new.writelines(line for line in old if not line.startswith((_ROW, _STATE)))
            new.write(_STATE + orjson.dumps(state) + b"\n")
        self._file.close()
        self._file = self.path.open("r+b")
        self._file.seek(0, os.SEEK_END)
        self.state, self.pending = state, 0

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def rows(self, *, failed: bool) -> Iterator[bytes]:
        """JSON lines without line feed, in order: good rows, or failures."""
        wanted = _ERROR if failed else _ROW
        with self.path.open("rb") as stream:
            for line in stream:
                if line.startswith(wanted):
                    yield line[1:-1]

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        self.close()
        self.path.unlink()


def command_of(path: Path) -> dict[str, Any] | None:
    """The command that the work file at `path` belongs to; None where there is none or it was never begun."""
    try:
        with path.open("rb") as stream:
            line = stream.readline()
    except FileNotFoundError:
        return None
    if not line.startswith(_HEAD) or not line.endswith(b"\n"):
        return None
    command: dict[str, Any] = orjson.loads(line[1:])
    return command
