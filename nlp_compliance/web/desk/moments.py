"""Times as people read them: the database keeps UTC, pages and exports show Beijing time, which has no summer time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from nlp_compliance.records import BEIJING

_FIRST_DAY, _LAST_DAY = date(1, 1, 2), date(9998, 12, 31)


def moment(at: datetime) -> str:
    """Day and minute."""
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M}"


def day(at: datetime) -> str:
    """The day alone."""
    return f"{at.astimezone(BEIJING):%Y-%m-%d}"


def second(iso: str) -> str:
    """Day and second of a time as the audit log writes it; what somebody tampered with is shown as it is."""
    try:
        return f"{datetime.fromisoformat(iso).astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return iso


def start_of(text: str) -> datetime | None:
    """When the day of `2026-11-25` begins, in UTC as the database keeps it; None where it is no day."""
    try:
        # The days before and after have to exist, too.
        found = min(max(date.fromisoformat(text), _FIRST_DAY), _LAST_DAY) if text else None
        return datetime.combine(found, time(), BEIJING).astimezone(UTC) if found else None
    except ValueError:
        return None
