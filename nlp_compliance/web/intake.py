"""The one way in for files: stored first, queued after, so that every accepted upload can be finished."""

from __future__ import annotations

import hashlib
import re

from nlp_compliance.errors import ConflictError
from nlp_compliance.store import repository
from nlp_compliance.store.database import Database
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.schema import ApiKey, Upload, User

_LONGEST_NAME = 200
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown_name(name: str) -> str:
    """The last part of a path without control, direction and surrogate characters, which could fake another ending."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return _NOT_SHOWN.sub("", last).strip()[-_LONGEST_NAME:] or "未命名"


def accept(
    database: Database,
    files: FileStore,
    *,
    name: str,
    data: bytes,
    by: User | None = None,
    key: ApiKey | None = None,
    previous_id: int | None = None,
    idempotency_key: str | None = None,
) -> Upload:
    """Queues a file; its bytes are on the disk when this returns. Raises StoreError, or ConflictError where the
    idempotency key stands for other bytes."""
    digest = files.put(data)
    with database.transaction() as session:
        upload = repository.add_upload(
            session,
            name=shown_name(name),
            sha256=digest,
            size=len(data),
            by=by,
            key=key,
            previous_id=previous_id,
            idempotency_key=_own(key, idempotency_key) if idempotency_key else None,
        )
        if upload.sha256 != digest:
            raise ConflictError("this idempotency key was used for another file; use a new key for every file")
        # A retention run may have removed the same bytes a moment ago; it waits behind this transaction now.
        files.put(data)
    return upload


def _own(key: ApiKey | None, given: str) -> str:
    """Callers cannot meet each other's idempotency keys."""
    return hashlib.sha256(f"{key.id if key else 0}\n{given}".encode()).hexdigest()
