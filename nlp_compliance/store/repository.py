"""What the review desk keeps and asks for. Every function works in the caller's transaction and writes its audit entry."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from nlp_compliance.errors import InputError
from nlp_compliance.records import SPAN_LABELS, VIOLATION_LABELS
from nlp_compliance.store import audit
from nlp_compliance.store.schema import (
    Decision,
    DocumentLabel,
    ReadFailure,
    StoredDocument,
    Upload,
    User,
    now,
)

VERDICTS = {"pass": "通过", "return": "退回修改", "block": "禁止发布"}
STATES = {"open": "待审核", "decided": "待复核", "approved": "已完成"}
ACTIONS = {"accept": "确认", "dismiss": "排除", "relabel": "改标签", "add": "补充"}
PAGE_SIZE = 30
_LEASE = timedelta(minutes=10)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """One document ready to be kept: texts and JSON as they will be stored."""

    name: str
    title: str
    text: str
    text_sha256: str
    blocks: list[Any]
    source: dict[str, Any]
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the work list shows; empty means all."""

    query: str = ""
    risk: str = ""
    state: str = ""
    label: str = ""
    assigned_to: int | None = None
    page: int = 1


def add_upload(
    session: Session,
    *,
    name: str,
    sha256: str,
    size: int,
    by: User | None,
    previous_id: int | None = None,
    idempotency_key: str | None = None,
) -> Upload:
    """Queues a stored file. The same idempotency key gives the same upload again."""
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
        idempotency_key=idempotency_key,
    )
    session.add(upload)
    session.flush()
    who = by.name if by else "api"
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
        # A file that took its worker down three times will do it again.
        finish_failed(session, upload, f"处理时{_ATTEMPTS}次中断，已停止重试；请检查文件后重新上传")
        return None
    upload.status, upload.lease, upload.leased_until = "running", secrets.token_hex(16), now() + _LEASE
    return upload


def finish(
    session: Session, upload_id: int, lease: str, documents: Sequence[Judged], failures: Sequence[Mapping[str, str]]
) -> bool:
    """Keeps the results, all at once. False when the lease was lost to another worker, who will finish instead."""
    upload = session.get(Upload, upload_id, with_for_update=True)
    if upload is None or upload.lease != lease or upload.status != "running":
        return False
    for ordinal, judged in enumerate(documents):
        _keep(session, upload, ordinal, judged)
    session.add_all(ReadFailure(upload_id=upload.id, **failure) for failure in failures)
    upload.status = "failed" if failures and not documents else "done"
    upload.error = failures[0]["message"] if upload.status == "failed" else None
    upload.lease = upload.leased_until = None
    audit.append(
        session,
        user="system",
        action="upload.done",
        subject=f"upload:{upload.id}",
        documents=len(documents),
        failures=len(failures),
    )
    return True


def finish_failed(session: Session, upload: Upload, message: str) -> None:
    upload.status, upload.error, upload.lease, upload.leased_until = "failed", message, None, None
    audit.append(session, user="system", action="upload.failed", subject=f"upload:{upload.id}", message=message)


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
        risk=report["risk"],
        previous_id=upload.previous_id if ordinal == 0 else None,
    )
    session.add(document)
    session.flush()
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


def _contains(column: Any, words: str) -> Any:
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.ilike(f"%{escaped}%", escape="\\")


def find_documents(session: Session, filters: Filters) -> tuple[int, list[StoredDocument]]:
    """(number of all, one page), the newest first. Every word of the query must stand in text, title or name."""
    query = select(StoredDocument)
    for word in filters.query.split():
        columns = (StoredDocument.text, StoredDocument.title, StoredDocument.name)
        query = query.where(or_(*(_contains(c, word) for c in columns)))
    if filters.risk:
        query = query.where(StoredDocument.risk == filters.risk)
    if filters.state:
        query = query.where(StoredDocument.state == filters.state)
    if filters.assigned_to is not None:
        query = query.where(StoredDocument.assigned_to == filters.assigned_to)
    if filters.label:
        own = select(DocumentLabel.document_id).where(DocumentLabel.label == filters.label)
        query = query.where(StoredDocument.id.in_(own))
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    page = query.order_by(StoredDocument.id.desc()).limit(PAGE_SIZE).offset((max(1, filters.page) - 1) * PAGE_SIZE)
    return total, list(session.scalars(page))


def decisions_of(session: Session, document_id: int) -> list[tuple[Decision, str]]:
    """(decision, name of the person), the oldest first."""
    query = select(Decision, User.name).join(User, User.id == Decision.user_id)
    return [(d, n) for d, n in session.execute(query.where(Decision.document_id == document_id).order_by(Decision.id))]


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
) -> Decision:
    """Records one decision on finding `finding` (from 1), or an added one (0). Raises InputError saying what is wrong."""
    _must_be_open(document)
    findings = document.report["findings"]
    reason = reason.strip()
    if action not in ACTIONS:
        raise InputError(f"操作“{action}”不存在，可用：{'、'.join(ACTIONS)}")
    if action == "add":
        if start is None or end is None or not 0 <= start < end <= len(document.text):
            raise InputError("补充问题时请先在原文中选中一段文字")
        finding = 0
    elif not 1 <= finding <= len(findings):
        raise InputError(f"没有第{finding}条问题，共{len(findings)}条")
    else:
        found = findings[finding - 1]
        start, end = found["start"], found["end"]
        label = label if action == "relabel" else found["label"]
    if action in ("add", "relabel") and label not in VIOLATION_LABELS:
        raise InputError(f"标签“{label}”不存在")
    if action in ("dismiss", "relabel", "add") and not reason:
        raise InputError("请写明理由")
    decision = Decision(
        document_id=document.id,
        finding=finding,
        action=action,
        label=label,
        start=start,
        end=end,
        reason=reason[:2_000],
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
        text_sha256=document.text_sha256,
        model=document.report["model"],
    )
    return decision


def _must_be_open(document: StoredDocument) -> None:
    if document.state == "approved":
        raise InputError("该文档已复核完成，不能再改；如文案有变，请上传新版本")


def set_verdict(
    session: Session, document: StoredDocument, *, by: User, verdict: str, reason: str, four_eyes: bool
) -> None:
    """The final verdict; done at once, or waiting for a second person where `four_eyes` asks for one."""
    _must_be_open(document)
    if verdict not in VERDICTS:
        raise InputError(f"结论“{verdict}”不存在，可用：{'、'.join(VERDICTS.values())}")
    if verdict != "pass" and not reason.strip():
        raise InputError("退回或禁止发布须写明理由")
    document.verdict, document.verdict_reason = verdict, reason.strip()[:2_000]
    document.verdict_by, document.verdict_at = by.id, now()
    document.state = "decided" if four_eyes else "approved"
    audit.append(
        session,
        user=by.name,
        action="document.verdict",
        subject=f"document:{document.id}",
        verdict=verdict,
        reason=reason.strip(),
        text_sha256=document.text_sha256,
        model=document.report["model"],
    )


def approve(session: Session, document: StoredDocument, *, by: User, agree: bool, reason: str = "") -> None:
    """The second person's word; without agreement the document is open again. Nobody approves his own verdict."""
    if document.state != "decided":
        raise InputError("该文档没有待复核的结论")
    if document.verdict_by == by.id:
        raise InputError("复核须由另一人进行，不能复核自己的结论")
    if not agree and not reason.strip():
        raise InputError("不同意时请写明理由")
    if agree:
        document.state, document.approved_by, document.approved_at = "approved", by.id, now()
    else:
        document.state = "open"
    action = "document.approve" if agree else "document.reopen"
    audit.append(
        session,
        user=by.name,
        action=action,
        subject=f"document:{document.id}",
        verdict=document.verdict,
        reason=reason.strip(),
        text_sha256=document.text_sha256,
    )


def assign(session: Session, document: StoredDocument, *, to: User | None, by: User) -> None:
    document.assigned_to = to.id if to else None
    name = to.name if to else ""
    audit.append(session, user=by.name, action="document.assign", subject=f"document:{document.id}", to=name)


@dataclass(frozen=True, slots=True)
class Overview:
    """Figures for the overview page."""

    documents: int
    by_risk: dict[str, int]
    by_state: dict[str, int]
    labels: list[tuple[str, int]]
    weeks: list[tuple[str, dict[str, int]]]
    # label: (decisions, dismissed)
    dismissed: list[tuple[str, int, int]]
    oldest_open: datetime | None


def overview(session: Session) -> Overview:
    def counts(column: Any) -> dict[str, int]:
        rows = session.execute(select(column, func.count()).group_by(column)).all()
        return {key: count for key, count in rows}  # noqa: C416

    labels = session.execute(select(DocumentLabel.label, func.count()).group_by(DocumentLabel.label)).all()
    weeks: dict[str, dict[str, int]] = {}
    for at, risk in session.execute(select(StoredDocument.created_at, StoredDocument.risk)):
        year, week, _ = at.isocalendar()
        own = weeks.setdefault(f"{year}-W{week:02}", {})
        own[risk] = own.get(risk, 0) + 1
    latest: dict[tuple[int, int], tuple[str, str]] = {}
    for d in session.scalars(select(Decision).where(Decision.finding > 0).order_by(Decision.id)):
        latest[d.document_id, d.finding] = (d.label, d.action)
    made: dict[str, list[int]] = {}
    for label, action in latest.values():
        own_count = made.setdefault(label, [0, 0])
        own_count[0] += 1
        own_count[1] += action == "dismiss"
    return Overview(
        documents=session.scalar(select(func.count(StoredDocument.id))) or 0,
        by_risk=counts(StoredDocument.risk),
        by_state=counts(StoredDocument.state),
        labels=sorted(((k, n) for k, n in labels), key=lambda item: -item[1]),
        weeks=sorted(weeks.items())[-12:],
        dismissed=sorted((k, a, b) for k, (a, b) in made.items()),
        oldest_open=session.scalar(select(func.min(StoredDocument.created_at)).where(StoredDocument.state == "open")),
    )


def feedback_rows(session: Session) -> list[dict[str, Any]]:
    """Decided documents in the corpus' own JSONL form: the spans that people kept, changed or added.

    Only documents with a finished verdict count; a finding without a decision counts as accepted.
    """
    out = []
    for document in session.scalars(select(StoredDocument).where(StoredDocument.state == "approved")):
        latest = {(d.finding, d.start, d.end): d for d, _ in decisions_of(session, document.id)}
        spans = []
        for number, found in enumerate(document.report["findings"], 1):
            own = [d for (n, _, _), d in latest.items() if n == number]
            last = own[-1] if own else None
            if found["start"] is None or found["verdict"] != "violation" or (last and last.action == "dismiss"):
                continue
            label = last.label if last and last.action == "relabel" else found["label"]
            spans.append({"start": found["start"], "end": found["end"], "label": label})
        spans += [{"start": d.start, "end": d.end, "label": d.label} for d in latest.values() if d.action == "add"]
        spans += [
            {"start": d["start"], "end": d["end"], "label": d["tag"]}
            for d in document.report["disclosures"]
            if d["tag"] in SPAN_LABELS
        ]
        out.append(
            {
                "id": f"desk-{document.id}",
                "text": document.text,
                "genre": "reviewed",
                "promotional": document.report["promotional"]["value"],
                "spans": sorted(spans, key=lambda s: (s["start"], s["end"])),
                "group": f"desk-{document.text_sha256[:16]}",
                "source": "review",
                "verdict": document.verdict,
            }
        )
    return out
