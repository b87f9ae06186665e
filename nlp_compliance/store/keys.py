"""API keys of platforms: shown once, kept as SHA-256, with scopes, rate and day of expiry."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from nlp_compliance.errors import InputError
from nlp_compliance.store import audit
from nlp_compliance.store.schema import ApiKey, now

SCOPES = {
    "score": "评分：/v1/score、/v1/score/batch",
    "documents": "提交文件并取回结果：/v1/documents",
    "rules": "读取标签和规则：/v1/labels、/v1/rules",
    "metrics": "读取监控指标：/metrics",
}
_MARK = "nc"
_MAX_RATE = 1_000_000


def create(
    session: Session,
    name: str,
    *,
    scopes: Collection[str],
    rate_per_minute: int = 600,
    days: int | None = 365,
    webhook_url: str | None = None,
    by: str,
) -> tuple[ApiKey, str]:
    """(the key's row, the key itself, which nobody can show again). `days` until it expires, None for never.

    Raises InputError for a taken name, an unknown scope, or a value out of range.
    """
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise InputError("名称须为1到64个可见字符")
    if session.scalar(select(ApiKey).where(ApiKey.name == name)):
        raise InputError(f"名称“{name}”已存在，请换一个")
    if not scopes or set(scopes) - SCOPES.keys():
        raise InputError(f"权限须从以下选择：{'、'.join(SCOPES)}")
    if not 1 <= rate_per_minute <= _MAX_RATE:
        raise InputError(f"每分钟次数须为1到{_MAX_RATE}")
    if days is not None and not 1 <= days <= 36_500:
        raise InputError("有效天数须为1到36500")
    if webhook_url is not None and not webhook_url.startswith(("https://", "http://")):
        raise InputError("回调地址须以 https:// 或 http:// 开头")
    prefix = secrets.token_hex(5)
    key = f"{_MARK}_{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        name=name,
        prefix=prefix,
        hash=hashed(key),
        scopes=" ".join(s for s in SCOPES if s in scopes),
        rate_per_minute=rate_per_minute,
        expires_at=now() + timedelta(days=days) if days is not None else None,
        webhook_url=webhook_url,
    )
    session.add(row)
    session.flush()
    detail = {"name": name, "scopes": row.scopes, "rate_per_minute": rate_per_minute, "expires_at": row.expires_at}
    audit.append(session, user=by, action="key.create", subject=f"key:{row.id}", **detail)
    return row, key


def hashed(key: str) -> str:
    """A key has 256 random bits, so a plain hash keeps it; nothing has to be slow."""
    return hashlib.sha256(key.encode()).hexdigest()


def find(session: Session, key: str) -> ApiKey | None:
    """The row of a key that is right, not revoked and not expired."""
    mark, _, rest = key.partition("_")
    row = session.scalar(select(ApiKey).where(ApiKey.prefix == rest.partition("_")[0])) if mark == _MARK else None
    if row is None or not hmac.compare_digest(row.hash, hashed(key)) or not usable(row, now()):
        return None
    return row


def usable(row: ApiKey, at: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or at < row.expires_at)


def revoke(session: Session, name: str, *, by: str) -> ApiKey:
    """Ends a key. Raises InputError when there is none of this name."""
    row = session.scalar(select(ApiKey).where(ApiKey.name == name))
    if row is None:
        raise InputError(f"没有名为“{name}”的密钥")
    if row.revoked_at is None:
        row.revoked_at = now()
        audit.append(session, user=by, action="key.revoke", subject=f"key:{row.id}", name=name)
    return row


def all_keys(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))
