"""The day of a moment in China, which decides the law in force: midnight there is four in the afternoon in UTC."""

from __future__ import annotations

import contextlib
from datetime import date, datetime

from nlp_compliance.records import BEIJING


def day_in_beijing(moment: datetime) -> date:
    """The day of a moment; one without a time zone is taken as stated in China."""
    if moment.tzinfo is not None:
        # The last hours of the year 9999, as databases write for never, have no later day.
        with contextlib.suppress(OverflowError):
            moment = moment.astimezone(BEIJING)
    return moment.date()


def stamped_day(seconds: int) -> date:
    """The day of a moment given as seconds since 1970 in UTC."""
    return datetime.fromtimestamp(seconds, BEIJING).date()


def zoned_day(stated: str) -> date | None:
    """The day of a moment that is stated with its time zone, as 2025-12-31T16:30:00Z; None for all else."""
    try:
        moment = datetime.fromisoformat(stated)
    except ValueError:
        return None
    return day_in_beijing(moment) if moment.tzinfo is not None else None
