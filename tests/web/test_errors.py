"""Every error of the interface: one table, one shape, a message that says what was found, what is allowed, what to do."""

import pytest
from starlette.testclient import TestClient

from nlp_compliance import errors as tree
from nlp_compliance.settings import Settings
from nlp_compliance.store import repository
from nlp_compliance.web import errors
from nlp_compliance.web.app import create_app
from tests.web.acting import AD, Person, settle
from tests.web.test_api import assert_error
from tests.web.test_platform import Platform, new_key

STARTING = {"settings_invalid", "rulebook_invalid", "bundle_invalid", "extra_missing", "error"}


def classes(base=tree.NlpComplianceError):
    for own in base.__subclasses__():
        if own.__module__ in (tree.__name__, errors.__name__):
            yield own
            yield from classes(own)


def test_every_class_of_the_tree_stands_in_the_table_under_its_own_code():
    listed = {kind.code for kind in errors.KINDS} | set(errors.PARTS) | STARTING
    assert {found.code for found in classes()} <= listed
    for kind in errors.KINDS:
        if kind.error is not None:
            assert kind.error.code == kind.code
    codes = [kind.code for kind in errors.KINDS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("error", "status"),
    [(k.error, k.status) for k in errors.KINDS if k.error is not None],
    ids=[k.code for k in errors.KINDS if k.error is not None],
)
def test_a_class_has_the_status_of_the_table(error, status):
    assert errors.status_of(error("x")) == status


def test_what_is_no_callers_fault_is_internal_and_says_nothing(client, monkeypatch):
    def fail(*_, **__):
        raise tree.BundleError("/secret/path is broken")

    monkeypatch.setattr(client.app.state.live, "judge", fail)
    assert "secret" not in assert_error(client.post("/v1/score", json={"text": AD}), 500, "internal")


# fmt: off
SAID = [
    ("no key",        "POST", "/v1/score",       {"headers": {}},                           "unauthorized",         ("no key", "Bearer")),
    ("wrong key",     "POST", "/v1/score",       {"headers": {"Authorization": "Bearer x"}}, "unauthorized",         ("unknown", "Bearer")),
    ("no route",      "GET",  "/v1/nothing",     {},                                        "http_404",             ("no such route", "/docs")),
    ("wrong method",  "PUT",  "/v1/score",       {},                                        "http_405",             ("PUT", "POST", "/docs")),
    ("no upload",     "GET",  "/v1/documents/9", {},                                        "not_found",            ("9", "key")),
    ("bad json",      "POST", "/v1/score",       {"content": b"{", "headers": {"Content-Type": "application/json"}}, "input_invalid",        ("JSON", "/docs")),
    ("form",          "POST", "/v1/score",       {"data": {"text": AD}, "headers": {"Origin": "https://evil.example"}}, "media_type",           ("x-www-form-urlencoded", "application/json")),
    ("plain",         "POST", "/v1/documents",   {"content": b"{}", "headers": {"Content-Type": "text/plain", "Origin": "null"}}, "media_type", ("text/plain", "application/json")),
    ("compressed",    "POST", "/v1/score",       {"json": {}, "headers": {"Content-Encoding": "gzip"}}, "media_type", ("gzip", "Content-Encoding")),
    ("bad day",       "POST", "/v1/score",       {"json": {"text": AD, "published": "20261001"}}, "input_invalid",  ("published", "YYYY-MM-DD")),
    ("long upload",   "POST", "/v1/documents",   {"json": {"text": "保" * 200_001}},         "text_too_long",        ("200001", "200000")),
    ("odd field",     "POST", "/v1/score",       {"content": b'{"\\ud800": 1}', "headers": {"Content-Type": "application/json"}}, "text_encoding", ("/docs",)),
    ("wrong type",    "POST", "/v1/score",       {"json": {"text": 1}},                     "input_invalid",        ("text", "string", "/docs")),
    ("no file",       "POST", "/v1/documents",   {"files": {"other": ("a", b"a")}},         "input_invalid",        ("file",)),
    ("bad repeat",    "POST", "/v1/documents",   {"headers": {"Idempotency-Key": "a b"}},   "input_invalid",        ("3 characters", "128", "UUID")),
    ("empty",         "POST", "/v1/score",       {"json": {"text": ""}},                    "text_empty",           ("empty", "send")),
    ("empty upload",  "POST", "/v1/documents",   {"json": {"text": ""}},                    "text_empty",           ("empty", "send")),
    ("blank upload",  "POST", "/v1/documents",   {"json": {"text": " \n"}},                 "text_empty",           ("empty", "send")),
    ("slash too many", "GET", "/v1/labels/",     {},                                        "http_404",             ("no such route", "/docs")),
]
# fmt: on


@pytest.mark.parametrize(("method", "path", "sent", "code", "words"), [c[1:] for c in SAID], ids=[c[0] for c in SAID])
def test_a_message_says_what_was_found_and_what_to_do(desk, method, path, sent, code, words):
    app, state = desk
    key = new_key(state)
    headers = sent.get("headers", {})
    if code != "unauthorized":
        headers = {"Authorization": f"Bearer {key}", **headers}
    answer = TestClient(app).request(method, path, **{**sent, "headers": headers})
    kind = next(k for k in errors.KINDS if k.code == code)
    message = assert_error(answer, kind.status, code)
    assert all(word in message for word in words), message


def test_a_text_of_a_batch_fails_in_the_same_shape(client):
    answer = client.post("/v1/score/batch", json={"items": [{"id": "b", "text": " "}]})
    (row,) = answer.json()["results"]
    assert set(row["error"]) == {"code", "message", "request_id"}
    assert row["error"]["request_id"] == answer.headers["X-Request-Id"]


def test_a_scope_that_is_missing_is_named_with_those_that_are_there(desk):
    app, state = desk
    answer = Platform(app, new_key(state, scopes=("rules", "metrics"))).client.post("/v1/score", json={"text": AD})
    assert "`score`" in (said := assert_error(answer, 403, "forbidden")) and "metrics, rules" in said


def test_people_get_a_page_and_programs_the_shape(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    settle(state)
    browser = {"accept": "text/html,application/xhtml+xml"}
    for path, status in (("/nothing", 404), ("/documents/99", 404), ("/logout", 405)):
        page = reviewer.client.get(path, headers=browser)
        assert page.status_code == status and "未能完成" in page.text and "回到工作列表" in page.text, path
    assert_error(reviewer.client.get("/nothing"), 404, "http_404")
    assert_error(reviewer.client.get("/v1/nothing", headers=browser), 404, "http_404")
    refused = reviewer.client.post("/documents/1/verdict", data={"csrftoken": "old", "verdict": "pass"})
    assert (
        refused.status_code == 403
        and "页面已过期" in refused.text
        and "default-src" in refused.headers["content-security-policy"]
    )


def test_without_the_desk_parameters_are_refused_in_the_same_shape(rules_checker):
    app = create_app(Settings(), rules_checker)

    @app.get("/v1/numbered")
    def numbered(number: int) -> int:
        return number

    with TestClient(app) as client:
        assert "number" in assert_error(client.get("/v1/numbered?number=x"), 422, "input_invalid")


def test_a_fault_is_a_page_with_the_request_id_for_people_and_the_shape_for_programs(desk, monkeypatch):
    app, state = desk
    reviewer = Person(app, "王审")

    def fail(*_, **__):
        raise RuntimeError("broken inside")

    monkeypatch.setattr(repository, "find_documents", fail)
    answer = reviewer.client.get("/", headers={"X-Request-Id": "trace-18"})
    assert answer.status_code == 500 and answer.headers["content-type"].startswith("text/html")
    assert "服务器出现意外故障" in answer.text and "trace-18" in answer.text and "broken" not in answer.text
    assert "default-src" in answer.headers["content-security-policy"]
    monkeypatch.setattr(state.templates, "get_template", fail)
    answer = reviewer.client.get("/", headers={"X-Request-Id": "trace-19"})
    assert answer.status_code == 500 and "服务器出现意外故障" in answer.text and "trace-19" in answer.text
    monkeypatch.setattr(state.live, "judge", fail)
    assert_error(TestClient(app).post("/v1/score", json={"text": AD}), 500, "internal")


def test_a_number_that_is_none_is_a_page_that_is_not_there(desk):
    app, _ = desk
    answer = Person(app, "王审").get("/documents/abc")
    assert answer.status_code == 404 and "没有这个页面" in answer.text and "identifier" not in answer.text
