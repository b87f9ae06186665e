"""Servers that are killed, databases that crash, disks that are full: nothing accepted is lost, nothing is done twice."""

import errno
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from nlp_compliance.client import Client, RemoteError
from nlp_compliance.store import audit, files, repository
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.schema import StoredDocument, Upload
from tests.store import postgres
from tests.web.acting import AD, Person, settle
from tests.web.serving import START_S, Server


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
    end = time.monotonic() + START_S
    while len(accepted) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_killed_in_the_middle_of_uploads_loses_and_repeats_nothing(server, tmp_path, pytestconfig):
    count = 200 if pytestconfig.getoption("--slow") else 20
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


@pytest.mark.slow
def test_a_database_that_cannot_grow_refuses_and_goes_on_when_there_is_room(server, tmp_path):
    own = server()
    own.stop()
    # No file may grow beyond what the empty desk needs and a little more: first its log is full, then everything.
    own.most_file_bytes = 400_000
    own.start()
    client = Client(own.url, timeout_s=60, retries=0)
    accepted, refused = [], []
    for number in range(60):
        try:
            accepted.append(
                client.submit(f"第{number}份。{AD * 150}".encode(), f"{number}.txt", idempotency_key=f"k-{number}").id
            )
        except RemoteError as error:
            refused.append(error)
        if len(refused) >= 3:
            break
    assert refused and {(e.status, e.code) for e in refused} == {(503, "store_error")}
    assert client.score(AD).risk == "high"
    own.stop()
    own.most_file_bytes = 0
    own.start()
    for number in range(len(accepted) + len(refused)):
        client.submit(f"第{number}份。{AD * 150}".encode(), f"{number}.txt", idempotency_key=f"k-{number}")
    database = Database(sqlite_url(tmp_path / "data"))
    finished(database, len(accepted) + len(refused))
    database.close()
