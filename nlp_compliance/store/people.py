"""People: passwords by argon2, roles, lock-out after repeated failures, the one-time link of the first start."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nlp_compliance.errors import InputError, UnauthorizedError
from nlp_compliance.store import audit
from nlp_compliance.store.schema import Secret, User, now

ROLES = {"viewer": "只读", "reviewer": "审核员", "approver": "复核员", "admin": "管理员"}
_RANK = {role: rank for rank, role in enumerate(ROLES)}
MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 200
_FAILURES_ALLOWED = 5
_LOCKED = timedelta(minutes=15)
_HASHER = PasswordHasher()
# Locks a person against other changes; decisions, which only refer to the person, need not wait.
_ROW: dict[str, Any] = {"key_share": True}
# Checked where the name is unknown, so that the answer takes as long as for a known one.
_NOBODY = _HASHER.hash(secrets.token_hex())


def may(user: User, role: str) -> bool:
    """Whether the person has at least this role."""
    return user.active and _RANK[user.role] >= _RANK[role]


def create_user(session: Session, name: str, password: str, role: str, *, by: str) -> User:
    """Raises InputError for a name that is taken, a password that is too short, or an unknown role."""
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise InputError("姓名须为1到64个可见字符")
    if role not in ROLES:
        raise InputError(f"角色“{role}”不存在，可用：{'、'.join(ROLES.values())}")
    if session.scalar(select(User).where(User.name == name)):
        raise InputError(f"姓名“{name}”已存在，请换一个")
    user = User(name=name, role=role, password_hash=_hashed(password))
    session.add(user)
    session.flush()
    audit.append(session, user=by, action="user.create", subject=f"user:{user.id}", name=name, role=role)
    return user


def change_user(session: Session, user: User, *, by: str, role: str | None, active: bool, password: str | None) -> None:
    """Changes role, access or password and ends the person's sessions. Raises InputError if no administrator is left."""
    if role is not None and role not in ROLES:
        raise InputError(f"角色“{role}”不存在，可用：{'、'.join(ROLES.values())}")
    # Locked as `log_in` locks, people before the end of the audit log, so that neither waits for the other.
    query = select(User).where(User.role == "admin", User.active.is_(True)).order_by(User.id)
    admins = session.scalars(query.with_for_update(**_ROW)).all()
    if admins == [user] and (not active or role not in (None, "admin")):
        raise InputError("至少要保留一名在用的管理员")
    user.role, user.active = role or user.role, active
    if password:
        user.password_hash = _hashed(password)
    user.failures, user.locked_until = 0, None
    user.session_epoch += 1
    detail = {"role": user.role, "active": active, "password": bool(password)}
    audit.append(session, user=by, action="user.change", subject=f"user:{user.id}", **detail)


def change_password(session: Session, user_id: int, old: str, new: str) -> User:
    """One's own password; ends all sessions of the person. Raises UnauthorizedError for a wrong old one."""
    user = session.get_one(User, user_id, with_for_update=_ROW)
    if not _matches(user.password_hash, old[:MAX_PASSWORD_CHARS]):
        raise UnauthorizedError("原口令不对")
    user.password_hash = _hashed(new)
    user.session_epoch += 1
    audit.append(session, user=user.name, action="user.password", subject=f"user:{user.id}")
    return user


def _hashed(password: str) -> str:
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise InputError(f"口令须为{MIN_PASSWORD_CHARS}到{MAX_PASSWORD_CHARS}个字符，实际{len(password)}个")
    return _HASHER.hash(password)


def log_in(session: Session, name: str, password: str) -> User:
    """The person. Raises UnauthorizedError; the transaction must still be committed, for it counts the failure."""
    user = session.scalar(select(User).where(User.name == name.strip()).with_for_update(**_ROW))
    known = user is not None and user.active
    locked = user is not None and user.locked_until is not None and user.locked_until > now()
    right = _matches(user.password_hash if user else _NOBODY, password[:MAX_PASSWORD_CHARS])
    if user is None or not known or locked or not right:
        if user is not None and not locked:
            user.failures += 1
            if user.failures >= _FAILURES_ALLOWED:
                user.locked_until, user.failures = now() + _LOCKED, 0
                audit.append(session, user=user.name, action="user.locked", subject=f"user:{user.id}")
        minutes = int(_LOCKED.total_seconds() // 60)
        raise UnauthorizedError(f"姓名或口令不对；连续{_FAILURES_ALLOWED}次失败后锁定{minutes}分钟")
    user.failures, user.locked_until = 0, None
    audit.append(session, user=user.name, action="user.login", subject=f"user:{user.id}")
    return user


def _matches(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except Argon2Error:
        return False


def secret(session: Session, name: str) -> bytes:
    """A random key that is made once and kept."""
    row = session.get(Secret, name)
    if row is None:
        row = Secret(name=name, value=secrets.token_bytes(32))
        session.add(row)
        session.flush()
    return row.value


def setup_token(session: Session) -> str | None:
    """A fresh one-time token for creating the first administrator; None once anybody exists."""
    if session.scalar(select(func.count()).select_from(User)):
        return None
    token = secrets.token_urlsafe(24)
    session.merge(Secret(name="setup", value=hashlib.sha256(token.encode()).digest()))
    return token


def use_setup_token(session: Session, token: str, name: str, password: str) -> User:
    """The first administrator. Raises UnauthorizedError for a wrong or used token."""
    row = session.get(Secret, "setup")
    given = hashlib.sha256(token.encode()).digest()
    if row is None or not hmac.compare_digest(row.value, given) or session.scalar(select(func.count(User.id))):
        raise UnauthorizedError("链接无效或已用过；请重新启动服务，使用终端里新打印的链接")
    user = create_user(session, name, password, "admin", by=name)
    session.delete(row)
    return user
