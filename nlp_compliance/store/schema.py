"""Tables of the review desk. Times are UTC; texts and reports are stored as they were judged, never changed.

One upload (a file or pasted text) becomes documents; a document gets decisions, a verdict and an approval. Every
change has its entry in `audit`, whose hashes form a chain.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """SQLite forgets time zones; all times go in and come out as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# The audit log and platforms keep these numbers: none is given again after its row was deleted.
_NUMBERED = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class User(Base):
    """A person. `role` is one of `ROLES`."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    locked_until: Mapped[datetime | None]
    # Raised to end every session of this person at once.
    session_epoch: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Upload(Base):
    """A file or pasted text as it came; `status` is queued, running, done or failed."""

    __tablename__ = "uploads"
    __table_args__ = _NUMBERED
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), default="queued", index=True)
    error: Mapped[str | None] = mapped_column(Text)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    previous_id: Mapped[int | None] = mapped_column(Integer)
    # The API key that sent it; None for uploads of the desk.
    key_id: Mapped[int | None] = mapped_column(Integer, index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(128), unique=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease: Mapped[str | None] = mapped_column(String(64))
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class StoredDocument(Base):
    """One judged text of an upload. `state` is open, decided or approved; `verdict` one of `VERDICTS`."""

    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id"), index=True)
    ordinal: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text, default="")
    text: Mapped[str] = mapped_column(Text)
    text_sha256: Mapped[str] = mapped_column(String(64), index=True)
    blocks: Mapped[list[Any]]
    source: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any]]
    # Title, name and text in normal form, for the search (store/search.py).
    search_text: Mapped[str] = mapped_column(Text, default="")
    risk: Mapped[str] = mapped_column(String(8), index=True)
    state: Mapped[str] = mapped_column(String(16), default="open", index=True)
    verdict: Mapped[str | None] = mapped_column(String(16))
    verdict_reason: Mapped[str | None] = mapped_column(Text)
    verdict_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    verdict_at: Mapped[datetime | None]
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    approved_at: Mapped[datetime | None]
    assigned_to: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    previous_id: Mapped[int | None] = mapped_column(Integer, index=True)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    __table_args__ = (UniqueConstraint("upload_id", "ordinal"), _NUMBERED)


class ReadFailure(Base):
    """A part of an upload that could not be read, with the reason."""

    __tablename__ = "failures"
    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)


class DocumentLabel(Base):
    """The labels found in a document, for filters and charts."""

    __tablename__ = "document_labels"
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    __table_args__ = (Index("ix_document_labels_label", "label"),)


class Decision(Base):
    """What a person said about one finding. The last decision on a finding counts; earlier ones stay.

    `finding` is the number (from 1) in the report, 0 for a finding that the person added. `action` is accept, dismiss,
    relabel, rewrite or add; `rewrite` holds the wording proposed instead.
    """

    __tablename__ = "decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), index=True)
    finding: Mapped[int]
    action: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(String(64), index=True)
    start: Mapped[int | None]
    end: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    rewrite: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class AuditEntry(Base):
    """One entry of the audit log; `hash` covers all other columns and `previous_hash`."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    user_name: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(128), index=True)
    detail: Mapped[str] = mapped_column(Text)
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)


class AuditHead(Base):
    """The number and hash of the last audit entry: a removed tail shows, and writers queue up behind its lock."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class Secret(Base):
    """Keys made at first start (session signing) and one-time links; never shown."""

    __tablename__ = "secrets"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)


class ApiKey(Base):
    """A platform's key: the secret is shown once and kept as SHA-256. `scopes` are separated by blanks."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(255))
    rate_per_minute: Mapped[int]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    webhook_url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Delivery(Base):
    """One webhook message; `status` is waiting, sent or failed. `payload` holds no submitted text."""

    __tablename__ = "deliveries"
    __table_args__ = _NUMBERED
    id: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id"))
    upload_id: Mapped[int] = mapped_column(Integer, index=True)
    payload: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), default="waiting", index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[datetime] = mapped_column(default=now)
    last_answer: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class OwnRule(Base):
    """A rule that the company added on the rules page; `body` is the entry of a rulebook file.

    `revision` grows by one with every change to any own rule, so that each server sees when to load them again.
    """

    __tablename__ = "own_rules"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]]
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    revision: Mapped[int] = mapped_column(Integer, index=True)
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
