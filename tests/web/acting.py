"""What the tests of the desk share: a running desk, people with a browser, waiting for the background."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from nlp_compliance.settings import Settings
from nlp_compliance.store import people
from nlp_compliance.store.schema import StoredDocument, Upload
from nlp_compliance.web.app import create_app
from nlp_compliance.web.desk.app import open_desk

FIXTURES = Path(__file__).parents[1] / "fixtures"
AD = "云溪保由政府兜底，最高保障300万元，99元一年，扫码投保。"
PASSWORD = "correct-horse-9"


class Person:
    """A browser with one login."""

    def __init__(self, app, name: str | None = None) -> None:
        self.client = TestClient(app, base_url="http://testserver")
        if name:
            assert self.post("/login", name=name, password=PASSWORD).status_code == 200

    def get(self, path: str):
        return self.client.get(path)

    def post(self, path: str, *, files=None, **fields):
        page = self.client.get("/login").text
        token = re.search(r'name="csrf" content="([^"]+)"', page).group(1)
        return self.client.post(path, data={"csrftoken": token, **fields}, files=files, headers={"x-csrftoken": token})


@contextmanager
def running(folder: Path, **settings):
    desk = open_desk(Settings(detectors=("lexical",), data_dir=folder, **settings))
    app = create_app(desk.settings, desk=desk)
    with desk.database.transaction() as session:
        for name, role in (("王审", "reviewer"), ("李复", "approver"), ("赵管", "admin"), ("钱看", "viewer")):
            people.create_user(session, name, PASSWORD, role, by="test")
    with TestClient(app):
        yield app, desk


def settle(desk, count: int = 1) -> list[StoredDocument]:
    """Waits until nothing is queued any more and so many documents are there."""
    for _ in range(2_400):
        with desk.database.transaction() as session:
            left = session.query(Upload).filter(Upload.status.in_(("queued", "running"))).count()
            documents = session.query(StoredDocument).order_by(StoredDocument.id).all()
        if not left and len(documents) >= count:
            return documents
        time.sleep(0.05)
    raise AssertionError("uploads were not finished")
