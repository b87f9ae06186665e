"""Deletes what is older than the retention time: uploads, their documents, texts, decisions, index entries and files.

So goes every file that no upload names: a refused or broken-off request leaves it behind.

The audit log stays: it holds hashes, names and reasons, never a submitted text. One entry says what was deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from nlp_compliance.store import audit, search
from nlp_compliance.store.database import Database
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.schema import Decision, Delivery, DocumentLabel, ReadFailure, StoredDocument, Upload, now

# A younger file may be that of a request that is still being accepted.
_COMING_IN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Purged:
    """How much was deleted."""

    uploads: int
    documents: int
    files: int


def purge(database: Database, files: FileStore, *, before: datetime, by: str) -> Purged:
    """Deletes every finished upload that arrived before `before`, decided or not. Raises StoreError."""
    digests = _unnamed(database, files)
    # Another process that deletes at the same time waits here, and then finds nothing left.
    with audit.changing(database) as session:
        done = Upload.status.in_(("done", "failed"))
        uploads = list(session.scalars(select(Upload).where(Upload.created_at < before, done)))
        documents = sum(_forget(session, upload) for upload in uploads)
        for upload in uploads:
            digests.add(upload.sha256)
            session.delete(upload)
        if uploads:
            audit.append(
                session,
                user=by,
                action="retention.purge",
                subject=f"before:{before.isoformat(timespec='seconds')}",
                uploads=[u.id for u in uploads],
                documents=documents,
            )
    gone = sum(_remove_unused(database, files, digest) for digest in sorted(digests))
    if uploads:
        database.shrink()
    return Purged(len(uploads), documents, gone)


def _forget(session: Session, upload: Upload) -> int:
    own = list(session.scalars(select(StoredDocument.id).where(StoredDocument.upload_id == upload.id)))
    for identifier in own:
        search.forget(session, identifier)
        for table in (Decision, DocumentLabel):
            session.execute(delete(table).where(table.document_id == identifier))
    session.execute(delete(StoredDocument).where(StoredDocument.upload_id == upload.id))
    session.execute(delete(ReadFailure).where(ReadFailure.upload_id == upload.id))
    session.execute(delete(Delivery).where(Delivery.upload_id == upload.id))
    return len(own)


def _unnamed(database: Database, files: FileStore) -> set[str]:
    """Files that no upload names."""
    arrived = now() - _COMING_IN
    files.remove_drafts(arrived)
    stored = files.digests(arrived)
    with database.reading() as session:
        return stored.difference(session.scalars(select(Upload.sha256)))


def _remove_unused(database: Database, files: FileStore, digest: str) -> bool:
    """Removes a file unless an upload uses it. The row is looked for under a lock that new uploads wait behind."""
    with audit.changing(database) as session:
        if session.scalar(select(func.count(Upload.id)).where(Upload.sha256 == digest)):
            return False
        files.remove(digest)
    return True
