"""Backup and restore: one zip with every table as JSON lines and every stored file, the same for SQLite and PostgreSQL.

So a backup is also the way from one database to the other. It holds password hashes and signing keys: keep it safe.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import LargeBinary, Table, insert, select, text
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from nlp_compliance.errors import StoreError
from nlp_compliance.store import audit, search
from nlp_compliance.store.database import Database
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.schema import Base, StoredDocument, Upload, UtcTime, now

_FORM = 1
_MANIFEST = "manifest.json"
_ROWS_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup holds."""

    rows: int
    files: int


def back_up(database: Database, files: FileStore, target: Path) -> Kept:
    """Writes a new zip at `target`, which only the owner can read. Raises StoreError; never leaves half a backup."""
    if target.exists():
        raise StoreError(f"{target} exists; give a new name, a backup is never overwritten")
    if not target.parent.is_dir():
        raise StoreError(f"the folder {target.parent} does not exist; make it, or name another place for the backup")
    draft = target.with_name(target.name + ".part")
    try:
        with (
            os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            kept = _write(database, files, archive)
        os.replace(draft, target)
    except OSError as error:
        raise StoreError(f"the backup could not be written ({error.strerror}); free space and repeat it") from error
    finally:
        draft.unlink(missing_ok=True)
    return kept


def _write(database: Database, files: FileStore, archive: zipfile.ZipFile) -> Kept:
    tables: dict[str, dict[str, Any]] = {}
    with database.reading() as session:
        for table in Base.metadata.sorted_tables:
            digest, count = hashlib.sha256(), 0
            with archive.open(f"tables/{table.name}.jsonl", "w", force_zip64=True) as stream:
                for line in _lines(session, table):
                    stream.write(line)
                    digest.update(line)
                    count += 1
            tables[table.name] = {"rows": count, "sha256": digest.hexdigest()}
        digests = sorted(set(session.scalars(select(Upload.sha256))))
        revision = MigrationContext.configure(session.connection()).get_current_revision()
    for digest_of_file in digests:
        archive.writestr(f"files/{digest_of_file}", files.get(digest_of_file))
    manifest = {"form": _FORM, "revision": revision, "made_at": now().isoformat(), "tables": tables}
    archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
    return Kept(sum(t["rows"] for t in tables.values()), len(digests))


def _lines(session: Session, table: Table) -> Iterator[bytes]:
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS_AT_A_TIME)
    for row in session.execute(query).mappings():
        yield json.dumps({c.name: _packed(row[c]) for c in table.columns}, ensure_ascii=False).encode() + b"\n"


def _packed(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _unpacked(value: Any, kind: TypeEngine[Any]) -> Any:
    if value is not None and isinstance(kind, UtcTime):
        return datetime.fromisoformat(value["at"])
    return base64.b64decode(value["bytes"]) if value is not None and isinstance(kind, LargeBinary) else value


def restore(database: Database, files: FileStore, source: Path) -> Kept:
    """Fills an empty database and its file store from a backup. Raises StoreError; a failure leaves the database empty."""
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive)
            with database.transaction() as session:
                _check_target(session, manifest)
                for name in _stored(archive):
                    _put(files, name, archive.read(f"files/{name}"))
                rows = sum(_fill(session, archive, t, manifest["tables"]) for t in Base.metadata.sorted_tables)
                for document in session.scalars(select(StoredDocument).execution_options(yield_per=_ROWS_AT_A_TIME)):
                    search.index(session, document)
                _go_on_counting(session)
                faults = audit.verify(session)[1]
                if faults:
                    raise StoreError(f"the audit log in {source} is broken: {faults[0]}")
            return Kept(rows, len(_stored(archive)))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise StoreError(f"{source} is no backup of the review desk ({error})") from error


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(archive.read(_MANIFEST))
    if manifest["form"] != _FORM:
        raise StoreError(f"the backup has form {manifest['form']}, this program reads {_FORM}; use its own version")
    return manifest


def _check_target(session: Session, manifest: dict[str, Any]) -> None:
    revision = MigrationContext.configure(session.connection()).get_current_revision()
    if revision != manifest["revision"]:
        raise StoreError(
            f"the backup was made at database revision {manifest['revision']}, this program has {revision}; "
            "restore it with the version that made it, then upgrade"
        )
    # What opening a database makes by itself (signing keys, a setup link, the start of the chain) does not count.
    made = ("secrets", "audit_head")
    used = [
        t.name
        for t in Base.metadata.sorted_tables
        if t.name not in made and session.execute(select(t).limit(1)).first() is not None
    ]
    if used:
        raise StoreError(f"the target database is not empty ({', '.join(used)}); restore into a new one")
    for name in made:
        session.execute(Base.metadata.tables[name].delete())


def _stored(archive: zipfile.ZipFile) -> list[str]:
    return [n.removeprefix("files/") for n in archive.namelist() if n.startswith("files/")]


def _put(files: FileStore, digest: str, data: bytes) -> None:
    if files.put(data) != digest:
        raise StoreError(f"file {digest} in the backup is damaged; use another backup")


def _fill(session: Session, archive: zipfile.ZipFile, table: Table, said: dict[str, dict[str, Any]]) -> int:
    kinds = {c.name: c.type for c in table.columns}
    digest, rows, count = hashlib.sha256(), [], 0
    with archive.open(f"tables/{table.name}.jsonl") as stream:
        for line in stream:
            digest.update(line)
            rows.append({k: _unpacked(v, kinds[k]) for k, v in json.loads(line).items()})
            count += 1
            if len(rows) == _ROWS_AT_A_TIME:
                session.execute(insert(table), rows)
                rows = []
    if rows:
        session.execute(insert(table), rows)
    if digest.hexdigest() != said[table.name]["sha256"]:
        raise StoreError(f"table {table.name} in the backup is damaged; use another backup")
    return count


def _go_on_counting(session: Session) -> None:
    """PostgreSQL counts ids in sequences, which do not see rows that bring their own."""
    if session.get_bind().dialect.name != "postgresql":
        return
    for table in Base.metadata.sorted_tables:
        if "id" in table.columns and table.columns["id"].autoincrement is not False:
            session.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608
                    f"(SELECT COALESCE(MAX(id), 0) + 1 FROM {table.name}), false)"
                )
            )
