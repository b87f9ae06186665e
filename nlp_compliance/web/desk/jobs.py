"""Background work of the desk: takes uploads from the database, reads and judges them, keeps the results part by part.

Several uploads are in hand and take turns, a part each, so that a short one does not wait for all of a long one. The job
lives in the database: a server killed in the middle leaves a lease that runs out, and whoever comes next goes on behind
the last part that was kept. So every accepted upload is finished, and every text of it is kept exactly once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from sqlalchemy.orm import Session

from nlp_compliance.errors import NlpComplianceError, StoreError
from nlp_compliance.ingest.reader import Failure, Item, Reader
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
# One turn of an upload ends after so many texts, or with the text that is read when so many seconds have passed.
_TURN_ITEMS = 32
_TURN_SECONDS = 2.0
# Each may hold a process that reads its file.
_MOST_IN_HAND = 4
# (documents, failures)
Part = tuple[list[Judged], list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns what a reader finds into results: no database, no threads."""

    check_many: Callable[[Sequence[Document]], list[Report | NlpComplianceError]]
    seen: Callable[[Iterable[object]], None] = lambda reports: None

    def judge(self, items: Sequence[Item]) -> Part:
        """(documents, failures) of some items of one file. Never raises for the file's sake."""
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


def _portions(items: Iterable[Item]) -> Iterator[tuple[list[Item], bool]]:
    """What is read, in portions after each of which another upload may have its turn; and whether more follows."""
    portion: list[Item] = []
    until = time.monotonic() + _TURN_SECONDS
    for item in items:
        if portion and (len(portion) == _TURN_ITEMS or time.monotonic() > until):
            yield portion, True
            portion, until = [], time.monotonic() + _TURN_SECONDS
        portion.append(item)
    if portion:
        yield portion, False


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
    """One thread that works off uploads in turns. `wake` after adding one; `stop` puts back what is in hand."""

    def __init__(self, database: Database, files: FileStore, judge: Judge, new_reader: Callable[[], Reader]) -> None:
        self.database, self.files, self.judge, self.new_reader = database, files, judge, new_reader
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desk-jobs", daemon=True)
        self._renewing = Repeated("desk-lease", _RENEW_SECONDS, self._renew)
        # Uploads in hand in the order of their turns, and the leases of all of them.
        self._turns: deque[Generator[None]] = deque()
        self._leases: dict[int, str] = {}
        # A reader may hold a process that reads one file at a time; the next upload takes over one that is free.
        self._free: list[Reader] = []

    def start(self) -> None:
        self._renewing.start()
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, timeout: float = 60.0) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._renewing.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._work():
                    continue
            except Exception:
                # The lease runs out and the upload is tried again; the thread must live on for the others.
                log.exception("an upload could not be finished; it will be tried again")
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()
        self._put_back()

    def _work(self) -> bool:
        """One turn of one upload; False when none waits."""
        self._take_up()
        if not self._turns:
            return False
        turn = self._turns.popleft()
        for _ in turn:
            self._turns.append(turn)
            break
        return True

    def _take_up(self) -> None:
        """One more upload that waits; it has its first turn at once."""
        if len(self._leases) >= _MOST_IN_HAND:
            return
        with self.database.transaction() as session:
            upload = repository.claim(session)
        if upload is not None:
            assert upload.lease is not None
            self._leases[upload.id] = upload.lease
            self._turns.appendleft(self._turns_of(upload, upload.lease))

    def _turns_of(self, upload: Upload, lease: str) -> Generator[None]:
        """Works off one upload and stops after every part of it that is kept but the last."""
        reader = self._free.pop() if self._free else self.new_reader()
        try:
            with closing(self._parts(upload, reader)) as parts:
                for (documents, failures), more in parts:
                    if not self._kept(partial(repository.keep, documents=documents, failures=failures), upload, lease):
                        return
                    if more:
                        yield
            if self._kept(repository.finish, upload, lease):
                log.info("upload finished", extra={"upload": upload.id})
        finally:
            self._free.append(reader)
            self._leases.pop(upload.id, None)

    def _parts(self, upload: Upload, reader: Reader) -> Generator[tuple[Part, bool]]:
        """The results of an upload behind those that are kept, each with whether more follows."""
        with self.database.reading() as session:
            done = sum(repository.kept(session, upload.id))
        try:
            data = self.files.get(upload.sha256)
        except StoreError as error:
            yield ([], [_failure(upload.name, error)]), False
            return
        for portion, more in _portions(islice(reader.read_bytes(data, upload.name), done, None)):
            yield self.judge.judge(portion), more

    def _renew(self) -> None:
        for upload_id, lease in list(self._leases.items()):
            with self.database.transaction() as session:
                repository.renew(session, upload_id, lease)

    def _put_back(self) -> None:
        """Frees what is in hand for whoever comes next; without it that has to wait until the leases run out."""
        leases = dict(self._leases)
        for turn in self._turns:
            turn.close()
        try:
            with self.database.transaction() as session:
                for upload_id, lease in leases.items():
                    repository.release(session, upload_id, lease)
        except StoreError:
            log.warning("uploads in hand could not be put back; they go on when their leases have run out")

    def _kept(self, keep: Callable[[Session, int, str], bool], upload: Upload, lease: str) -> bool:
        """Keeps results; a database that is away for a moment is asked again, for the work is done."""
        for pause_s in (*_KEEP_AGAIN_AFTER_S, None):
            try:
                with self.database.transaction() as session:
                    mine = keep(session, upload.id, lease)
            except StoreError:
                if pause_s is None or self._stopping.wait(pause_s):
                    raise
                log.warning("results of upload %s could not be kept; trying again", upload.id)
            else:
                if not mine:
                    log.warning("upload %s was taken up by another worker", upload.id)
                return mine
        raise AssertionError("the last attempt returns or raises")
