"""What a platform uses: keys with scope, rate and expiry; files in the background; signed webhooks; metrics; the client."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from starlette.testclient import TestClient

from nlp_compliance.client import Client, RemoteError, read_webhook
from nlp_compliance.errors import InputError
from nlp_compliance.records import Document, Report
from nlp_compliance.store import keys, repository, webhooks
from nlp_compliance.store.schema import ApiKey, Delivery, Upload, now
from tests.ingest import files
from tests.web.acting import AD, Person, running, settle
from tests.web.browser import served
from tests.web.serving import ROOT
from tests.web.test_api import assert_error

ALL = tuple(keys.SCOPES)


def new_key(state, name="平台", scopes=ALL, **more) -> str:
    with state.database.transaction() as session:
        return keys.create(session, name, scopes=scopes, by="test", **more)[1]


class Platform:
    """A caller with a key."""

    def __init__(self, app, key: str | None = None) -> None:
        self.client = TestClient(app, headers={"Authorization": f"Bearer {key}"} if key else {})

    def send(self, data: bytes = AD.encode(), name: str = "a.txt", key: str | None = None):
        headers = {"Idempotency-Key": key} if key else {}
        return self.client.post("/v1/documents", files={"file": (name, data)}, headers=headers)


def test_a_file_is_accepted_at_once_and_its_result_asked_for(desk):
    app, state = desk
    platform = Platform(app, new_key(state))
    answer = platform.send(files.archive({"a.txt": AD.encode(), "b.doc": b"\xd0\xcf\x11\xe0"}), "包.zip")
    assert answer.status_code == 202 and answer.headers["Location"] == answer.json()["status_url"]
    settle(state)
    status = platform.client.get(answer.headers["Location"]).json()
    assert status["status"] == "done" and status["documents"] == 1 and status["failures"] == 1
    result = platform.client.get(status["result_url"]).json()
    assert result["results"][0]["report"]["risk"] == "high" and result["results"][0]["review"]["verdict"] is None
    assert result["unread"][0]["code"] == "format_unsupported"


def test_a_text_can_be_sent_instead_of_a_file(desk):
    app, state = desk
    platform = Platform(app, new_key(state))
    answer = platform.client.post("/v1/documents", json={"text": AD, "name": "推文"})
    assert answer.status_code == 202
    settle(state)
    assert platform.client.get(answer.json()["result_url"]).json()["results"][0]["name"] == "推文.txt"


@pytest.mark.parametrize(("given", "name"), [("", "未命名.txt"), ("a/", "a.txt"), ("稿.TXT", "稿.TXT")])
def test_a_text_is_text_whatever_its_name_and_beginning(tmp_path, given, name):
    with running(tmp_path) as (app, state):
        client = Platform(app, new_key(state)).client
        answer = client.post("/v1/documents", json={"text": f"PK{AD}", "name": given}).json()
        settle(state)
        (row,) = client.get(answer["result_url"]).json()["results"]
    assert row["name"] == name and row["report"]["risk"] == "high"
    assert row["text_sha256"] == hashlib.sha256(f"PK{AD}".encode()).hexdigest()


def test_a_nul_makes_no_file_of_a_text_and_moves_no_offset(tmp_path):
    with running(tmp_path) as (app, state):
        client = Platform(app, new_key(state)).client
        answer = client.post("/v1/documents", json={"text": f"\0{AD}"}).json()
        settle(state)
        (row,) = client.get(answer["result_url"]).json()["results"]
    assert row["report"]["findings"][0]["start"] == AD.index("政府兜底") + 1
    assert row["text_sha256"] == hashlib.sha256(f"\ufffd{AD}".encode()).hexdigest()


def test_the_name_of_a_media_type_may_be_written_in_any_case(desk):
    app, state = desk
    client = Platform(app, new_key(state)).client
    form = client.build_request("POST", "/v1/documents", files={"file": ("海报.txt", AD.encode())})
    kind = form.headers["content-type"].replace("multipart/form-data", "Multipart/Form-Data")
    answer = client.post("/v1/documents", content=form.read(), headers={"Content-Type": kind})
    assert answer.status_code == 202 and answer.json()["name"] == "海报.txt"
    settle(state)


def test_a_result_that_is_not_ready_says_when_to_come_back(desk):
    app, state = desk
    state.runner.stop()
    platform = Platform(app, new_key(state))
    answer = platform.client.get(platform.send().json()["result_url"])
    assert_error(answer, 409, "not_ready")
    assert int(answer.headers["Retry-After"]) >= 1


def test_the_same_idempotency_key_and_file_are_one_upload(desk):
    app, state = desk
    state.runner.stop()
    first, second = Platform(app, new_key(state, "甲")), Platform(app, new_key(state, "乙"))
    one, again = first.send(key="k-1").json(), first.send(key="k-1").json()
    assert one["id"] == again["id"]
    assert second.send(key="k-1").json()["id"] != one["id"]
    assert_error(first.send(b"other", key="k-1"), 409, "idempotency_conflict")
    assert_error(first.send(key="with blank"), 422, "input_invalid")


def test_another_keys_upload_and_those_of_people_are_not_there(desk):
    app, state = desk
    first, second = Platform(app, new_key(state, "甲")), Platform(app, new_key(state, "乙"))
    url = first.send().json()["status_url"]
    Person(app, "王审").post("/uploads", text=AD)
    settle(state, 2)
    assert first.client.get(url).status_code == 200
    for path in (url, f"{url}/result", "/v1/documents/2", "/v1/documents/99999999999999999999", "/v1/documents/-1"):
        assert_error(second.client.get(path), 404, "not_found")


# fmt: off
REFUSED = [
    ("unknown key",   lambda state: "nc_0000000000_" + "x" * 43,                   401, "unauthorized"),
    ("expired",       lambda state: _expired(state),                               401, "unauthorized"),
    ("revoked",       lambda state: _revoked(state),                               401, "unauthorized"),
    ("other scope",   lambda state: new_key(state, "他", ("rules",)),               403, "forbidden"),
    ("not shown",     lambda state: (new_key(state, "有"), None)[1],                401, "unauthorized"),
    ("half a key",    lambda state: new_key(state, "半")[:-4],                      401, "unauthorized"),
]
# fmt: on


def _expired(state) -> str:
    key = new_key(state, "旧")
    with state.database.transaction() as session:
        session.query(ApiKey).one().expires_at = now() - timedelta(seconds=1)
    return key


def _revoked(state) -> str:
    key = new_key(state, "停")
    with state.database.transaction() as session:
        keys.revoke(session, "停", by="test")
    return key


@pytest.mark.parametrize(("make", "status", "code"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_keys_that_do_not_count(desk, make, status, code):
    app, state = desk
    answer = Platform(app, make(state)).client.post("/v1/score", json={"text": AD})
    assert_error(answer, status, code)


def test_a_key_is_stored_as_a_hash_only(desk):
    _, state = desk
    key = new_key(state)
    with state.database.reading() as session:
        row = session.query(ApiKey).one()
        everything = " ".join(str(getattr(row, c.name)) for c in ApiKey.__table__.columns)
    assert key not in everything and key.rpartition("_")[2] not in everything


def test_a_proxied_call_needs_a_key_also_where_none_was_made(desk):
    app, _ = desk
    assert Platform(app).client.post("/v1/score", json={"text": AD}).status_code == 200
    answer = Platform(app).client.post("/v1/score", json={"text": AD}, headers={"X-Forwarded-For": "203.0.113.9"})
    assert_error(answer, 401, "unauthorized")


def test_a_key_over_its_rate_is_told_when_to_come_back(desk):
    app, state = desk
    platform = Platform(app, new_key(state, rate_per_minute=2))
    answers = [platform.client.post("/v1/score", json={"text": AD}) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert_error(answers[2], 429, "too_many_requests")
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 31


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": ""}, "名称"),
        ({"name": "平台"}, "已存在"),
        ({"scopes": ("all",)}, "权限"),
        ({"rate_per_minute": 0}, "每分钟"),
        ({"days": 0}, "天数"),
        ({"webhook_url": "file:///etc/passwd"}, "https"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(desk, arguments, said):
    _, state = desk
    new_key(state)
    with pytest.raises(InputError, match=said):
        new_key(state, **{"name": "新", **arguments})


class Listener:
    """A platform's webhook address; answers with the statuses it is given, then with 200."""

    def __init__(self, *statuses: int, location: str = "http://127.0.0.1:1/elsewhere") -> None:
        self.calls, waiting = [], list(statuses)
        own = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                own.append((dict(self.headers), body))
                self.send_response(waiting.pop(0) if waiting else 200)
                self.send_header("Location", location)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def listening(*statuses: int, **more: str):
    listener = Listener(*statuses, **more)
    yield listener
    listener.close()


def until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_the_platform_is_told_in_a_signed_message_when_a_result_is_there_and_when_it_is_reviewed(desk):
    app, state = desk
    with listening() as listener:
        key = new_key(state, webhook_url=listener.url)
        upload = Platform(app, key).send().json()["id"]
        (document,) = settle(state)
        until(lambda: len(listener.calls) == 1)
        Person(app, "王审").post(f"/documents/{document.id}/verdict", verdict="block", reason="政府兜底")
        Person(app, "李复").post(f"/documents/{document.id}/approval", agree="yes")
        until(lambda: len(listener.calls) == 2)
    with state.database.transaction() as session:
        secret = webhooks.webhook_secret(session, session.query(ApiKey).one())
    messages = [read_webhook(secret, headers, body) for headers, body in listener.calls]
    assert [m["type"] for m in messages] == ["document.done", "document.reviewed"]
    assert messages[0]["id"] == upload and messages[0]["status"] == "done" and messages[1]["verdict"] == "block"
    assert all("政府兜底" not in body.decode() for _, body in listener.calls)
    headers, body = listener.calls[0]
    for forged in (body + b" ", body):
        with pytest.raises(InputError):
            read_webhook(secret, headers, forged, at=time.time() + (0 if forged != body else 3_600))
    with pytest.raises(InputError):
        read_webhook(secret, {}, body)


def test_a_message_that_is_refused_or_redirected_waits_and_is_tried_again(desk):
    app, state = desk
    with listening(500, 302) as listener:
        Platform(app, new_key(state, webhook_url=listener.url)).send()
        settle(state)
        for calls in (1, 2, 3):
            until(lambda calls=calls: len(listener.calls) == calls)
            until(lambda: _answered(state))
            with state.database.transaction() as session:
                session.query(Delivery).one().next_at = now()
    with state.database.reading() as session:
        delivery = session.query(Delivery).one()
        assert (delivery.status, delivery.attempts, delivery.last_answer) == ("sent", 3, "HTTP 200")


def _answered(state) -> bool:
    with state.database.reading() as session:
        delivery = session.query(Delivery).one()
        # While a message is in hand it is held back for minutes; a refusal waits for seconds.
        return bool(delivery.last_answer) and delivery.attempts in (1, 2, 3) and _settled(delivery)


def _settled(delivery) -> bool:
    wanted = {1: "HTTP 500", 2: "HTTP 302", 3: "HTTP 200"}
    return delivery.last_answer == wanted[delivery.attempts]


def test_an_idle_key_gets_no_messages(desk):
    app, state = desk
    Platform(app, new_key(state)).send()
    settle(state)
    with state.database.reading() as session:
        assert session.query(Delivery).count() == 0


def test_metrics_count_and_hold_nothing_that_was_sent(desk):
    app, state = desk
    platform = Platform(app, new_key(state))
    platform.client.post("/v1/score", json={"text": AD + "秘密词语"})
    platform.client.get("/v1/documents/12345")
    platform.client.request("SECRETVERB", "/秘密词语")
    text = platform.client.get("/metrics").text
    assert 'nlp_compliance_findings_total{label="state_underwriting"}' in text
    assert 'nlp_compliance_requests_total{method="POST",route="/v1/score",status="200"} 1.0' in text
    assert 'route="/v1/documents/{identifier}"' in text and 'nlp_compliance_uploads{status="queued"} 0.0' in text
    assert "秘密" not in text and "12345" not in text and "SECRETVERB" not in text
    assert_error(Platform(app, new_key(state, "仅评分", ("score",))).client.get("/metrics"), 403, "forbidden")


PROCESS = """
import sys
from nlp_compliance.web.metrics import Metrics
figures = Metrics()
for line in sys.stdin:
    calls, queued = map(int, line.split())
    figures.open(calls)
    text = figures.exposition(uploads={"queued": queued}).decode()
    print(*(line.split()[1] for line in text.splitlines() if line.startswith(("nlp_compliance_queue_open", "nlp_compliance_uploads{"))
            and ("queued" in line or "open" in line)), flush=True)
"""


def test_figures_of_several_processes_are_those_of_now(tmp_path):
    """Open calls are added up over the living, uploads are those that were counted last."""

    def process() -> subprocess.Popen:
        own = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        command = [sys.executable, "-c", PROCESS]
        return subprocess.Popen(command, env=own, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)

    def asked(own: subprocess.Popen, calls: int, queued: int) -> list[float]:
        own.stdin.write(f"{calls} {queued}\n")
        own.stdin.flush()
        return sorted(map(float, own.stdout.readline().split()))

    with process() as first, process() as second:
        assert asked(first, 3, 50) == [3, 50]
        assert asked(second, 1, 0) == [0, 4]
        first.kill()
        first.wait(60)
        assert asked(second, 1, 0) == [0, 1]
        second.stdin.close()


def test_the_client_scores_sends_waits_and_tells_errors_apart(tmp_path):
    with running(tmp_path) as (app, state), served(app) as url:
        client = Client(url, new_key(state))
        assert client.score(AD, id="x").risk == "high"
        (alone,) = client.score_many([Document("3", "\ud800")])
        assert isinstance(alone, RemoteError) and alone.code == "text_encoding"
        first, second = client.score_many([Document("1", AD), Document("2", " ")])
        assert isinstance(first, Report) and isinstance(second, RemoteError) and second.code == "text_empty"
        upload = client.submit(AD.encode(), '海报"1.txt', idempotency_key="p1")
        assert upload.name == '海报"1.txt'
        result = client.wait(upload.id, pause_s=0.05)
        assert result.documents[0].report.risk == "high" and result.documents[0].state == "open"
        assert client.submit(AD.encode(), "海报.txt", idempotency_key="p1").id == upload.id
        assert len(client.labels()) == 26 and client.rules()
        with pytest.raises(RemoteError) as refused:
            client.score("")
        assert (refused.value.code, refused.value.status) == ("text_empty", 422) and refused.value.request_id
        with pytest.raises(RemoteError) as refused:
            Client(url, "nc_wrong_key").labels()
        assert refused.value.status == 401


# fmt: off
NOT_TO_BE_SENT = [
    ("no scheme",       lambda: Client("compliance.example")),
    ("other scheme",    lambda: Client("file:///etc/passwd")),
    ("no host",         lambda: Client("https://")),
    ("no port",         lambda: Client("http://compliance.example:http")),
    ("blank",           lambda: Client("http://compliance example")),
    ("retries below 0", lambda: Client("http://compliance.example", retries=-1)),
    ("no time to wait", lambda: Client("http://compliance.example", timeout_s=0)),
    ("key",             lambda: Client("http://127.0.0.1", "密钥")),
    ("idempotency key", lambda: Client("http://127.0.0.1").submit(b"", "a", idempotency_key="海报-17")),
    ("signature",       lambda: read_webhook("whsec_AAAA", {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "签"}, b"")),
]
# fmt: on


@pytest.mark.parametrize("use", [c[1] for c in NOT_TO_BE_SENT], ids=[c[0] for c in NOT_TO_BE_SENT])
def test_the_client_says_at_once_what_cannot_be_sent(use):
    with pytest.raises(InputError):
        use()


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"results": [5]}', b"\xff"])
def test_the_client_tells_an_answer_that_is_none(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(f"http://127.0.0.1:{server.server_port}")
        for call in (lambda: client.score(AD), lambda: client.score_many([]), lambda: client.submit(b"", "a")):
            with pytest.raises(RemoteError) as refused:
                call()
            assert refused.value.code == "answer_invalid"
        server.shutdown()


def test_the_client_shows_its_key_to_no_address_that_an_answer_names():
    with listening() as elsewhere, listening(301, location=elsewhere.url) as server:
        with pytest.raises(RemoteError, match="redirects to") as refused:
            Client(server.url, "nc_secret").score(AD)
        assert refused.value.status == 301 and elsewhere.url in str(refused.value)
        assert len(server.calls) == 1 and not elsewhere.calls


def test_a_refusal_that_is_cut_off_is_no_answer():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(503)
            self.send_header("Content-Length", "500")
            self.end_headers()
            self.wfile.write(b'{"error":')

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RemoteError) as refused:
            Client(f"http://127.0.0.1:{server.server_port}").score(AD)
        server.shutdown()
    assert refused.value.code == "no_answer"


def test_the_client_waits_as_long_as_a_busy_server_asks(tmp_path):
    pauses = []
    with running(tmp_path) as (app, state), served(app) as url:
        client = Client(url, new_key(state, rate_per_minute=1), retries=2, sleep=pauses.append)
        client.score("一")
        with pytest.raises(RemoteError) as refused:
            client.score("二")
    assert refused.value.code == "too_many_requests" and len(pauses) == 2 and min(pauses) > 1
    with pytest.raises(RemoteError) as silent:
        Client(url, retries=0, timeout_s=2).score("三")
    assert silent.value.code == "no_answer"


def test_a_lost_worker_is_noticed_and_a_living_one_keeps_its_upload(desk):
    _, state = desk
    state.runner.stop()
    with state.database.transaction() as session:
        repository.add_upload(session, name="x", sha256="0" * 64, size=1, by=None)
        upload = repository.claim(session)
        identifier, lease = upload.id, upload.lease
        before = upload.leased_until = now() - timedelta(seconds=1)
        assert repository.renew(session, identifier, lease)
        assert session.get(Upload, identifier).leased_until > before
        assert repository.claim(session) is None
        assert not repository.renew(session, identifier, "another")


def test_the_description_of_the_interface_names_every_route_and_the_report(desk):
    app, state = desk
    document = json.loads(Platform(app).client.get("/openapi.json").text)
    assert {"/v1/documents", "/v1/documents/{identifier}", "/v1/documents/{identifier}/result", "/metrics"} <= set(
        document["paths"]
    )
    schemas = document["components"]["schemas"]
    assert "findings" in schemas["Report"]["properties"]
    platform = Platform(app)
    answer = platform.client.post("/v1/documents", json={"text": AD}).json()
    settle(state)
    result = platform.client.get(answer["result_url"]).json()
    assert set(result) == set(schemas["Result"]["required"]) and result["error"] is None
    assert set(result["results"][0]) == set(schemas["Judged"]["required"])
    assert "/people" not in document["paths"]
