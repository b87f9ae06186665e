"""The endpoint as a platform calls it: good, empty, huge, broken; one error shape on every path."""

import asyncio
import json
import threading

import pytest

from nlp_compliance.errors import SettingsError
from nlp_compliance.settings import Settings

AD = "沁河保政府兜底，住院自费最高报100万，扫码投保"


def assert_error(response, status: int, code: str) -> str:
    body = response.json()
    assert response.status_code == status, body
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "request_id"}
    assert body["error"]["code"] == code
    assert body["error"]["request_id"] == response.headers["X-Request-Id"]
    return body["error"]["message"]


def test_a_text_is_scored(client):
    row = client.post("/v1/score", json={"id": "x", "text": AD, "published": "2024-05-01"}).json()
    assert row["id"] == "x" and row["risk"] == "high" and row["as_of"] == "2024-05-01"
    assert {f["label"] for f in row["findings"]} >= {"state_underwriting", "missing_exclusions"}


def test_a_batch_keeps_order_and_a_bad_text_fails_alone(client):
    items = [{"id": "a", "text": AD}, {"id": "b", "text": " "}, {"id": "c", "text": "天气不错"}]
    results = client.post("/v1/score/batch", json={"items": items}).json()["results"]
    assert [r["id"] for r in results] == ["a", "b", "c"]
    assert results[1]["error"]["code"] == "text_empty" and results[0]["risk"] == "high" and results[2]["risk"] == "none"


def test_a_wrong_type_or_a_lone_surrogate_in_a_batch_fails_alone(client):
    body = b'{"items": [{"id": "a", "text": "\\ud800"}, {"id": "b", "text": 5}, 7, {"id": "\\ud800", "text": "a"}, {"id": "c", "text": "a"}]}'
    answer = client.post("/v1/score/batch", content=body, headers={"Content-Type": "application/json"})
    results = answer.json()["results"]
    assert [r["id"] for r in results] == ["a", "b", "", "", "c"] and results[4]["risk"] == "none"
    codes = [r["error"]["code"] for r in results[:4]]
    assert codes == ["text_encoding", "input_invalid", "input_invalid", "text_encoding"]


async def unheard(_) -> None:
    """Nobody is there to hear the answer."""


def scored(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    """The scope of a call of `/v1/score`."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/score",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *headers],
    }


def test_a_caller_who_leaves_is_no_fault(client, caplog):
    async def leave() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with caplog.at_level("INFO", "nlp_compliance.web"):
        asyncio.run(client.app(scored((b"content-type", b"application/json")), leave, unheard))
    (record,) = (r for r in caplog.records if r.name == "nlp_compliance.web")
    assert record.levelname == "INFO" and record.status == 499
    counted = client.get("/metrics").text
    assert 'status="499"' in counted and 'status="5' not in counted


def test_a_caller_who_leaves_while_he_waits_frees_his_place(client, caplog, monkeypatch):
    queue, gate = client.app.state.queue, threading.Event()
    monkeypatch.setattr(queue, "judge", lambda documents: gate.wait(60) and [None] * len(documents))
    messages = [{"type": "http.request", "body": json.dumps({"text": AD}).encode()}, {"type": "http.disconnect"}]

    async def received() -> dict[str, object]:
        return messages.pop(0)

    try:
        with caplog.at_level("INFO", "nlp_compliance.web"):
            asyncio.run(asyncio.wait_for(client.app(scored(), received, unheard), 30))
        assert [r.status for r in caplog.records if r.name == "nlp_compliance.web"] == [499] and queue.open == 0
    finally:
        gate.set()


def test_a_body_declared_as_it_is_counts_as_not_compressed(client):
    headers = {"Content-Encoding": "identity", "Content-Type": "application/json"}
    assert client.post("/v1/score", content=json.dumps({"text": AD}), headers=headers).status_code == 200
    assert_error(
        client.post("/v1/score", content=b"{}", headers=headers | {"Content-Encoding": "gzip"}), 415, "media_type"
    )


# fmt: off
BROKEN = [
    ("empty text",       {"json": {"text": ""}},                                  422, "text_empty"),
    ("too long",         {"json": {"text": "保" * 250_000}},                        413, "text_too_long"),
    ("no json",          {"content": b"{text: 1}"},                               422, "input_invalid"),
    ("wrong type",       {"json": {"text": 5}},                                   422, "input_invalid"),
    ("unknown field",    {"json": {"text": "a", "colour": 1}},                    422, "input_invalid"),
    ("no body",          {"content": b""},                                        422, "input_invalid"),
    ("bad day",          {"json": {"text": "a", "published": "yesterday"}},       422, "input_invalid"),
    ("lone surrogate",   {"content": b'{"text": "\\ud800"}'},                      422, "text_encoding"),
    ("not utf-8",        {"content": b'{"text": "\xff\xfe"}'},                    422, "text_encoding"),
    ("huge body",        {"content": b'{"text": "' + b"a" * 3_000_000 + b'"}'},   413, "limit_exceeded"),
]
# fmt: on


@pytest.mark.parametrize(("request_arguments", "status", "code"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_broken_requests_say_what_is_wrong(client, request_arguments, status, code):
    headers = {"Content-Type": "application/json"}
    assert assert_error(client.post("/v1/score", headers=headers, **request_arguments), status, code)


def test_a_batch_over_the_limit_is_refused_whole(client):
    message = assert_error(client.post("/v1/score/batch", json={"items": [{"text": "a"}] * 21}), 413, "limit_exceeded")
    assert "21" in message and "20" in message


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/v1/score", 405), ("POST", "/v1/score/", 404), ("GET", "/v1/labels/", 404)],
)
def test_routes_that_are_not_there_use_the_same_shape(client, method, path, status):
    assert_error(client.request(method, path, follow_redirects=False), status, f"http_{status}")


def test_an_unexpected_error_tells_nothing_of_the_text(client, monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("broken inside")

    monkeypatch.setattr(client.app.state.live, "judge", fail)
    message = assert_error(client.post("/v1/score", json={"text": "绝密文案"}), 500, "internal")
    assert "broken inside" not in message and "绝密文案" not in caplog.text


def test_probes_labels_rules_and_openapi(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["status"] == "ready"
    assert len(client.get("/v1/labels").json()["labels"]) == 26
    rules = client.get("/v1/rules").json()
    assert rules["version"] and rules["rules"][0]["bad"]
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/score", "/v1/score/batch", "/v1/labels", "/v1/rules", "/healthz", "/readyz"} <= set(paths)
    assert "text" in json.dumps(paths["/v1/score"]["post"]["requestBody"])


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/labels", "/v1/rules", "/metrics", "/docs"])
def test_head_is_answered_as_get_without_the_body(client, path):
    got, head = client.get(path), client.head(path)
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == str(len(got.content))
        counted = client.get("/metrics").text
        assert path == "/docs" or f'method="HEAD",route="{path}"' in counted
    assert client.head("/v1/score").status_code == 405


def test_a_full_queue_answers_503_with_retry_after(rules_checker):
    from starlette.testclient import TestClient

    from nlp_compliance.web.app import create_app

    with TestClient(create_app(Settings(queue_limit=1), rules_checker)) as client:
        client.app.state.queue._open["someone"] = 1
        response = client.post("/v1/score", json={"text": AD})
        assert_error(response, 503, "overloaded")
        assert int(response.headers["Retry-After"]) >= 1
        assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        ("Basic s3cret-key", 401),
        ("Bearer s3cret-key", 200),
        ("bearer s3cret-key", 200),
    ],
)
def test_a_configured_key_is_asked_for(rules_checker, shown, status):
    from starlette.testclient import TestClient

    from nlp_compliance.web.app import create_app

    headers = {} if shown is None else {"Authorization": shown}
    with TestClient(create_app(Settings(api_key="s3cret-key"), rules_checker)) as client:
        response = client.post("/v1/score", json={"text": AD}, headers=headers)
        assert response.status_code == status
        if status == 401:
            message = assert_error(response, 401, "unauthorized")
            assert message.startswith("no key was shown" if shown in (None, "Bearer") else "the key shown is unknown")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_listening_beyond_loopback_needs_a_key(host):
    with pytest.raises(SettingsError, match="API_KEY"):
        Settings(host=host).check_exposure()
    Settings(host=host, api_key="k").check_exposure()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    Settings(host=host).check_exposure()
