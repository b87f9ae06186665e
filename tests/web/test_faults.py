"""Servers that are killed, databases that crash, disks that are full: nothing accepted is lost, nothing is done twice."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from nlp_compliance.client import Client, RemoteError
from nlp_compliance.settings import PREFIX
from nlp_compliance.store import audit, files, repository
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.schema import StoredDocument, Upload
from tests.store import postgres
from tests.web.acting import AD, Person, settle

ROOT = Path(__file__).parents[2]
# Generous, because a busy machine is no fault of the server.
_START_S = 180


class Server:
    """`serve.py` as a process of its own."""

    def __init__(self, folder: Path, database_url: str = "", **settings) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        own = {"DATA_DIR": folder, "DATABASE_URL": database_url, "DETECTORS": "lexical", "PORT": self.port, **settings}
        self.environment = {**os.environ, **{PREFIX + k: str(v) for k, v in own.items()}}
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "serve.py")]
        # A session of its own, so that its worker processes can be killed with it.
        self.process = subprocess.Popen(
            command, env=self.environment, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
        end = time.monotonic() + _START_S
        while True:
            try:
                Client(self.url, timeout_s=2, retries=0).labels()
                return
            except RemoteError:
                assert time.monotonic() < end and self.process.poll() is None, "the server did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(180)


@pytest.fixture
def server(tmp_path):
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


def send(server: Server, number: int, accepted: dict[int, str]) -> None:
    """Repeats until the server says that it has the file, as a careful platform does."""
    client = Client(server.url, timeout_s=20, retries=0)
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            upload = client.submit(f"第{number}份。{AD}".encode(), f"{number}.txt", idempotency_key=f"k-{number}")
            accepted[number] = upload.id
            return
        except RemoteError as error:
            assert error.status in (0, 503), error
            time.sleep(0.05)


def finished(database: Database, count: int) -> None:
    """Waits until all are done, then counts: every upload once, every text once."""
    end = time.monotonic() + 300
    while True:
        with database.reading() as session:
            left = repository.waiting_jobs(session)
        if not left.get("queued") and not left.get("running"):
            break
        assert time.monotonic() < end, left
        time.sleep(0.1)
    with database.reading() as session:
        assert session.query(Upload).filter(Upload.status == "done").count() == count
        texts = Counter(text for (text,) in session.query(StoredDocument.text_sha256))
        assert len(texts) == count and set(texts.values()) == {1}
        assert audit.verify(session)[1] == []


def accepted_by(server: Server, count: int, meanwhile) -> None:
    accepted: dict[int, str] = {}
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, server, number, accepted) for number in range(count)]
        meanwhile(accepted)
    for future in sent:
        future.result()
    assert len(accepted) == count and len(set(accepted.values())) == count


def reach(accepted: dict[int, str], number: int) -> None:
    end = time.monotonic() + _START_S
    while len(accepted) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_killed_in_the_middle_of_uploads_loses_and_repeats_nothing(server, tmp_path, pytestconfig):
    count = 200 if pytestconfig.getoption("--slow") else 40
    own = server()

    def killing(accepted: dict[int, str]) -> None:
        for share in (0.2, 0.5, 0.8):
            reach(accepted, int(count * share))
            own.kill()
            own.start()

    accepted_by(own, count, killing)
    database = Database(sqlite_url(tmp_path / "data"))
    finished(database, count)
    database.close()


def test_a_database_that_crashes_under_load_loses_and_repeats_nothing(server, cluster):
    if isinstance(cluster, str):
        postgres.skip_or_fail("postgresql", cluster)
    if cluster.folder is None:
        pytest.skip("the PostgreSQL of NLP_TEST_POSTGRESQL is not ours to crash")
    url = cluster.new_database()
    own = server(database_url=url)

    def crashing(accepted: dict[int, str]) -> None:
        for number in (10, 20):
            reach(accepted, number)
            cluster.restart()

    accepted_by(own, 30, crashing)
    database = Database(url)
    finished(database, 30)
    database.close()
    assert own.stop() in (0, -signal.SIGTERM)
    cluster.drop(url)


def test_several_processes_share_the_work_and_stop_gracefully(server, tmp_path):
    own = server(WORKERS=2)
    accepted_by(own, 16, lambda accepted: reach(accepted, 16))
    database = Database(sqlite_url(tmp_path / "data"))
    finished(database, 16)
    answers: list[object] = []

    def calling() -> None:
        client = Client(own.url, retries=0)
        answers.append(client.score(AD * 200).risk)

    threads = [threading.Thread(target=calling) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert answers.count("high") == 6
    assert own.stop() in (0, -signal.SIGTERM)
    database.close()


def test_a_stop_answers_what_was_accepted(server):
    own = server(THREADS=1)
    answers: list[object] = []

    def calling() -> None:
        try:
            answers.append(Client(own.url, retries=0).score(AD * 2_000).risk)
        except RemoteError as error:
            answers.append(error)

    threads = [threading.Thread(target=calling) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.15)
    own.stop()
    for thread in threads:
        thread.join(180)
    # Whoever came too late was refused at the door; nobody who was let in was left without an answer.
    refused = [a for a in answers if isinstance(a, RemoteError)]
    assert len(answers) == 3 and all(a.status in (0, 503) and "reset" not in str(a) for a in refused)
    assert "high" in answers


def test_a_full_disk_refuses_the_upload_and_leaves_nothing_half_done(desk, monkeypatch):
    app, state = desk
    reviewer = Person(app, "王审")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        answer = reviewer.post("/uploads", text=AD)
        assert answer.status_code == 503 and "没有保存" in answer.text
        refused = TestClient(app).post("/v1/documents", json={"text": AD})
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert "No space" not in refused.text
    assert [p for p in (state.settings.data_dir / "files").rglob("*") if p.is_file()] == []
    with state.database.reading() as session:
        assert session.query(Upload).count() == 0
    reviewer.post("/uploads", text=AD)
    settle(state)
