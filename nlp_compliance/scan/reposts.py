"""Texts that come again in tables are scored once in a whole scan, whatever the number of workers.

Rows of tables pass through the scanning process on their way to the workers, so it sees every repost first: only the
first of identical texts is sent, and the rows of the others are made from its row. Files are read by the workers, and
each worker knows the texts that it met itself (`worker.py`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from nlp_compliance.ingest.reader import Failure, Item
from nlp_compliance.records import Document
from nlp_compliance.scan.tasks import Task
from nlp_compliance.scan.worker import Job, Row, repeat_row, text_hash

# Different texts that are remembered, the latest; a row has a few KB.
_REMEMBERED = 16_384
Key = tuple[str, date | None]


@dataclass(slots=True)
class _First:
    """The first document of a text; `row` comes back from a worker."""

    row: Row | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """One row of a table: sent to a worker, or a repeat of `first`."""

    item: Item
    first: _First | None
    sent: bool


class Reposts:
    """Takes repeats out of the tasks of a job and puts their rows back. Tasks and rows pass in the same order."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._known: OrderedDict[Key, _First] = OrderedDict()
        # What was taken out of every task under way; None for tasks of files.
        self._under_way: deque[Sequence[_Place] | None] = deque()

    def sent(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """The tasks for the workers, each with the rows that must be scored."""
        for task in tasks:
            places = [self._placed(item) for item in task.items if self._job.wants(item)] if task.items else None
            self._under_way.append(places)
            if places is not None:
                task = replace(task, items=tuple(p.item for p in places if p.sent))
            yield task

    def rows(self, answer: list[Row]) -> list[Row]:
        """All rows of the oldest task under way; `answer` is what a worker made of it."""
        places = self._under_way.popleft()
        if places is None:
            return answer
        scored, out = iter(answer), []
        for place in places:
            if place.sent:
                row = next(scored)
                if place.first is not None:
                    place.first.row = row
            else:
                assert place.first is not None and place.first.row is not None and isinstance(place.item, Document)
                row = repeat_row(place.first.row, place.item)
            out.append(row)
        return out

    def _placed(self, item: Item) -> _Place:
        if isinstance(item, Failure):
            return _Place(item, None, sent=True)
        key = (text_hash(item.text), self._job.as_of or item.source.published)
        first = self._known.get(key)
        if first is not None:
            self._known.move_to_end(key)
            return _Place(item, first, sent=False)
        first = self._known[key] = _First()
        # One that is forgotten while it is under way is still held by the rows that repeat it.
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return _Place(item, first, sent=True)
