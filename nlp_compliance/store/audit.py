"""The audit log: append-only, every entry hashed over its content and the hash before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from nlp_compliance.store.database import Database
from nlp_compliance.store.schema import AuditEntry, AuditHead, now

START = "0" * 64


def append(session: Session, *, user: str, action: str, subject: str, **detail: Any) -> None:
    """One entry in the transaction of the change it describes: both stand or neither."""
    head = lock(session)
    entry = AuditEntry(
        id=head.count + 1,
        at=now().isoformat(timespec="milliseconds"),
        user_name=user,
        action=action,
        subject=subject,
        detail=json.dumps(detail, ensure_ascii=False, sort_keys=True, default=str),
        previous_hash=head.hash,
    )
    entry.hash = entry_hash(entry)
    session.add(entry)
    head.count, head.hash = entry.id, entry.hash
    session.flush()


def lock(session: Session) -> AuditHead:
    """The end of the chain; whoever writes next waits until this transaction is over."""
    head = session.get(AuditHead, 1, with_for_update=True)
    if head is None:
        head = AuditHead(id=1, count=0, hash=START)
        session.add(head)
        session.flush()
    return head


@contextmanager
def changing(database: Database) -> Iterator[Session]:
    """A transaction for a change that depends on what stands in the database: two at a time take turns.

    On PostgreSQL both would otherwise read before either writes.
    """
    with database.transaction() as session:
        lock(session)
        yield session


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 over all columns but `hash`, as canonical JSON."""
    fields = (entry.id, entry.at, entry.user_name, entry.action, entry.subject, entry.detail, entry.previous_hash)
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()


def entries(session: Session) -> Generator[AuditEntry]:
    """All entries in order; close it where not all are taken."""
    rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id).execution_options(yield_per=500))
    with closing(rows):
        yield from rows


def last(session: Session, *, action: str, subject: str) -> AuditEntry | None:
    """The newest entry of this action on this subject."""
    own = select(AuditEntry).where(AuditEntry.action == action, AuditEntry.subject == subject)
    return session.scalar(own.order_by(AuditEntry.id.desc()).limit(1))


def row(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is exported."""
    names = ("id", "at", "user_name", "action", "subject", "detail", "previous_hash", "hash")
    return {name: getattr(entry, name) for name in names}


def verify(session: Session) -> tuple[int, list[str]]:
    """The number of entries and, in Chinese, every place where the chain is broken."""
    faults: list[str] = []
    count, previous = 0, START
    with closing(entries(session)) as rows:
        for count, entry in enumerate(rows, 1):
            if entry.id != count:
                faults.append(f"第{count}条应在此处，实际是第{entry.id}条：有记录被删除或调换")
                return count, faults
            if entry.previous_hash != previous:
                faults.append(f"第{entry.id}条与上一条衔接不上：有记录被替换或调换")
            if entry.hash != entry_hash(entry):
                faults.append(f"第{entry.id}条的内容被改动")
            previous = entry.hash
    head = session.get(AuditHead, 1)
    if head is not None and (head.count, head.hash) != (count, previous):
        faults.append(f"末尾应有{head.count}条，实际{count}条：末尾的记录被删除或替换")
    return count, faults
