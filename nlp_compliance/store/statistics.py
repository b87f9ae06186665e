"""Figures of the overview page: volume, risk and labels by week, age of what waits, share of findings dismissed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nlp_compliance.records import BEIJING, week_of
from nlp_compliance.store.schema import Decision, DocumentLabel, StoredDocument, now

WEEKS_SHOWN = 12
# Upper bounds of the age groups of open documents, in days; the last group has none.
AGES_DAYS = (1, 3, 7, 14)
_LABELS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Share:
    """Findings on which somebody decided, and how many of them were dismissed."""

    decided: int
    dismissed: int

    @property
    def percent(self) -> float:
        return 100 * self.dismissed / self.decided if self.decided else 0.0


@dataclass(frozen=True, slots=True)
class Overview:
    """Figures for the overview page; `weeks` are the last ones, oldest first, as `2026-W48`."""

    documents: int
    by_risk: dict[str, int]
    by_state: dict[str, int]
    weeks: tuple[str, ...]
    risks_by_week: dict[str, dict[str, int]]
    labels: list[tuple[str, int]]
    # label: a count for every week of `weeks`
    labels_by_week: dict[str, tuple[int, ...]]
    dismissed: list[tuple[str, Share]]
    # a share for every week of `weeks`
    dismissed_by_week: tuple[Share, ...]
    # a count for every group of AGES_DAYS and one more
    ages: tuple[int, ...]
    oldest_open: datetime | None


def overview(session: Session) -> Overview:
    weeks = _last_weeks(now())
    since = now() - timedelta(weeks=WEEKS_SHOWN)
    risks: dict[str, dict[str, int]] = {week: {} for week in weeks}
    for at, risk in session.execute(
        select(StoredDocument.created_at, StoredDocument.risk).where(StoredDocument.created_at >= since)
    ):
        own = risks.setdefault(_week_of(at), {})
        own[risk] = own.get(risk, 0) + 1
    rows = session.execute(select(DocumentLabel.label, func.count()).group_by(DocumentLabel.label)).all()
    labels = sorted(((label, count) for label, count in rows), key=lambda item: (-item[1], item[0]))
    by_label, by_week = _dismissals(session, weeks)
    return Overview(
        documents=session.scalar(select(func.count(StoredDocument.id))) or 0,
        by_risk=_counts(session, StoredDocument.risk),
        by_state=_counts(session, StoredDocument.state),
        weeks=weeks,
        risks_by_week={week: risks[week] for week in weeks},
        labels=labels,
        labels_by_week=_labels_by_week(session, weeks, [label for label, _ in labels[:_LABELS_SHOWN]], since),
        dismissed=by_label,
        dismissed_by_week=by_week,
        ages=_ages(session),
        oldest_open=session.scalar(select(func.min(StoredDocument.created_at)).where(StoredDocument.state == "open")),
    )


def _week_of(at: datetime) -> str:
    """The week of an instant as Beijing counts it."""
    return week_of(at.astimezone(BEIJING).date())


def _last_weeks(today: datetime) -> tuple[str, ...]:
    return tuple(_week_of(today - timedelta(weeks=back)) for back in reversed(range(WEEKS_SHOWN)))


def _counts(session: Session, own: Any) -> dict[str, int]:
    rows = session.execute(select(own, func.count()).group_by(own)).all()
    return {key: count for key, count in rows}  # noqa: C416


def _labels_by_week(
    session: Session, weeks: tuple[str, ...], labels: list[str], since: datetime
) -> dict[str, tuple[int, ...]]:
    counts = {label: dict.fromkeys(weeks, 0) for label in labels}
    query = (
        select(DocumentLabel.label, StoredDocument.created_at)
        .join(StoredDocument, StoredDocument.id == DocumentLabel.document_id)
        .where(StoredDocument.created_at >= since, DocumentLabel.label.in_(labels))
    )
    for label, at in session.execute(query):
        if _week_of(at) in counts[label]:
            counts[label][_week_of(at)] += 1
    return {label: tuple(own.values()) for label, own in counts.items()}


def _dismissals(session: Session, weeks: tuple[str, ...]) -> tuple[list[tuple[str, Share]], tuple[Share, ...]]:
    """Shares by label and by week. The last decision on a finding counts; a changed label counts for the first one."""
    latest: dict[tuple[int, int], Decision] = {}
    for decision in session.scalars(select(Decision).where(Decision.finding > 0).order_by(Decision.id)):
        latest[decision.document_id, decision.finding] = decision
    labels: dict[str, list[int]] = {}
    by_week = {week: [0, 0] for week in weeks}
    for decision in latest.values():
        for own in (labels.setdefault(decision.label, [0, 0]), by_week.get(_week_of(decision.created_at), [0, 0])):
            own[0] += 1
            own[1] += decision.action == "dismiss"
    shares = [(label, Share(*own)) for label, own in sorted(labels.items())]
    return shares, tuple(Share(*by_week[week]) for week in weeks)


def _ages(session: Session) -> tuple[int, ...]:
    groups = [0] * (len(AGES_DAYS) + 1)
    for at in session.scalars(select(StoredDocument.created_at).where(StoredDocument.state != "approved")):
        days = (now() - at) / timedelta(days=1)
        groups[next((i for i, bound in enumerate(AGES_DAYS) if days < bound), len(AGES_DAYS))] += 1
    return tuple(groups)
