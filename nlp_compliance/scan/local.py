"""Scan files, folders and tables on this machine: bounded memory, several processes, resumable."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import date
from itertools import chain, islice
from pathlib import Path

import orjson

from nlp_compliance.checker import Checker
from nlp_compliance.errors import InputError, NlpComplianceError
from nlp_compliance.ingest.isolate import starting_children
from nlp_compliance.ingest.places import Place, is_far, shown, whole
from nlp_compliance.ingest.reader import Failure, Item, Reader, expand, place_of
from nlp_compliance.records import Document, Report
from nlp_compliance.rulebook import Rulebook, load_rulebook
from nlp_compliance.scan.dataset import PART_BYTES, Dataset, part_state
from nlp_compliance.scan.journal import Journal, command_of
from nlp_compliance.scan.lock import alone
from nlp_compliance.scan.outputs import errors_path, write_output
from nlp_compliance.scan.reposts import Reposts
from nlp_compliance.scan.summary import Scanned, Summary
from nlp_compliance.scan.tasks import Task, plan
from nlp_compliance.scan.worker import Job, Row, Worker, around

_BATCH = 64
# Tasks in flight per worker: enough to keep it busy while the journal is written, few enough to stay small.
_AHEAD = 3
# Of the work file; one of another kind is not continued.
_WORK_FORMAT = 3
# Tells how much work a finished task was: (weight in bytes, documents).
Progress = Callable[[int, int], None]
# Runs tasks and gives (task, rows) in the order of the tasks; local processes or a cluster.
Engine = Callable[[Job, Iterable[Task]], Iterator[tuple[Task, list[Row]]]]


def read_all(paths: Sequence[Place], reader: Reader) -> Iterator[Item]:
    """Documents of all paths in order."""
    for path in expand(paths):
        yield from reader.read_path(path)


def scan(checker: Checker, items: Iterable[Item], *, as_of: date | None = None) -> Iterator[Scanned | Failure]:
    """Results in the order of the input, in this process."""
    stream = iter(items)
    while batch := list(islice(stream, _BATCH)):
        documents = [item for item in batch if isinstance(item, Document)]
        results = iter(checker.check_many(documents, as_of=as_of))
        for item in batch:
            yield item if isinstance(item, Failure) else _result(item, next(results))


def _result(document: Document, result: Report | NlpComplianceError) -> Scanned | Failure:
    return Scanned(document, result) if isinstance(result, Report) else Failure(document.id, result, place_of(document))


def scan_to_file(
    paths: Sequence[Place],
    out: Place,
    job: Job,
    *,
    engine: Engine,
    partition_by: str | None = None,
    work: Path | None = None,
    restart: bool = False,
    retry_errors: bool = False,
    progress: Progress = lambda weight, documents: None,
) -> Summary:
    """Scans `paths` into `out` and its errors file; after any interruption the same call goes on where it was.

    With `partition_by` (a key of `dataset.PARTITIONS`) `out` is a folder of Parquet files. Progress is kept in the
    folder `work`, by default beside `out`, and for a far `out` in the current folder: only a file system of this
    machine can append line by line.
    Raises InputError when another scan is at it, a work file of another command is in the way, a table of which rows
    are done has changed, `out` is a dataset already, or there is nothing to retry.
    """
    kept = _work_path(out, work)
    with alone(kept):
        if retry_errors:
            job = _retry(out, kept, job)
        judged = _judged(out, job.only) if job.only is not None else frozenset()
        if restart:
            kept.unlink(missing_ok=True)
        rulebook = load_rulebook(job.settings.rules_dirs)
        dataset = Dataset(out, partition_by, rulebook) if partition_by is not None else None
        if dataset is not None and not kept.exists():
            dataset.claim(replace=restart)
        journal = Journal(kept, _command(paths, job, out, partition_by, rulebook.version))
        try:
            if retry_errors and not journal.done.files and not journal.done.rows:
                journal.add(("", 0), _rows_of(out))
            own = (out, kept, errors_path(out))
            reposts = Reposts(job)
            for task, answer in engine(job, reposts.sent(plan(paths, job.reader(), journal.done, without=own))):
                done = reposts.rows(answer)
                rows = [r for r in done if not judged or r.failed or _marks(r.line) not in judged]
                met = [r.place for r in done] if job.only is not None else ()
                journal.add(task.key, rows, met, task.state)
                progress(task.weight, len(rows))
                if dataset is not None:
                    dataset.take(journal, least=PART_BYTES)
            return _finish(journal, out, rulebook, dataset, _unmet(out, journal.met) if retry_errors else ())
        finally:
            journal.close()


def _command(
    paths: Sequence[Place], job: Job, out: Place, partition_by: str | None, rulebook: str
) -> dict[str, object]:
    """What must be the same for a work file to be continued."""
    settings = job.settings
    return {
        "format": _WORK_FORMAT,
        "paths": [shown(p) for p in paths],
        "out": shown(out if is_far(out) else Path(out.name)),
        "partition_by": partition_by,
        "as_of": job.as_of,
        "text_column": job.text_column,
        "only": sorted(job.only) if job.only is not None else None,
        "rulebook": rulebook,
        "model": _version_of(settings.bundle),
        "linear": _version_of(settings.linear_bundle),
        "settings": {k: str(getattr(settings, k)) for k in ("detectors", "advisory", "review_band", "max_text_chars")},
    }


def _version_of(bundle: Path) -> str | None:
    """The version its manifest states; None where no bundle lies."""
    manifest = bundle / "manifest.json"
    return str(orjson.loads(manifest.read_bytes())["version"]) if manifest.is_file() else None


def _work_path(out: Place, work: Path | None) -> Path:
    beside = out.parent if isinstance(out, Path) else Path()
    return (work or beside) / (out.name + ".part")


def _retry(out: Place, kept: Path, job: Job) -> Job:
    """The job for what failed; for what a retry that was interrupted had set out to do, where there is one."""
    begun = command_of(kept)
    if begun is not None and isinstance(again := begun.get("only"), list):
        return replace(job, only=frozenset(again))
    errors = errors_path(out)
    if out.suffix.lower() != ".jsonl" or not out.is_file() or not errors.is_file():
        raise InputError(f"--retry-errors needs {out} as .jsonl and {errors}, both of an earlier scan; scan first")
    return replace(job, only=frozenset(_failed_place(line) for line in _error_lines(out)))


def _error_lines(out: Place) -> list[bytes]:
    """Lines of the errors file; none where nothing failed."""
    errors = errors_path(out)
    return [line for line in errors.read_bytes().split(b"\n") if line.strip()] if errors.is_file() else []


def _failed_place(line: bytes) -> str:
    """Errors files of earlier versions tell the id only."""
    record = orjson.loads(line)
    return str(record.get("place", record["id"]))


def _unmet(out: Place, met: Iterable[str]) -> list[bytes]:
    """Lines of the errors file that a retry met nothing of: nobody knows that they are mended."""
    covered = {place for found in met for place in around(found)}
    return [line for line in _error_lines(out) if _failed_place(line) not in covered]


def _judged(out: Place, places: frozenset[str]) -> frozenset[tuple[str | None, str, str]]:
    """What the result holds already of tables and archives that failed in part and are read again as a whole."""
    marks = (_marks(row.line) for row in _rows_of(out))
    return frozenset(mark for mark in marks if not places.isdisjoint(around(mark[0] or mark[1])))


def _marks(line: bytes) -> tuple[str | None, str, str]:
    """(path, id, hash of the text) of a row of the result."""
    record = orjson.loads(line)
    return record["source"].get("path"), record["id"], record["copy"]["sha256"]


def _rows_of(out: Place) -> Iterator[Row]:
    with out.open("rb") as stream:
        for line in stream:
            yield Row(False, line.rstrip(b"\n"), "")


def _finish(
    journal: Journal, out: Place, rulebook: Rulebook, dataset: Dataset | None, unmet: Iterable[bytes]
) -> Summary:
    if dataset is not None:
        dataset.take(journal)
        _, summary = part_state(journal)
    else:
        summary = Summary()
        for line in journal.rows(failed=False):
            summary.add_line(line)
        write_output(out, journal.rows(failed=False), rulebook, list(summary.extras))
    summary.failed = _write_errors(errors_path(out), chain(journal.rows(failed=True), unmet))
    journal.remove()
    return summary


def _write_errors(target: Place, lines: Iterator[bytes]) -> int:
    """The number of failures; no file where there are none."""
    first = next(lines, None)
    if first is None:
        target.unlink(missing_ok=True)
        return 0
    count = 0
    with whole(target) as draft, draft.open("wb") as stream:
        for line in chain((first,), lines):
            stream.write(line + b"\n")
            count += 1
    return count


def in_this_process(job: Job, tasks: Iterable[Task]) -> Iterator[tuple[Task, list[Row]]]:
    """One worker, no further process but the reader's own child."""
    worker = Worker(job)
    for task in tasks:
        yield task, worker.run(task)


_worker: Worker | None = None


def _start(job: Job) -> None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(job)


def _end_with_parent() -> None:
    """A parent that was killed tells its workers nothing; they would wait for its tasks for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(task: Task) -> list[Row]:
    assert _worker is not None
    return _worker.run(task)


def in_processes(workers: int) -> Engine:
    """An engine of `workers` processes on this machine, each with its own model on one thread."""

    def run(job: Job, tasks: Iterable[Task]) -> Iterator[tuple[Task, list[Row]]]:
        context = multiprocessing.get_context("spawn")
        job = replace(job, settings=job.settings.replace(threads=1))
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(job,)) as pool:
            waiting: deque[tuple[Task, Future[list[Row]]]] = deque()
            try:
                for task in tasks:
                    # A task may start a process.
                    with starting_children():
                        waiting.append((task, pool.submit(_run, task)))
                    if len(waiting) >= workers * _AHEAD:
                        done, future = waiting.popleft()
                        yield done, future.result()
                while waiting:
                    done, future = waiting.popleft()
                    yield done, future.result()
            except BrokenProcessPool as error:
                raise NlpComplianceError(
                    "a worker process was killed (out of memory?); what is done is kept: run the same command again, "
                    "with fewer --workers if memory is short"
                ) from error
            finally:
                for _, future in waiting:
                    future.cancel()

    return run
