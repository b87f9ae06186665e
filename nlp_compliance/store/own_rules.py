"""The company's own rules, added on the rules page: kept in the database, loaded by every server on top of the package's.

Nothing is deleted: a rule is switched off and on, and every change has its audit entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nlp_compliance.errors import InputError
from nlp_compliance.store import audit
from nlp_compliance.store.schema import AuditEntry, OwnRule, User


@dataclass(frozen=True, slots=True)
class OwnRules:
    """The active rules as entries of a rulebook file, and the revision they stand at."""

    revision: int
    bodies: tuple[dict[str, Any], ...]


def revision(session: Session) -> int:
    """Grows by one with every change; 0 where no rule was ever added."""
    return session.scalar(select(func.max(OwnRule.revision))) or 0


def active(session: Session) -> OwnRules:
    rows = session.scalars(select(OwnRule).where(OwnRule.active.is_(True)).order_by(OwnRule.id)).all()
    return OwnRules(revision(session), tuple(row.body for row in rows))


def all_rules(session: Session) -> list[tuple[OwnRule, str]]:
    """(rule, name of who added it), the newest first."""
    query = select(OwnRule, User.name).join(User, User.id == OwnRule.created_by).order_by(OwnRule.id.desc())
    return [(rule, name) for rule, name in session.execute(query)]


def add(session: Session, body: dict[str, Any], *, by: User) -> OwnRule:
    """Keeps a rule that was proved before; it gets the id `company.<number>`."""
    rule = OwnRule(body={}, revision=revision(session) + 1, created_by=by.id)
    session.add(rule)
    session.flush()
    rule.body = {"id": f"company.{rule.id}", **body}
    audit.append(session, user=by.name, action="rule.add", subject=f"rule:{rule.id}", **rule.body)
    return rule


def switch(session: Session, identifier: int, *, active: bool, by: User) -> OwnRule:
    """Switches a rule off or on. Raises InputError when there is none of this number."""
    rule = session.get(OwnRule, identifier, with_for_update=True)
    if rule is None:
        raise InputError(f"没有编号为{identifier}的自有规则")
    if rule.active != active:
        rule.active, rule.revision = active, revision(session) + 1
        action = "rule.on" if active else "rule.off"
        audit.append(session, user=by.name, action=action, subject=f"rule:{rule.id}", rule=rule.body["id"])
    return rule


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history."""

    at: datetime
    user: str
    action: str
    rule: str
    detail: str


def history(session: Session, limit: int = 50) -> list[Change]:
    """Changes of own rules from the audit log, the newest first."""
    query = select(AuditEntry).where(AuditEntry.action.in_(("rule.add", "rule.on", "rule.off")))
    rows = session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit))
    return [Change(datetime.fromisoformat(r.at), r.user_name, r.action, r.subject, r.detail) for r in rows]
