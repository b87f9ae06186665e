"""Figures for Prometheus. With several worker processes they are added up over PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nlp_compliance.records import Report

CONTENT_TYPE = CONTENT_TYPE_LATEST
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
# How often and how long after one another the files of all processes are asked.
_TRIES = 5
_PAUSE_S = 0.05
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (128, 512, 1024, 2048, 4096, 8192, 16384, 65536, 262144)


class Metrics:
    """Counts what one application does. Labels hold routes, states and our own label names, never what was sent."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "nlp_compliance_requests", "Answered requests", ("route", "method", "status"), registry=own
        )
        self._seconds = Histogram(
            "nlp_compliance_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=own
        )
        self._texts = Histogram("nlp_compliance_batch_texts", "Texts in a batch", buckets=_TEXTS, registry=own)
        self._tokens = Histogram("nlp_compliance_batch_tokens", "Characters in a batch", buckets=_TOKENS, registry=own)
        self._findings = Counter("nlp_compliance_findings", "Findings", ("label",), registry=own)
        self._documents = Counter("nlp_compliance_documents", "Judged texts", ("risk",), registry=own)
        self._open = Gauge(
            "nlp_compliance_queue_open", "Requests waiting or running", registry=own, multiprocess_mode="livesum"
        )
        self._jobs = Gauge(
            # Every process reads the same store: what was read last is true.
            "nlp_compliance_uploads",
            "Uploads in the store",
            ("status",),
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._messages = Counter("nlp_compliance_webhooks", "Webhook messages", ("outcome",), registry=own)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def open(self, calls: int) -> None:
        """Told at every change: another process may answer the next question for figures."""
        self._open.set(calls)

    def batch(self, texts: int, tokens: int) -> None:
        self._texts.observe(texts)
        self._tokens.observe(tokens)

    def reports(self, reports: Iterable[object]) -> None:
        for report in reports:
            if isinstance(report, Report):
                self._documents.labels(report.risk).inc()
                for finding in report.findings:
                    self._findings.labels(finding.label).inc()

    def message(self, outcome: str) -> None:
        self._messages.labels(outcome).inc()

    def exposition(self, *, uploads: Mapping[str, int]) -> bytes:
        """The text that Prometheus reads. `uploads` are their numbers by status."""
        for status in ("queued", "running", "done", "failed"):
            self._jobs.labels(status).set(uploads.get(status, 0))
        registry = self._registry
        if MULTIPROCESS_DIR in os.environ:
            _forget_killed(Path(os.environ[MULTIPROCESS_DIR]))
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        for _ in range(_TRIES - 1):
            # A process that just starts has made its file and not yet filled it.
            with suppress(struct.error):
                return generate_latest(registry)
            time.sleep(_PAUSE_S)
        return generate_latest(registry)


def _forget_killed(folder: Path) -> None:
    """A process that was killed had no time to say that its calls are not open any more; what it counted stays."""
    for pid in {file.stem.rpartition("_")[2] for file in folder.glob("gauge_live*.db")}:
        if not _runs(int(pid)):
            # Another process may have noticed at the same moment.
            with suppress(FileNotFoundError):
                multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _runs(pid: int) -> bool:
    if os.name != "posix":
        # There, asking with signal 0 would end the process.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
