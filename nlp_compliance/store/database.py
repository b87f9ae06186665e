"""Opens the database: SQLite (WAL) by default, PostgreSQL by URL; brings its tables up to date with Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from nlp_compliance.errors import StoreError

_BUSY_MS = 15_000
_READ_ONLY = "desk_read_only"


class Database:
    """An open database. Raises StoreError when it cannot be opened or brought up to date."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.engine = _engine(url)
            migrate(self.engine)
        except (SQLAlchemyError, OSError, ImportError) as error:
            # ImportError: the URL names a database whose driver is not installed.
            raise StoreError(f"the database cannot be opened ({error}); check NLP_COMPLIANCE_DATABASE_URL") from error
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(_reader_engine(self.engine), expire_on_commit=False)

    def transaction(self) -> AbstractContextManager[Session]:
        """A session that commits at the end, or rolls back and raises StoreError for the database's own failures."""
        return self._session(self._sessions)

    def reading(self) -> AbstractContextManager[Session]:
        """As `transaction`, for what only reads: one consistent view, and readers do not wait for writers."""
        return self._session(self._readers)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def shrink(self) -> None:
        """After a deletion: takes what was deleted out of the files of the database, where the database does not."""
        if not self.is_sqlite:
            return
        connection = self.engine.raw_connection()
        try:
            connection.execute("INSERT INTO document_search (document_search) VALUES ('optimize')")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    @contextmanager
    def _session(self, sessions: sessionmaker[Session]) -> Iterator[Session]:
        try:
            with sessions.begin() as session:
                yield session
        except SQLAlchemyError as error:
            raise StoreError(
                f"the database refused: {error.__class__.__name__}: {str(error).splitlines()[0]}"
            ) from error

    def close(self) -> None:
        self.engine.dispose()


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'desk.sqlite3'}"


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    engine = create_engine(url, connect_args={"timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # The driver would begin transactions late; the handler below begins them, so that writers queue, not fail.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        reads = connection.get_execution_options().get(_READ_ONLY)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _reader_engine(engine: Engine) -> Engine:
    """The same connections; on PostgreSQL a reader sees one moment, as SQLite's readers do by themselves."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READ_ONLY: True})
    return engine.execution_options(isolation_level="REPEATABLE READ")


def migrate(engine: Engine, revision: str = "head") -> None:
    """Brings the tables to the newest revision, or to an older one to start from."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection, _references_unchecked(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


@contextmanager
def _references_unchecked(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew, and would count every reference to the old one as broken.

    The switch is without effect inside a transaction, so it goes past SQLAlchemy, which would begin one.
    """
    own: Any = connection.connection
    if connection.dialect.name == "sqlite":
        own.execute("PRAGMA foreign_keys=OFF")
    yield
    if connection.dialect.name == "sqlite":
        own.execute("PRAGMA foreign_keys=ON")
