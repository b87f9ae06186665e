"""Background work of the desk: takes uploads from the database, reads and judges them, keeps the results at once.

The job lives in the database. A server killed in the middle leaves a lease; whoever starts next takes the upload up
again, and results are kept in one transaction, so every accepted upload is finished exactly once.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from nlp_compliance.checker import Checker
from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.ingest.reader import Failure, Reader
from nlp_compliance.records import Document, Report
from nlp_compliance.scan.worker import text_hash
from nlp_compliance.schema import plain, report_to_dict
from nlp_compliance.store import repository
from nlp_compliance.store.database import Database
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.repository import Judged
from nlp_compliance.store.schema import Upload

log = logging.getLogger("nlp_compliance.desk")
_IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns the bytes of an upload into results: no database, no threads."""

    reader: Reader
    checker: Checker

    def judge(self, data: bytes, name: str) -> tuple[list[Judged], list[dict[str, str]]]:
        """(documents, failures) of one file. Never raises for the file's sake."""
        items = list(self.reader.read_bytes(data, name))
        documents = [i for i in items if isinstance(i, Document)]
        results = self.checker.check_many(documents)
        judged, failures = [], [_failure(i.id, i.error) for i in items if isinstance(i, Failure)]
        for document, result in zip(documents, results, strict=True):
            if isinstance(result, Report):
                judged.append(_judged(document, result))
            else:
                failures.append(_failure(document.id, result))
        return judged, failures


def _failure(name: str, error: NlpComplianceError) -> dict[str, str]:
    return {"name": name, "code": error.code, "message": str(error)}


def _judged(document: Document, report: Report) -> Judged:
    return Judged(
        name=document.id,
        title=document.source.title or "",
        text=document.text,
        text_sha256=text_hash(document.text),
        blocks=plain(document.blocks),
        source=plain(document.source),
        report=report_to_dict(report),
    )


class JobRunner:
    """One thread that works off uploads. `wake` after adding one; `stop` finishes the upload in hand."""

    def __init__(self, database: Database, files: FileStore, judge: Judge) -> None:
        self.database, self.files, self.judge = database, files, judge
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desk-jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, timeout: float = 60.0) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self.work_one():
                    continue
            except Exception:
                # The lease runs out and the upload is tried again; the thread must live on for the others.
                log.exception("an upload could not be finished; it will be tried again")
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()

    def work_one(self) -> bool:
        """Finishes one upload; False when none waits."""
        with self.database.transaction() as session:
            upload = repository.claim(session)
        if upload is None:
            return False
        try:
            documents, failures = self.judge.judge(self.files.get(upload.sha256), upload.name)
        except NlpComplianceError as error:
            documents, failures = [], [_failure(upload.name, error)]
        self._keep(upload, documents, failures)
        return True

    def _keep(self, upload: Upload, documents: list[Judged], failures: list[dict[str, str]]) -> None:
        assert upload.lease is not None
        with self.database.transaction() as session:
            if not repository.finish(session, upload.id, upload.lease, documents, failures):
                log.warning("upload %s was finished by another worker", upload.id)
