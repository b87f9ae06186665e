"""Scan files, folders and JSONL on this machine, in bounded memory, failures kept apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path

from nlp_compliance.checker import Checker
from nlp_compliance.errors import InputError, NlpComplianceError
from nlp_compliance.ingest.reader import Failure, expand, read_path
from nlp_compliance.records import Document, Report
from nlp_compliance.schema import report_to_dict

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Scanned:
    """One document with its report."""

    document: Document
    report: Report


@dataclass(slots=True)
class Summary:
    """What a scan met: documents by risk, findings by label, documents not fully read, failures."""

    risks: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    partly_read: int = 0
    failed: int = 0

    @property
    def documents(self) -> int:
        return sum(self.risks.values())

    def add(self, item: Scanned | Failure) -> None:
        if isinstance(item, Failure):
            self.failed += 1
            return
        self.risks[item.report.risk] += 1
        self.labels.update({f.label for f in item.report.findings if f.verdict == "violation"})
        self.partly_read += not item.report.coverage.complete


def read_all(paths: Sequence[Path], *, max_bytes: int) -> Iterator[Document | Failure]:
    """Documents of all paths in order."""
    for path in expand(paths):
        yield from read_path(path, max_bytes=max_bytes)


def scan(
    checker: Checker,
    items: Iterable[Document | Failure],
    *,
    as_of: date | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Iterator[Scanned | Failure]:
    """Results in the order of the input; `done` is told after every batch how many items it held."""
    stream = iter(items)
    while batch := list(islice(stream, _BATCH)):
        documents = [item for item in batch if isinstance(item, Document)]
        results = iter(checker.check_many(documents, as_of=as_of))
        for item in batch:
            yield item if isinstance(item, Failure) else _result(item, next(results))
        done(len(batch))


def _result(document: Document, result: Report | NlpComplianceError) -> Scanned | Failure:
    if isinstance(result, Report):
        return Scanned(document, result)
    return Failure(document.id, result if isinstance(result, InputError) else InputError(str(result)))


def result_row(item: Scanned | Failure) -> dict[str, object]:
    """The output line: the report with the record's own further fields, or the id with the error."""
    if isinstance(item, Failure):
        return {"id": item.id, "error": {"code": item.error.code, "message": str(item.error)}}
    row = report_to_dict(item.report)
    if item.document.source.extra:
        row["extra"] = item.document.source.extra
    return row
