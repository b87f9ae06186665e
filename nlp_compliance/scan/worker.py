"""Does the tasks of a scan: read, check, write rows. One per process; the same code serves local and cluster engines."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import orjson
from rensa import RMinHash

from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.ingest.isolate import isolated_reader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Item, Reader, place_of
from nlp_compliance.records import Document, Report
from nlp_compliance.scan.tasks import Task
from nlp_compliance.schema import plain, report_to_dict
from nlp_compliance.settings import Settings

# Reports of texts met lately, so that a repost costs nothing; bounded, since reports are large.
_REMEMBERED = 4_096
MINHASH_PERMUTATIONS = 32
_SHINGLE_CHARS = 5
_HELD = re.compile("[#!]")


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of one scan must know."""

    settings: Settings
    as_of: date | None = None
    text_column: str | None = None
    # Places to do again, each with all that stands in it; None does all.
    only: frozenset[str] | None = None

    def wants(self, item: Item) -> bool:
        return self.only is None or not self.only.isdisjoint(around(place_of(item)))

    def reader(self) -> Reader:
        return isolated_reader(Reader(Limits.of(self.settings), self.text_column))


def around(place: str) -> list[str]:
    """The place and what holds it: a row stands in a table, a member in an archive."""
    return [place, *(place[: mark.start()] for mark in _HELD.finditer(place))]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of output as JSON bytes without line feed; `failed` lines go to the errors file. `place` is its item's."""

    failed: bool
    line: bytes
    place: str


class Worker:
    """Turns tasks into rows, in order; keeps reports of identical texts."""

    def __init__(self, job: Job, *, checker: Checker | None = None) -> None:
        self.job = job
        self.reader = job.reader()
        self.checker = checker or build_checker(job.settings)
        self._known: OrderedDict[tuple[str, date | None], Report] = OrderedDict()

    def run(self, task: Task) -> list[Row]:
        """Rows of one task. Never raises for the input's sake."""
        items = [i for i in self._items(task) if self.job.wants(i)]
        documents = [i for i in items if isinstance(i, Document)]
        results = iter(self._results(documents))
        return [_row(item, item if isinstance(item, Failure) else next(results)) for item in items]

    def _items(self, task: Task) -> Iterator[Item]:
        yield from task.items
        for path in task.files:
            yield from self.reader.read_path(path)

    def _results(self, documents: Sequence[Document]) -> list[Report | Failure]:
        keys = [(text_hash(d.text), self.job.as_of or d.source.published) for d in documents]
        fresh = {k: d for k, d in zip(keys, documents, strict=True) if k not in self._known}
        failed: dict[tuple[str, date | None], NlpComplianceError] = {}
        outcomes = self.checker.check_many(list(fresh.values()), as_of=self.job.as_of) if fresh else []
        for key, outcome in zip(fresh, outcomes, strict=True):
            if isinstance(outcome, Report):
                self._known[key] = outcome
            else:
                failed[key] = outcome
        out: list[Report | Failure] = []
        for key, document in zip(keys, documents, strict=True):
            if key in failed:
                out.append(Failure(document.id, failed[key], place_of(document)))
            else:
                self._known.move_to_end(key)
                out.append(replace(self._known[key], id=document.id, coverage=document.coverage))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return out


def text_hash(text: str) -> str:
    """SHA-256 of the text in UTF-8; lone surrogates, which no report will hold, count as they are."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def result_row(document: Document, report: Report) -> dict[str, object]:
    """The output record: the report, where the text came from, the record's own further fields, marks of the copy."""
    marks = {"sha256": text_hash(document.text), "minhash": minhash(document.text)}
    return _placed(report_to_dict(report), document, marks)


def repeat_row(row: Row, document: Document) -> Row:
    """The row of a document whose text is that of `row`, byte for byte as if it had been scored."""
    record = orjson.loads(row.line)
    if row.failed:
        place = place_of(document)
        return Row(True, orjson.dumps(record | {"id": document.id, "place": place}), place)
    marks = record.pop("copy")
    del record["source"]
    record.pop("extra", None)
    record |= {"id": document.id, "coverage": plain(document.coverage)}
    line = orjson.dumps(_placed(record, document, marks), option=orjson.OPT_NON_STR_KEYS)
    return Row(False, line, place_of(document))


def _placed(record: dict[str, object], document: Document, marks: object) -> dict[str, object]:
    source = {k: v for k, v in plain(document.source).items() if v is not None and k != "extra"}
    record["source"] = source
    if document.source.extra:
        record["extra"] = document.source.extra
    record["copy"] = marks
    return record


def error_row(failure: Failure) -> dict[str, object]:
    error = {"code": failure.error.code, "message": str(failure.error)}
    return {"id": failure.id, "place": failure.place, "error": error}


def minhash(text: str) -> str:
    """MinHash of the text's character 5-grams without blanks: 32 values of 8 hex digits. Near copies share most."""
    dense = "".join(text.split())
    shingles = {dense[i : i + _SHINGLE_CHARS] for i in range(max(1, len(dense) - _SHINGLE_CHARS + 1))}
    sketch = RMinHash(num_perm=MINHASH_PERMUTATIONS, seed=1)
    sketch.update([s.encode("utf-8", "replace").decode() for s in sorted(shingles)])
    return "".join(f"{value:08x}" for value in sketch.digest())


def _row(item: Item, outcome: Report | Failure) -> Row:
    if isinstance(outcome, Failure):
        return Row(True, orjson.dumps(error_row(outcome)), outcome.place)
    assert isinstance(item, Document)
    return Row(False, orjson.dumps(result_row(item, outcome), option=orjson.OPT_NON_STR_KEYS), place_of(item))
