"""Shared fixtures: a clean environment, one checker for the whole run, the command line in process."""

from __future__ import annotations

import os

import pytest

from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.detect.resolve import Thresholds
from nlp_compliance.records import Document, Report
from nlp_compliance.rulebook import Rulebook, load_rulebook
from nlp_compliance.settings import PREFIX, Settings
from nlp_compliance.web.app import create_app


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run tests that take minutes")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [n for n in os.environ if n.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def rulebook() -> Rulebook:
    return load_rulebook()


@pytest.fixture(scope="session")
def checker() -> Checker:
    """The shipped product."""
    return build_checker(Settings())


@pytest.fixture(scope="session")
def rules_checker() -> Checker:
    """Rules alone: fast, and independent of what was trained last."""
    return build_checker(Settings(detectors=("lexical",)))


@pytest.fixture
def report(rules_checker):
    def judge(text: str) -> Report:
        return rules_checker.check(Document("t", text))

    return judge


@pytest.fixture
def client(rules_checker):
    from starlette.testclient import TestClient

    app = create_app(Settings(max_batch_texts=20, max_upload_bytes=2_000_000), rules_checker)
    with TestClient(app, raise_server_exceptions=False) as test_client:
        yield test_client


@pytest.fixture
def thresholds() -> Thresholds:
    return Thresholds()
