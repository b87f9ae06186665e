"""Uploads, their jobs and the documents they become. Every function works in the caller's transaction and writes its
audit entry."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from nlp_compliance.store import audit, search, webhooks
from nlp_compliance.store.schema import (
    ApiKey,
    DocumentLabel,
    ReadFailure,
    StoredDocument,
    Upload,
    User,
    now,
)

STATES = {"open": "待审核", "decided": "待复核", "approved": "已完成"}
ORDERS = {"new": "最新在前", "old": "等待最久在前", "risk": "风险高在前"}
PAGE_SIZE = 30
_FIRST_DOCUMENTS, _FIRST_FAILURES = 5, 3
# A worker renews its lease while it lives; a dead one's upload is free again after this time.
_LEASE = timedelta(seconds=90)
_ATTEMPTS = 3
_GRAVITY = case({"high": 0, "medium": 1, "low": 2}, value=StoredDocument.risk, else_=3)


@dataclass(frozen=True, slots=True)
class Judged:
    """One document ready to be kept: texts and JSON as they will be stored; `search_text` is in normal form."""

    name: str
    title: str
    text: str
    text_sha256: str
    blocks: list[Any]
    source: dict[str, Any]
    report: dict[str, Any]
    search_text: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the work list shows; empty means all. `words` are in normal form; `since` and `until` bound the arrival."""

    words: tuple[str, ...] = ()
    risk: str = ""
    state: str = ""
    label: str = ""
    verdict: str = ""
    assigned_to: int | None = None
    upload_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: str = "new"
    page: int = 1


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload as lists show it: how much came of it, and the first of its documents and failures."""

    upload: Upload
    documents: int
    failures: int
    first_documents: list[int]
    first_failures: list[ReadFailure]


def add_upload(
    session: Session,
    *,
    name: str,
    sha256: str,
    size: int,
    by: User | None,
    previous_id: int | None = None,
    key: ApiKey | None = None,
    idempotency_key: str | None = None,
) -> Upload:
    """Queues a stored file of a person or of a platform's key. The same idempotency key gives the same upload again."""
    if idempotency_key:
        known = session.scalar(select(Upload).where(Upload.idempotency_key == idempotency_key))
        if known is not None:
            return known
    upload = Upload(
        name=name,
        sha256=sha256,
        size=size,
        owner_id=by.id if by else None,
        previous_id=previous_id,
        key_id=key.id if key else None,
        idempotency_key=idempotency_key,
    )
    session.add(upload)
    session.flush()
    who = by.name if by else f"api:{key.name}" if key else "api"
    audit.append(session, user=who, action="upload.add", subject=f"upload:{upload.id}", name=name, sha256=sha256)
    return upload


def claim(session: Session) -> Upload | None:
    """The oldest upload that waits, or whose worker is gone; leased to the caller."""
    waiting = or_(Upload.status == "queued", (Upload.status == "running") & (Upload.leased_until < now()))
    query = select(Upload).where(waiting).order_by(Upload.id).limit(1).with_for_update(skip_locked=True)
    upload = session.scalar(query)
    if upload is None:
        return None
    upload.attempts += 1
    if upload.attempts > _ATTEMPTS:
        # A file that took its worker down three times at the same place will do it again.
        says = f"{upload.name}: its processing broke off {_ATTEMPTS} times; check the file and send it again"
        session.add(ReadFailure(upload_id=upload.id, name=upload.name, code="file_unreadable", message=says))
        audit.append(session, user="system", action="upload.failed", subject=f"upload:{upload.id}", message=says)
        _close(session, upload)
        return None
    upload.status, upload.lease, upload.leased_until = "running", secrets.token_hex(16), now() + _LEASE
    return upload


def renew(session: Session, upload_id: int, lease: str) -> bool:
    """Keeps an upload for the worker that still works on it; False when it was lost."""
    upload = _leased(session, upload_id, lease)
    if upload is None:
        return False
    upload.leased_until = now() + _LEASE
    return True


def release(session: Session, upload_id: int, lease: str) -> None:
    """Puts back an upload whose worker stops by itself, which is no fault of the file."""
    upload = _leased(session, upload_id, lease)
    if upload is not None:
        upload.attempts -= 1
        upload.status, upload.lease, upload.leased_until = "queued", None, None


def kept(session: Session, upload_id: int) -> tuple[int, int]:
    """(texts, failures) of an upload that are kept so far; whoever takes it up goes on behind them."""
    documents = session.scalar(select(func.count(StoredDocument.id)).where(StoredDocument.upload_id == upload_id))
    failures = session.scalar(select(func.count(ReadFailure.id)).where(ReadFailure.upload_id == upload_id))
    return documents or 0, failures or 0


def keep(
    session: Session, upload_id: int, lease: str, documents: Sequence[Judged], failures: Sequence[Mapping[str, str]]
) -> bool:
    """Keeps the next results of an upload. False when the lease was lost to another worker, who goes on instead."""
    upload = _leased(session, upload_id, lease)
    if upload is None:
        return False
    first, _ = kept(session, upload_id)
    for ordinal, judged in enumerate(documents, first):
        _keep(session, upload, ordinal, judged)
    session.add_all(ReadFailure(upload_id=upload.id, **failure) for failure in failures)
    # It got further, so whatever breaks next is another place.
    upload.attempts = 1
    return True


def finish(session: Session, upload_id: int, lease: str) -> bool:
    """Says that all results are kept. False when the lease was lost to another worker, who will finish instead."""
    upload = _leased(session, upload_id, lease)
    if upload is None:
        return False
    documents, failures = _close(session, upload)
    audit.append(
        session,
        user="system",
        action="upload.done",
        subject=f"upload:{upload.id}",
        documents=documents,
        failures=failures,
    )
    return True


def _leased(session: Session, upload_id: int, lease: str) -> Upload | None:
    upload = session.get(Upload, upload_id, with_for_update=True)
    return upload if upload is not None and upload.lease == lease and upload.status == "running" else None


def _close(session: Session, upload: Upload) -> tuple[int, int]:
    """Ends an upload by what is kept of it, tells its platform, and says how much that is."""
    session.flush()
    documents, failures = kept(session, upload.id)
    upload.status, upload.error = ("failed" if failures and not documents else "done"), None
    if upload.status == "failed":
        first = select(ReadFailure.message).where(ReadFailure.upload_id == upload.id).order_by(ReadFailure.id)
        upload.error = session.scalar(first.limit(1))
    upload.lease = upload.leased_until = None
    webhooks.enqueue_done(session, upload, documents=documents, failures=failures)
    return documents, failures


def _keep(session: Session, upload: Upload, ordinal: int, judged: Judged) -> None:
    report = judged.report
    document = StoredDocument(
        upload_id=upload.id,
        ordinal=ordinal,
        name=judged.name,
        title=judged.title,
        text=judged.text,
        text_sha256=judged.text_sha256,
        blocks=judged.blocks,
        source=judged.source,
        report=report,
        search_text=judged.search_text,
        risk=report["risk"],
        previous_id=upload.previous_id if ordinal == 0 else None,
    )
    session.add(document)
    session.flush()
    search.index(session, document)
    labels = {f["label"] for f in report["findings"] if f["verdict"] == "violation"}
    session.add_all(DocumentLabel(document_id=document.id, label=label) for label in sorted(labels))
    audit.append(
        session,
        user="system",
        action="document.judged",
        subject=f"document:{document.id}",
        text_sha256=judged.text_sha256,
        risk=report["risk"],
        model=report["model"],
    )


def release_all(session: Session) -> int:
    """Puts back what a stopped server left running; called once at start by the only server of a SQLite file."""
    left = session.scalars(select(Upload).where(Upload.status == "running")).all()
    for upload in left:
        upload.status, upload.lease, upload.leased_until = "queued", None, None
    return len(left)


def find_documents(session: Session, filters: Filters) -> tuple[int, list[StoredDocument]]:
    """(number of all, one page). Every word of the query must stand in text, title or name."""
    query = select(StoredDocument)
    for word in filters.words:
        query = query.where(search.matches(session, word))
    for own, value in (
        (StoredDocument.risk, filters.risk),
        (StoredDocument.state, filters.state),
        (StoredDocument.verdict, filters.verdict),
    ):
        if value:
            query = query.where(own == value)
    if filters.assigned_to is not None:
        query = query.where(StoredDocument.assigned_to == filters.assigned_to)
    if filters.upload_id is not None:
        query = query.where(StoredDocument.upload_id == filters.upload_id)
    if filters.since:
        query = query.where(StoredDocument.created_at >= filters.since)
    if filters.until:
        query = query.where(StoredDocument.created_at < filters.until)
    if filters.label:
        labelled = select(DocumentLabel.document_id).where(DocumentLabel.label == filters.label)
        query = query.where(StoredDocument.id.in_(labelled))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    newest = StoredDocument.id.desc()
    order = {"old": (StoredDocument.id,), "risk": (_GRAVITY, newest)}.get(filters.order, (newest,))
    page = query.order_by(*order).limit(PAGE_SIZE).offset((filters.page - 1) * PAGE_SIZE)
    return total, list(session.scalars(page))


def find_uploads(
    session: Session, *, unread: bool = False, page: int = 1, size: int = PAGE_SIZE
) -> tuple[int, list[UploadRow]]:
    """(number of all, one page), the newest first; `unread` leaves those of which something could not be read."""
    query = select(Upload)
    if unread:
        parts = select(ReadFailure.upload_id)
        query = query.where(or_(Upload.status == "failed", Upload.id.in_(parts)))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    found = session.scalars(query.order_by(Upload.id.desc()).limit(size).offset((page - 1) * size))
    return total, [upload_row(session, upload) for upload in found.all()]


def upload_row(session: Session, upload: Upload) -> UploadRow:
    documents, failures = kept(session, upload.id)
    own = select(StoredDocument.id).where(StoredDocument.upload_id == upload.id).order_by(StoredDocument.ordinal)
    first = list(session.scalars(own.limit(_FIRST_DOCUMENTS)))
    return UploadRow(upload, documents, failures, first, failures_of(session, upload.id, size=_FIRST_FAILURES))


def failures_of(session: Session, upload_id: int, *, page: int = 1, size: int = PAGE_SIZE) -> list[ReadFailure]:
    """One page of what could not be read of an upload, in its order."""
    own = select(ReadFailure).where(ReadFailure.upload_id == upload_id).order_by(ReadFailure.id)
    return list(session.scalars(own.limit(size).offset((page - 1) * size)))


def versions(session: Session, document: StoredDocument) -> list[StoredDocument]:
    """All versions of a copy, the oldest first.

    Several may be made from one, by two people or after a slip; each is found from every other.
    """
    root, seen = document, {document.id}
    while (before := root.previous_id) and before not in seen:
        earlier = session.get(StoredDocument, before)
        if earlier is None:
            break
        seen.add(before)
        root = earlier
    found = {root.id: root}
    newest = [root.id]
    while newest:
        follows = session.scalars(select(StoredDocument).where(StoredDocument.previous_id.in_(newest))).all()
        newest = [d.id for d in follows if d.id not in found]
        found |= {d.id: d for d in follows}
    return [found[identifier] for identifier in sorted(found)]


def waiting_jobs(session: Session) -> dict[str, int]:
    """Number of uploads by status."""
    rows = session.execute(select(Upload.status, func.count()).group_by(Upload.status)).all()
    return {status: count for status, count in rows}  # noqa: C416
