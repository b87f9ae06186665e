"""Messages to platforms, kept in the database until they are delivered. They hold ids and states, never texts.

The signature is that of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in the header `webhook-signature`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from nlp_compliance.store.people import secret
from nlp_compliance.store.schema import ApiKey, Delivery, StoredDocument, Upload, now

# Waiting times after each failure, in seconds; after the last one the message is given up.
RETRIES_S = (10, 60, 300, 1_800, 7_200, 21_600, 43_200)
# A deliverer that dies in the middle leaves its message alone for this long.
_IN_HAND = timedelta(minutes=2)
_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Message:
    """One message ready to be sent to `url`."""

    id: int
    url: str
    headers: dict[str, str]
    body: bytes


def enqueue_done(session: Session, upload: Upload, *, documents: int, failures: int) -> None:
    """Tells the upload's key, if it has a webhook, that the upload is finished."""
    _enqueue(session, upload, "document.done", status=upload.status, documents=documents, failures=failures)


def enqueue_reviewed(session: Session, document: StoredDocument) -> None:
    """Tells the key of the document's upload the final verdict of the reviewers."""
    upload = session.get(Upload, document.upload_id)
    if upload is not None:
        _enqueue(session, upload, "document.reviewed", ordinal=document.ordinal, verdict=document.verdict)


def _enqueue(session: Session, upload: Upload, kind: str, **detail: Any) -> None:
    key = session.get(ApiKey, upload.key_id) if upload.key_id else None
    if key is None or not key.webhook_url or key.revoked_at:
        return
    result = f"/v1/documents/{upload.id}/result"
    payload = {"type": kind, "timestamp": now().isoformat(timespec="seconds"), "id": str(upload.id), **detail}
    body = json.dumps({**payload, "result_url": result}, ensure_ascii=False)
    session.add(Delivery(key_id=key.id, upload_id=upload.id, payload=body))


def webhook_secret(session: Session, key: ApiKey) -> str:
    """The signing secret of a key, made from the installation's own secret, so that it need not be stored."""
    own = hmac.new(secret(session, "webhook"), f"key:{key.id}:{key.prefix}".encode(), hashlib.sha256).digest()
    return _PREFIX + base64.b64encode(own).decode()


def signature(signing_secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`."""
    own = base64.b64decode(signing_secret.removeprefix(_PREFIX))
    digest = hmac.new(own, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def take(session: Session) -> Message | None:
    """The next message that is due, held back from other deliverers for a while."""
    due = select(Delivery).where(Delivery.status == "waiting", Delivery.next_at <= now()).order_by(Delivery.next_at)
    delivery = session.scalar(due.limit(1).with_for_update(skip_locked=True))
    if delivery is None:
        return None
    key = session.get(ApiKey, delivery.key_id)
    if key is None or not key.webhook_url or key.revoked_at:
        delivery.status, delivery.last_answer = "failed", "the key has no webhook any more"
        return None
    delivery.attempts += 1
    delivery.next_at = now() + _IN_HAND
    body, identifier, timestamp = delivery.payload.encode(), f"msg_{delivery.id}", str(int(now().timestamp()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(webhook_secret(session, key), identifier, timestamp, body),
    }
    return Message(delivery.id, key.webhook_url, headers, body)


def settle(session: Session, delivery_id: int, *, delivered: bool, answer: str) -> None:
    """Records what the platform answered; a failure is tried again later, less and less often."""
    delivery = session.get(Delivery, delivery_id, with_for_update=True)
    if delivery is None:
        return
    delivery.last_answer = answer[:500]
    if delivered:
        delivery.status = "sent"
    elif delivery.attempts > len(RETRIES_S):
        delivery.status = "failed"
    else:
        delivery.next_at = now() + timedelta(seconds=RETRIES_S[delivery.attempts - 1])
