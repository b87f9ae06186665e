"""What must not work: forged forms, foreign cookies, paths that climb, slow and endless bodies, faked log lines."""

import io
import json
import logging
import re
import socket

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from nlp_compliance.errors import StoreError
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.schema import StoredDocument
from nlp_compliance.web.intake import shown_name
from nlp_compliance.web.logs import JsonLines
from tests.web.acting import AD, Person, running, settle
from tests.web.browser import served
from tests.web.test_api import assert_error
from tests.web.test_platform import new_key


def page_routes(app, method: str) -> list[str]:
    found = []
    for route in all_routes(app.routes):
        if method in (route.methods or ()) and not route.path.startswith(("/v1/", "/healthz", "/readyz", "/metrics")):
            found.append(route.path)
    return found


def all_routes(routes):
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            own = getattr(route, "original_router", None) or getattr(route, "router", None)
            yield from all_routes(getattr(own, "routes", ()))


def test_every_form_asks_for_the_token(desk):
    app, _ = desk
    admin = Person(app, "赵管")
    posts = page_routes(app, "POST")
    assert len(posts) >= 14
    for path in posts:
        url = path.replace("{identifier}", "1")
        assert admin.client.post(url, data={"csrftoken": "made-up"}).status_code == 403, path
        assert admin.client.post(url, json={"a": 1}).status_code in (403, 413, 415, 422), path
    assert "赵管" in admin.get("/people").text


def test_every_page_asks_for_a_login_and_forbids_foreign_scripts(desk):
    app, state = desk
    Person(app, "王审").post("/uploads", text=AD)
    settle(state)
    stranger, admin = Person(app), Person(app, "赵管")
    for path in page_routes(app, "GET"):
        if path.endswith("/pages/{number}"):
            continue
        url = path.replace("{identifier}", "1").replace("{kind}", "json")
        answer = stranger.client.get(url, follow_redirects=False)
        assert answer.status_code == 303 or path in ("/login", "/setup"), path
        answer = admin.client.get(url)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"


def test_a_changed_cookie_is_nobody(desk):
    app, _ = desk
    viewer = Person(app, "钱看")
    value = viewer.client.cookies["desk_session"]
    for forged in (value[:-2] + "AA", "e30=." + value.partition(".")[2], ""):
        other = TestClient(app, cookies={"desk_session": forged})
        assert other.get("/", follow_redirects=False).status_code == 303


# fmt: off
NAMES = [
    ("../../etc/passwd",            "passwd"),
    ("..\\..\\windows\\a.txt",      "a.txt"),
    ("a\r\nb.txt",                  "ab.txt"),
    ("a\x00.txt",                   "a.txt"),
    ("发票\u202etxt.exe",             "发票txt.exe"),
    ("....//",                      "...."),
    ("",                            "未命名"),
    ("\ud800",                      "未命名"),
    ("长" * 300 + ".txt",             "长" * 196 + ".txt"),
]
# fmt: on


@pytest.mark.parametrize(("given", "shown"), NAMES)
def test_names_of_files_are_only_names(given, shown):
    assert shown_name(given) == shown


@pytest.mark.parametrize("digest", ["../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", ""])
def test_a_store_takes_only_digests(tmp_path, digest):
    with pytest.raises(StoreError):
        FileStore(tmp_path).get(digest)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static/..%2f..%2fsettings.py",
        "/documents/1/export.../../x",
        "/documents/%2e%2e/original",
        "//etc/passwd",
    ],
)
def test_paths_do_not_climb(desk, path):
    app, _ = desk
    answer = Person(app, "赵管").client.get(path)
    assert answer.status_code in (404, 422) and "NLP_COMPLIANCE_" not in answer.text


@pytest.mark.parametrize("identifier", ["0", "-1", "99999999999999999999999", "1e3", "１"])
def test_numbers_that_are_no_document(desk, identifier):
    app, _ = desk
    assert Person(app, "王审").client.get(f"/documents/{identifier}").status_code in (404, 422)


def test_no_line_of_the_log_can_be_faked_and_none_holds_the_text(desk):
    app, state = desk
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("nlp_compliance")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel("DEBUG")
    try:
        reviewer = Person(app, "王审")
        secret = "绝密文案" + AD
        reviewer.post("/uploads", files=[("files", ('a\n{"level":"error"}.txt', secret.encode()))])
        settle(state)
        reviewer.client.get("/", params={"q": "绝密文案"})
        app_client = TestClient(app, raise_server_exceptions=False)
        app_client.post("/v1/score", json={"text": secret}, headers={"X-Request-Id": 'x\\n{"level":"error"}'})
        app_client.post("/v1/score", json={"text": secret}, headers={"X-Request-Id": "trace-17"})
        app_client.get("/绝密文案%0a{}")
        state.live.judge = None
        app_client.post("/v1/score", json={"text": secret})
        try:
            raise RuntimeError(secret)
        except RuntimeError:
            logger.exception("request failed")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(rows) > 6 and all(isinstance(r, dict) and r["level"] in ("info", "debug", "error") for r in rows)
    assert "绝密" not in stream.getvalue() and "政府兜底" not in stream.getvalue()
    ids = [r.get("request_id") for r in rows]
    assert "trace-17" in ids and all(re.fullmatch(r"[A-Za-z0-9._-]+", i) for i in ids if i)
    assert any("RuntimeError" in r.get("exception", "") and r["places"] for r in rows)


def test_a_slow_body_is_given_up_and_an_endless_one_is_cut(tmp_path):
    with running(tmp_path, max_receive_seconds=1, max_upload_bytes=10_000) as (app, _), served(app) as url:
        port = int(url.rpartition(":")[2])
        head = b"Host: localhost\r\nContent-Type: application/json\r\n"
        slow = raw(port, b"POST /v1/score HTTP/1.1\r\n" + head + b"Content-Length: 500\r\n\r\n" + b'{"text": "')
        assert b" 408 " in slow and b"receive_timeout" in slow
        chunk = b"2000\r\n" + b"a" * 0x2000 + b"\r\n"
        endless = raw(port, b"POST /v1/score HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3)
        assert b" 413 " in endless and b"limit_exceeded" in endless
        login = raw(port, b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
        assert b" 413 " in login


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/login", "multipart/form-data; boundary=x", 403),
        ("/login", "application/x-www-form-urlencoded", 413),
        ("/uploads", "multipart/form-data; boundary=x", 403),
        ("/uploads", "application/x-www-form-urlencoded", 413),
    ],
)
def test_a_token_that_is_not_ours_opens_no_form_to_long_bodies(tmp_path, path, kind, status):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nCookie: csrftoken=a.b\r\nX-CSRFToken: a.b\r\nContent-Type: {kind}\r\n"
    with running(tmp_path) as (app, _), served(app) as url:
        # The body never comes, so the answer was given without it.
        answer = raw(int(url.rpartition(":")[2]), f"{head}Content-Length: 900000000\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(request)
        answer = connection.recv(65_536)
        connection.settimeout(0.5)
        try:
            while more := connection.recv(65_536):
                answer += more
        except TimeoutError:
            pass
        return answer


def test_a_page_survives_what_a_text_may_hold(desk):
    """Control characters, directions, NUL in a table of records: shown, searched and exported."""
    app, state = desk
    reviewer = Person(app, "王审")
    odd = AD + "\x0b\u202e\ufffe\U0001f389"
    records = b"".join(json.dumps({"text": t}).encode() + b"\n" for t in (f"{AD}\x00{AD}", f"{AD}\ud800"))
    reviewer.post("/uploads", files=[("files", ("odd.txt", odd.encode())), ("files", ("s.jsonl", records))])
    documents = settle(state, 2)
    for document in documents:
        for path in ("", "/export.docx", "/export.xlsx", "/export.pdf", "/export.json"):
            assert reviewer.get(f"/documents/{document.id}{path}").status_code == 200, path
    with state.database.reading() as session:
        assert session.get(StoredDocument, documents[1].id).text == f"{AD}\ufffd{AD}"
    assert reviewer.get("/").status_code == 200


def test_without_a_key_only_a_host_that_is_this_machine_is_answered(tmp_path):
    with running(tmp_path, host="127.0.0.2") as (app, state):
        for host in ("localhost", "127.0.0.1:8000", "127.8.0.1", "[::1]:8000", "127.0.0.2", "compliance:8000"):
            assert TestClient(app).get("/v1/rules", headers={"Host": host}).status_code == 200, host
        for host in ("rebound.example", "rebound.example:8000", "10.0.0.1", "localhost.rebound.example", "[", ""):
            answer = TestClient(app).get("/v1/rules", headers={"Host": host})
            assert "Bearer" in assert_error(answer, 401, "unauthorized"), host
        key = new_key(state)
        shown = {"Host": "rebound.example", "Authorization": f"Bearer {key}"}
        assert TestClient(app).get("/v1/rules", headers=shown).status_code == 200


def test_a_page_of_another_site_cannot_send_a_file(tmp_path):
    page = {"Origin": "https://evil.example"}
    with running(tmp_path) as (app, state):

        def sent(**headers: str):
            return TestClient(app).post("/v1/documents", files={"file": ("a.txt", AD.encode())}, headers=headers)

        assert "Origin" in assert_error(sent(**page), 415, "media_type")
        assert sent().status_code == 202
        assert sent(**page, Authorization=f"Bearer {new_key(state)}").status_code == 202
