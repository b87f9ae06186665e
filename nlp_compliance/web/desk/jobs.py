"""Background work of the desk: takes uploads from the database, reads and judges them, keeps the results at once.

The job lives in the database. A server killed in the middle leaves a lease that runs out; whoever comes next takes the
upload up again, and results are kept in one transaction, so every accepted upload is finished exactly once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from nlp_compliance.errors import NlpComplianceError, StoreError
from nlp_compliance.ingest.reader import Failure, Reader
from nlp_compliance.records import Document, Report
from nlp_compliance.scan.worker import text_hash
from nlp_compliance.schema import plain, report_to_dict
from nlp_compliance.store import repository
from nlp_compliance.store.database import Database
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.repository import Judged
from nlp_compliance.store.schema import Upload
from nlp_compliance.text.normalise import normalise
from nlp_compliance.web.desk.background import Repeated

log = logging.getLogger("nlp_compliance.desk")
_IDLE_SECONDS = 5.0
# Well within the lease, so that only a dead worker loses its upload.
_RENEW_SECONDS = 20.0
_KEEP_AGAIN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns the bytes of an upload into results: no database, no threads."""

    reader: Reader
    check_many: Callable[[Sequence[Document]], list[Report | NlpComplianceError]]
    seen: Callable[[Iterable[object]], None] = lambda reports: None

    def judge(self, data: bytes, name: str) -> tuple[list[Judged], list[dict[str, str]]]:
        """(documents, failures) of one file. Never raises for the file's sake."""
        items = list(self.reader.read_bytes(data, name))
        documents = [_storable(i) for i in items if isinstance(i, Document)]
        results = self.check_many(documents)
        self.seen(results)
        judged, failures = [], [_failure(i.id, i.error) for i in items if isinstance(i, Failure)]
        for document, result in zip(documents, results, strict=True):
            if isinstance(result, Report):
                judged.append(_judged(document, result))
            else:
                failures.append(_failure(document.id, result))
        return judged, failures


def _storable(document: Document) -> Document:
    """NUL has no place in a database's text; another character in its place keeps every offset."""
    if "\0" not in document.text:
        return document
    return replace(document, text=document.text.replace("\0", "\ufffd"))


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
        search_text=normalise("\n".join((document.source.title or "", document.id, document.text))).text,
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
        renewing = Repeated("desk-lease", _RENEW_SECONDS, lambda: self._renew(upload))
        renewing.start()
        try:
            documents, failures = self.judge.judge(self.files.get(upload.sha256), upload.name)
        except NlpComplianceError as error:
            documents, failures = [], [_failure(upload.name, error)]
        finally:
            renewing.stop()
        self._keep(upload, documents, failures)
        extra = {"upload": upload.id, "documents": len(documents), "failures": len(failures)}
        log.info("upload finished", extra=extra)
        return True

    def _renew(self, upload: Upload) -> None:
        assert upload.lease is not None
        with self.database.transaction() as session:
            repository.renew(session, upload.id, upload.lease)

    def _keep(self, upload: Upload, documents: list[Judged], failures: list[dict[str, str]]) -> None:
        """Keeps the results; a database that is away for a moment is asked again, for the work is done."""
        for pause_s in (*_KEEP_AGAIN_AFTER_S, None):
            try:
                return self._keep_now(upload, documents, failures)
            except StoreError:
                if pause_s is None or self._stopping.wait(pause_s):
                    raise
                log.warning("results of upload %s could not be kept; trying again", upload.id)

    def _keep_now(self, upload: Upload, documents: list[Judged], failures: list[dict[str, str]]) -> None:
        assert upload.lease is not None
        with self.database.transaction() as session:
            if not repository.finish(session, upload.id, upload.lease, documents, failures):
                log.warning("upload %s was finished by another worker", upload.id)
