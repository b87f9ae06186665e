"""The endpoint against requests made from its own OpenAPI document: no answer but those it promises, no fault of ours."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from nlp_compliance.checker import build_checker
from nlp_compliance.settings import Settings
from nlp_compliance.web.app import create_app
from nlp_compliance.web.desk.app import open_desk
from tests.web.browser import served

_HEALTH = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    from starlette.testclient import TestClient

    own = Settings(detectors=("lexical",), data_dir=tmp_path_factory.mktemp("fuzz"), max_upload_bytes=100_000)
    desk = open_desk(own)
    app = create_app(own, build_checker(own), desk)
    # Over a real socket: in the same process every single request would start and stop the application.
    with TestClient(app), served(app) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


OPERATIONS = [
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/v1/labels"),
    ("GET", "/v1/rules"),
    ("POST", "/v1/score"),
    ("POST", "/v1/score/batch"),
    ("POST", "/v1/documents"),
    ("GET", "/v1/documents/{identifier}"),
    ("GET", "/v1/documents/{identifier}/result"),
]
_OFTEN = 40


def excluded():
    """Matters of taste, not of safety: we take a key where one is shown, and some refusals are stricter than a schema."""
    from schemathesis.checks import load_all_checks
    from schemathesis.specs.openapi import checks

    load_all_checks()
    names = ("ignored_auth", "unsupported_method", "negative_data_rejection", "positive_data_acceptance")
    return [getattr(checks, name) for name in names]


def test_every_operation_is_tried(api):
    found = {(o.ok().method.upper(), o.ok().path) for o in api.get_all_operations()}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_one_of_those_promised(api, method, path):
    operation = api[path][method]
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]

    for mode in modes:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=_OFTEN, deadline=None, derandomize=True, database=None, suppress_health_check=_HEALTH)
        def tried(case):
            case.call_and_validate(excluded_checks=excluded())

        try:
            tried()
        except Unsatisfiable:
            # A route without parameters has nothing that could be wrong.
            assert mode is schemathesis.GenerationMode.NEGATIVE
