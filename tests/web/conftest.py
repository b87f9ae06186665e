"""The desk on every database that it supports."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from nlp_compliance.store import people
from nlp_compliance.web.desk import state
from tests.store import postgres
from tests.web.acting import running
from tests.web.serving import Server


@pytest.fixture(scope="session", autouse=True)
def quick():
    """The real cost of a password and the real pauses would be most of the time of these tests."""
    patch = pytest.MonkeyPatch()
    patch.setattr(people, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    patch.setattr(state, "_REFRESH_S", 0.2)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def cluster():
    found = postgres.start()
    yield found
    if isinstance(found, postgres.Cluster):
        found.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """Empty for SQLite in the data folder, or the URL of an empty PostgreSQL database."""
    if request.param == "sqlite":
        yield ""
        return
    found = request.getfixturevalue("cluster")
    if isinstance(found, str):
        postgres.skip_or_fail("postgresql", found)
    url = found.new_database()
    yield url
    found.drop(url)


@pytest.fixture
def desk(tmp_path, database_url):
    with running(tmp_path, database_url=database_url) as pair:
        yield pair


@pytest.fixture
def server(tmp_path):
    """Starts `serve.py` on an own port and folder; whatever still runs at the end is killed."""
    made = []

    def started(**arguments) -> Server:
        own = Server(tmp_path / "data", **arguments)
        made.append(own)
        own.start()
        return own

    yield started
    for own in made:
        if own.process.poll() is None:
            own.kill()
