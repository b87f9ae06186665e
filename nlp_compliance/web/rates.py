"""Calls of a key counted once for all server processes: one row a key, one statement a call.

The row holds the moment at which the key's allowance would be whole again (the "virtual scheduling" form of a leaky
bucket). A call moves it on by 60 / rate seconds and is refused where that would be more than a minute ahead; so a key
may call `rate` times at once and then evenly, whichever process it meets.

The figures are worth a minute, so they stand outside the tables that are migrated, backed up and flushed to disk: on
PostgreSQL in an unlogged table, beside SQLite in a file of their own, where counting never waits for the desk's writers.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, TextClause, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from nlp_compliance.errors import StoreError
from nlp_compliance.store.database import Database

_WINDOW_S = 60.0
_FILE = "rates.sqlite3"
_BUSY_S = 15
# Any number that nothing else locks: PostgreSQL's IF NOT EXISTS fails where two processes create at the same moment.
_CREATING = 5_403_121_807
_CREATE = "CREATE {kind}TABLE IF NOT EXISTS key_rates (key_id INTEGER PRIMARY KEY, whole_at DOUBLE PRECISION NOT NULL)"
# A moment further ahead than two minutes was written before the clock was set back: it must not shut a key out for long.
_BASE = "CASE WHEN key_rates.whole_at BETWEEN {now} AND {now} + 120 THEN key_rates.whole_at ELSE {now} END"
_TAKE = (
    "INSERT INTO key_rates (key_id, whole_at) VALUES (:key, {now} + :step) "
    "ON CONFLICT (key_id) DO UPDATE SET whole_at = {base} + :step "
    "WHERE {base} + :step <= {now} + :window RETURNING whole_at"
)
_WAIT = "SELECT whole_at + :step - :window - {now} FROM key_rates WHERE key_id = :key"


@dataclass(slots=True)
class Rates:
    """Counts calls of keys. Every method may raise StoreError."""

    engine: Engine
    clock: Callable[[], float] = time.monotonic
    # Until when a key is certainly refused: a caller who does not wait costs the database nothing.
    _shut: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key_id: int, rate: int) -> float:
        """Counts one call of a key that has `rate` a minute. Seconds to wait; 0 where the call may go on."""
        at = self.clock()
        with self._lock:
            left = self._shut.get(key_id, 0.0) - at
        if left > 0:
            return left
        wait = self._asked(key_id, _WINDOW_S / rate)
        with self._lock:
            if wait:
                self._shut[key_id] = at + wait
            else:
                self._shut.pop(key_id, None)
        return wait

    def _asked(self, key_id: int, step: float) -> float:
        values: dict[str, Any] = {"key": key_id, "step": step, "window": _WINDOW_S}
        try:
            with self.engine.begin() as connection:
                if connection.scalar(self._statement(_TAKE), values) is not None:
                    return 0.0
                wait = connection.scalar(self._statement(_WAIT), values)
        except SQLAlchemyError as error:
            raise StoreError(f"calls cannot be counted: {error.__class__.__name__}") from error
        # Between the two statements the moment may have passed; refused is refused, so there is always time to wait.
        return max(float(wait or 0.0), 0.001)

    def _statement(self, template: str) -> TextClause:
        if self.engine.dialect.name == "sqlite":
            return text(_written(template, ":now")).bindparams(now=time.time())
        # Machines that share a database also share its clock.
        return text(_written(template, "CAST(extract(epoch FROM statement_timestamp()) AS DOUBLE PRECISION)"))

    def close(self) -> None:
        """Closes the file of its own; connections of the database are the database's to close."""
        if self.engine.dialect.name == "sqlite":
            self.engine.dispose()


def _written(template: str, now: str) -> str:
    return template.format(base=_BASE.format(now=now), now=now)


def open_rates(database: Database, folder: Path) -> Rates:
    """Opens the counts that belong to a database. `folder` is the data folder. Raises StoreError."""
    try:
        engine = _file_engine(folder / _FILE) if database.is_sqlite else database.engine
        with engine.begin() as connection:
            if not database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _CREATING})
            connection.execute(text(_CREATE.format(kind="" if database.is_sqlite else "UNLOGGED ")))
    except SQLAlchemyError as error:
        raise StoreError(
            f"calls of keys cannot be counted ({error}); check NLP_COMPLIANCE_DATABASE_URL and the data folder"
        ) from error
    return Rates(engine)


def _file_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # No flush at a commit: after a loss of power a minute's counts may be missing, the file stays sound.
        connection.execute("PRAGMA synchronous=NORMAL")
        _write_ahead(connection)

    return engine


def _write_ahead(connection: Any) -> None:
    """Processes that start together stand in each other's way once: here SQLite says that it is busy without waiting."""
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
