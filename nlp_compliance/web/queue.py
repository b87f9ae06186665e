"""The bounded queue in front of the checker: texts of many callers share batches, everybody over the bound is told at once.

A batch takes texts from the callers in turn until its token budget is full, so that one caller with many texts does
not keep the others waiting. A text that breaks a batch fails alone: the others are judged again without it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from nlp_compliance.errors import NlpComplianceError, OverloadedError, TooManyRequestsError
from nlp_compliance.records import Document, Report

Result = Report | NlpComplianceError
Judge = Callable[[Sequence[Document]], list[Result]]


@dataclass(eq=False, slots=True)
class _Job:
    """One text of a caller; the future is resolved by a worker."""

    document: Document
    future: Future[Result] = field(default_factory=Future)


class WorkQueue:
    """At most `limit` calls are open, `per_client` of them for one caller; `workers` batches of at most `batch_tokens`
    characters are judged at a time. `seen` is told the texts and characters of every batch, `moved` the number of open
    calls whenever it changes."""

    def __init__(
        self,
        judge: Judge,
        *,
        workers: int,
        limit: int,
        per_client: int,
        batch_tokens: int,
        seen: Callable[[int, int], None] = lambda documents, tokens: None,
        moved: Callable[[int], None] = lambda calls: None,
    ) -> None:
        self.judge, self.limit, self.per_client, self.batch_tokens = judge, limit, per_client, batch_tokens
        self._seen, self._moved = seen, moved
        self._open: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._changed = threading.Condition()
        self._closing = False
        self._threads = [threading.Thread(target=self._work, name=f"score-{i}", daemon=True) for i in range(workers)]
        self._started = False

    @property
    def open(self) -> int:
        """Calls running or waiting."""
        return sum(self._open.values())

    async def run(self, client: str, documents: Sequence[Document]) -> list[Result | BaseException]:
        """One result for every document, in order, or the exception that judging it raised.

        Raises OverloadedError or TooManyRequestsError at once when there is no room.
        """
        jobs = [_Job(document) for document in documents]
        if not jobs:
            return []
        with self._changed:
            self._admit(client)
            self._start()
            self._waiting.setdefault(client, deque()).extend(jobs)
            self._changed.notify_all()
        waited = [asyncio.wrap_future(job.future) for job in jobs]
        try:
            return list(await asyncio.gather(*waited, return_exceptions=True))
        finally:
            # A caller who hung up must not leave texts behind that nobody waits for.
            for job in jobs:
                job.future.cancel()
            with self._changed:
                self._open[client] -= 1
                if not self._open[client]:
                    del self._open[client]
                self._moved(self.open)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()

    def _admit(self, client: str) -> None:
        if self._closing:
            raise OverloadedError("the server is stopping; repeat after the time in Retry-After", retry_after_s=5)
        if self.open >= self.limit:
            raise OverloadedError(
                f"{self.open} requests are open, the limit is {self.limit}; repeat after the time in Retry-After"
            )
        if self._open[client] >= self.per_client:
            raise TooManyRequestsError(
                f"{self._open[client]} of your requests are open, the limit is {self.per_client}; "
                "wait for their answers"
            )
        self._open[client] += 1
        self._moved(self.open)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                batch = self._take()
            if batch:
                self._seen(len(batch), sum(len(job.document.text) for job in batch))
                self._settle(batch)

    def _take(self) -> list[_Job]:
        """The next batch: from every caller in turn one text, until the budget is full."""
        batch: list[_Job] = []
        left = self.batch_tokens
        while self._waiting:
            client, own = next(iter(self._waiting.items()))
            if batch and len(own[0].document.text) > left:
                break
            job = own.popleft()
            self._waiting.pop(client)
            if own:
                # Put at the end again: the others come first.
                self._waiting[client] = own
            if job.future.set_running_or_notify_cancel():
                batch.append(job)
                left -= len(job.document.text)
        return batch

    def _settle(self, batch: list[_Job]) -> None:
        try:
            results = self.judge([job.document for job in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            half = len(batch) // 2
            self._settle(batch[:half])
            self._settle(batch[half:])
            return
        for job, result in zip(batch, results, strict=True):
            job.future.set_result(result)

    def close(self) -> None:
        """Finish what was accepted, take nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads if self._started else ():
            thread.join()
