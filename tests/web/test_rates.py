"""The rate of a key is one limit, however many processes count it."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from nlp_compliance.client import Client, RemoteError
from nlp_compliance.errors import StoreError
from nlp_compliance.store import keys
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.web.rates import open_rates


@pytest.fixture
def processes(tmp_path, database_url):
    """Three counters that know nothing of each other but the database, as three processes have them."""
    databases = [Database(database_url or sqlite_url(tmp_path)) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        counters = list(pool.map(lambda d: open_rates(d, tmp_path), databases))
    yield counters
    for counter, database in zip(counters, databases, strict=True):
        counter.close()
        database.close()


def test_processes_share_one_limit_under_concurrency(processes):
    rate, started = 30, time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        waits = list(pool.map(lambda n: processes[n % 3].take(7, rate), range(120)))
    allowed = sum(wait == 0 for wait in waits)
    # What flows in while the calls are made, and nothing more.
    assert rate <= allowed <= rate + (time.monotonic() - started) * rate / 60 + 1
    assert all(0 < wait <= 60 / rate * 1.01 for wait in waits if wait)


def test_keys_do_not_share_and_a_moment_later_one_more_call_is_allowed(processes):
    first, second, _ = processes
    assert [first.take(1, 2), first.take(1, 2)] == [0.0, 0.0]
    assert 0 < second.take(1, 2) <= 30
    assert second.take(2, 1) == 0.0 and first.take(2, 1) > 0
    # Half a minute later, as far as the two can tell.
    second._shut.clear()
    with second.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE key_rates SET whole_at = whole_at - 30")
    assert second.take(1, 2) == 0.0 and first.take(1, 2) > 0


def test_a_caller_who_does_not_wait_costs_the_database_nothing(processes, monkeypatch):
    counter = processes[0]
    assert counter.take(3, 1) == 0.0 and counter.take(3, 1) > 0
    monkeypatch.setattr(type(counter), "_asked", lambda *_: pytest.fail("asked"))
    assert 0 < counter.take(3, 1) <= 60


def test_a_clock_that_was_set_back_does_not_shut_a_key_out(processes):
    counter = processes[0]
    counter.take(4, 1)
    with counter.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE key_rates SET whole_at = whole_at + 86400")
    assert counter.take(4, 1) == 0.0 and 0 < counter.take(4, 1) <= 60


def test_a_database_that_is_away_is_a_store_error(processes):
    counter = processes[0]
    with counter.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE key_rates")
    with pytest.raises(StoreError, match="counted"):
        counter.take(5, 1)


def test_two_server_processes_count_together(server, tmp_path):
    (tmp_path / "data").mkdir()
    database = Database(sqlite_url(tmp_path / "data"))
    with database.transaction() as session:
        _, key = keys.create(session, "平台", scopes=("rules",), rate_per_minute=20, by="test")
        _, other = keys.create(session, "探测", scopes=("rules",), rate_per_minute=100_000, by="test")
    database.close()
    own = server(WORKERS=2, key=other)
    seen: Counter[int] = Counter()
    lock, started = threading.Lock(), time.monotonic()

    def calling(_: int) -> None:
        # A connection of its own for every call, so that both processes get some.
        try:
            Client(own.url, key, retries=0).labels()
            status = 200
        except RemoteError as error:
            status = error.status
        with lock:
            seen[status] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(calling, range(80)))
    assert set(seen) == {200, 429}
    assert 20 <= seen[200] <= 20 + (time.monotonic() - started) / 3 + 1
