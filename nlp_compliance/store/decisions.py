"""Decisions on findings, the verdict on a document, the second person's word. Each writes its audit entry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from nlp_compliance.errors import InputError
from nlp_compliance.records import VIOLATION_LABELS
from nlp_compliance.store import audit, webhooks
from nlp_compliance.store.schema import Decision, StoredDocument, User, now

VERDICTS = {"pass": "通过", "return": "退回修改", "block": "禁止发布"}
ACTIONS = {
    "accept": "确认",
    "dismiss": "排除",
    "relabel": "改标签",
    "rewrite": "改写",
    "add": "补充",
    "withdraw": "撤回补充",
}
LONGEST_REASON = 2_000
REOPENED = "document.reopen"
# A decision and the name of the person.
Said = tuple[Decision, str]
# (label, start, end)
Place = tuple[str, int | None, int | None]
# What no text of a person needs, and PostgreSQL (NUL) or YAML (the others) refuse.
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def decisions_of(session: Session, document_id: int) -> list[Said]:
    """What was said about one document, the oldest first."""
    return decisions_by_document(session, [document_id]).get(document_id, [])


def decisions_by_document(session: Session, document_ids: Sequence[int]) -> dict[int, list[Said]]:
    """The same for several documents; those about which nothing was said are missing."""
    query = select(Decision, User.name).join(User, User.id == Decision.user_id)
    out: dict[int, list[Said]] = {}
    for decision, name in session.execute(query.where(Decision.document_id.in_(document_ids)).order_by(Decision.id)):
        out.setdefault(decision.document_id, []).append((decision, name))
    return out


def label_of(found: Mapping[str, Any], decisions: Iterable[Decision]) -> str:
    """The label that stands for a finding of the report: what a person changed it to last, else the program's.

    `decisions` are those on this finding, the oldest first.
    """
    changed: list[str] = [d.label for d in decisions if d.action == "relabel"]
    label: str = changed[-1] if changed else found["label"]
    return label


def decide(
    session: Session,
    document: StoredDocument,
    *,
    by: User,
    finding: int,
    action: str,
    label: str = "",
    start: int | None = None,
    end: int | None = None,
    reason: str = "",
    rewrite: str = "",
) -> Decision:
    """Records one decision on finding `finding` (from 1), or an added one (0). Raises InputError saying what is wrong."""
    _must_be_open(document)
    reason, rewrite = _written("理由", reason), _written("改写后的文字", rewrite)
    if action not in ACTIONS:
        raise InputError(f"操作“{action}”不存在，可用：{'、'.join(ACTIONS.values())}")
    if action == "add":
        if start is None or end is None or not 0 <= start < end <= len(document.text):
            raise InputError("补充问题时请先在原文中选中一段文字")
        finding = 0
    elif action == "withdraw":
        if (label, start, end) not in additions(decisions_of(session, document.id)):
            raise InputError("没有这一处补充的问题，或已经撤回")
        finding = 0
    else:
        found = _finding(document, finding)
        start, end = found["start"], found["end"]
        if action != "relabel":
            label = label_of(found, [d for d, _ in decisions_of(session, document.id) if d.finding == finding])
    if action in ("add", "relabel") and label not in VIOLATION_LABELS:
        raise InputError(f"标签“{label}”不存在")
    if action in ("dismiss", "relabel", "add") and not reason:
        raise InputError("请写明理由")
    if action == "rewrite" and not rewrite:
        raise InputError("请写出改写后的文字")
    if document.state == "decided":
        _withdraw_verdict(session, document, by=by, reason="结论提交后又处理了问题")
    decision = Decision(
        document_id=document.id,
        finding=finding,
        action=action,
        label=label,
        start=start,
        end=end,
        reason=reason,
        rewrite=rewrite if action == "rewrite" else None,
        user_id=by.id,
    )
    session.add(decision)
    session.flush()
    audit.append(
        session,
        user=by.name,
        action=f"finding.{action}",
        subject=f"document:{document.id}",
        finding=finding,
        label=label,
        start=start,
        end=end,
        reason=reason,
        **({"rewrite": decision.rewrite} if decision.rewrite else {}),
        text_sha256=document.text_sha256,
        model=document.report["model"],
    )
    return decision


def place_of(decision: Decision) -> Place:
    """What an added finding is known by, since it has no number in the report."""
    return decision.label, decision.start, decision.end


def additions(decisions: Sequence[Said]) -> set[Place]:
    """The findings that people added and did not take back."""
    standing: set[Place] = set()
    for decision, _ in decisions:
        if decision.action == "add":
            standing.add(place_of(decision))
        elif decision.action == "withdraw":
            standing.discard(place_of(decision))
    return standing


def _written(name: str, text: str) -> str:
    """What a person wrote, as it is kept. Raises InputError where it is too long, since a cut would change its sense."""
    # Forms send line ends as two characters, the length that a page allows counts them as one.
    kept = UNSEEN.sub("", text.replace("\r\n", "\n")).strip()
    if len(kept) > LONGEST_REASON:
        raise InputError(f"{name}共{len(kept)}个字符，最多{LONGEST_REASON}个；请缩短后再提交")
    return kept


def _finding(document: StoredDocument, number: int) -> dict[str, Any]:
    findings = document.report["findings"]
    if not 1 <= number <= len(findings):
        raise InputError(f"没有第{number}条问题，共{len(findings)}条")
    found: dict[str, Any] = findings[number - 1]
    return found


def _must_be_open(document: StoredDocument) -> None:
    if document.state == "approved":
        raise InputError("该文档已复核完成，不能再改；如文案有变，请上传新版本")


def state_of(document: StoredDocument, decisions: Sequence[Said]) -> str:
    """What a verdict or an approval is about; another with every decision on a finding and every verdict.

    A page gives it to its forms, so that nobody confirms what came after the page was opened.
    """
    last = decisions[-1][0].id if decisions else 0
    return f"{last} {document.verdict_at.isoformat() if document.verdict_at else '-'}"


def _must_be_seen(session: Session, document: StoredDocument, seen: str | None) -> None:
    if seen is not None and seen != state_of(document, decisions_of(session, document.id)):
        raise InputError("打开页面之后，该文档又有人处理过；请刷新页面，看过现在的处理和结论再提交")


def set_verdict(
    session: Session,
    document: StoredDocument,
    *,
    by: User,
    verdict: str,
    reason: str,
    four_eyes: bool,
    seen: str | None = None,
) -> None:
    """The final verdict; done at once, or waiting for a second person where `four_eyes` asks for one.

    `seen` is the `state_of` that the person had in sight; None where nobody looked at a page. Raises InputError.
    """
    _must_be_open(document)
    _must_be_seen(session, document, seen)
    if verdict not in VERDICTS:
        raise InputError(f"结论“{verdict}”不存在，可用：{'、'.join(VERDICTS.values())}")
    reason = _written("理由", reason)
    if verdict != "pass" and not reason:
        raise InputError("退回或禁止发布须写明理由")
    if verdict == "pass" and not reason and (left := _untouched(session, document)):
        raise InputError(f"还有{left}处问题没有处理；请先逐条处理，或写明仍然通过的理由")
    document.verdict, document.verdict_reason = verdict, reason
    document.verdict_by, document.verdict_at = by.id, now()
    document.state = "decided" if four_eyes else "approved"
    audit.append(
        session,
        user=by.name,
        action="document.verdict",
        subject=f"document:{document.id}",
        verdict=verdict,
        reason=reason,
        text_sha256=document.text_sha256,
        model=document.report["model"],
    )
    if document.state == "approved":
        webhooks.enqueue_reviewed(session, document)


def approve(
    session: Session, document: StoredDocument, *, by: User, agree: bool, reason: str = "", seen: str | None = None
) -> None:
    """The second person's word; without agreement the document is open again. Nobody approves his own verdict.

    `seen` as in `set_verdict`. Raises InputError.
    """
    if document.state != "decided":
        raise InputError("该文档没有待复核的结论")
    _must_be_seen(session, document, seen)
    if document.verdict_by == by.id:
        raise InputError("复核须由另一人进行，不能复核自己的结论")
    reason = _written("理由", reason)
    if not agree and not reason:
        raise InputError("不同意时请写明理由")
    if not agree:
        _withdraw_verdict(session, document, by=by, reason=reason)
        return
    document.state, document.approved_by, document.approved_at = "approved", by.id, now()
    audit.append(
        session,
        user=by.name,
        action="document.approve",
        subject=f"document:{document.id}",
        verdict=document.verdict,
        reason=reason,
        text_sha256=document.text_sha256,
    )
    webhooks.enqueue_reviewed(session, document)


def _untouched(session: Session, document: StoredDocument) -> int:
    """How many violations that the program found nobody has decided on."""
    touched = {d.finding for d, _ in decisions_of(session, document.id)}
    found = enumerate(document.report["findings"], 1)
    return sum(f["verdict"] == "violation" and number not in touched for number, f in found)


def _withdraw_verdict(session: Session, document: StoredDocument, *, by: User, reason: str) -> None:
    """The document is open again: a verdict holds for what was judged, and nobody may approve another state of it."""
    audit.append(
        session,
        user=by.name,
        action=REOPENED,
        subject=f"document:{document.id}",
        verdict=document.verdict,
        reason=reason,
        text_sha256=document.text_sha256,
    )
    document.state = "open"
    document.verdict = document.verdict_reason = document.verdict_by = document.verdict_at = None


def assign(session: Session, document: StoredDocument, *, to: User | None, by: User) -> None:
    document.assigned_to = to.id if to else None
    name = to.name if to else ""
    audit.append(session, user=by.name, action="document.assign", subject=f"document:{document.id}", to=name)
