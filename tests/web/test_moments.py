"""Times as people in Beijing read them."""

from datetime import UTC, datetime, timedelta

import pytest

from nlp_compliance.web.desk import moments

LATE = datetime(2026, 11, 25, 16, 30, 5, tzinfo=UTC)


def test_an_evening_in_utc_is_the_next_day_in_beijing():
    assert moments.moment(LATE) == "2026-11-26 00:30" and moments.day(LATE) == "2026-11-26"
    assert moments.second(LATE.isoformat()) == "2026-11-26 00:30:05"


def test_a_day_begins_when_it_does_in_beijing_and_is_kept_as_utc():
    assert moments.start_of("2026-11-26") == datetime(2026, 11, 25, 16, tzinfo=UTC)
    assert moments.start_of("2026-11-26").utcoffset().total_seconds() == 0


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01"])
def test_what_is_no_day_is_not_asked(text):
    assert moments.start_of(text) is None


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_the_calendar_are_days_with_neighbours(text):
    assert moments.start_of(text) + timedelta(days=1)


def test_a_time_that_somebody_changed_is_shown_as_it_is():
    assert moments.second("changed") == "changed"
