"""A private PostgreSQL for the tests: the one of NLP_TEST_POSTGRESQL, or a cluster that is started for this run.

Where neither can be had, tests on PostgreSQL are skipped; with `postgresql` in NLP_TESTS_NEED they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from nlp_compliance.store.database import Database

_START_S = 60


def needed(what: str) -> bool:
    """Whether this run must not skip the tests that need `what`."""
    return what in os.environ.get("NLP_TESTS_NEED", "").split(",")


def skip_or_fail(what: str, reason: str) -> None:
    if needed(what):
        pytest.fail(f"{reason}, and NLP_TESTS_NEED asks for {what}")
    pytest.skip(reason)


@dataclass
class Cluster:
    """A running cluster; `folder` is None for one that somebody else runs."""

    url: str
    folder: Path | None = None
    programs: Path | None = None
    count: int = 0
    template: str = ""

    def new_database(self) -> str:
        """The URL of a database with all tables and nothing in them."""
        if not self.template:
            self.template = self._created("template0")
            Database(self.template).close()
        return self._created(make_url(self.template).database)

    def _created(self, template: str) -> str:
        self.count += 1
        name = f"nlp_test_{os.getpid()}_{self.count}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url.replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute(statement)

    def restart(self) -> None:
        """Stops the server at once, as a crash would, and starts it again."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        if self.folder is not None:
            self._control("stop", "-m", "immediate")
            shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        assert self.folder is not None and self.programs is not None
        command = [str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-t", str(_START_S)]
        _as_user([*command, "-l", str(self.folder / "log"), *arguments])


def _as_user(command: list[str]) -> None:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=2 * _START_S)


def _programs() -> Path | None:
    own = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    return own[0] if own else Path(found).parent if found else None


def start() -> Cluster | str:
    """A running cluster, or in words why there is none."""
    given = os.environ.get("NLP_TEST_POSTGRESQL")
    if given:
        return Cluster(given)
    programs = _programs()
    if programs is None:
        return "PostgreSQL is not installed (Debian: postgresql) and NLP_TEST_POSTGRESQL is not set"
    folder = Path(tempfile.mkdtemp(prefix="nlp-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        made = ["-D", str(folder / "data"), "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        _as_user([str(programs / "initdb"), *made])
        cluster = Cluster(f"postgresql+psycopg://test@/postgres?host={folder}", folder, programs)
        cluster._control("start", "-o", f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200")
    except (OSError, LookupError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return f"PostgreSQL cannot be started here: {error}"
    return cluster
