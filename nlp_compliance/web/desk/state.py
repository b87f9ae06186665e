"""What the pages need: settings, database, files, templates, the checker in use, and the work in the background."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from jinja2 import Environment

from nlp_compliance.checker import Checker
from nlp_compliance.ingest.isolate import isolated_reader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import SUFFIXES, Reader
from nlp_compliance.records import CATEGORY_LABELS, CATEGORY_OF, VIOLATION_LABELS
from nlp_compliance.report.templates import environment
from nlp_compliance.report.terminal import DOUBTFUL
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.outputs import RISKS
from nlp_compliance.settings import Settings
from nlp_compliance.store import decisions, people, repository, retention
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.schema import now
from nlp_compliance.web.desk import exports, failures, moments, view
from nlp_compliance.web.desk.background import Repeated
from nlp_compliance.web.desk.jobs import JobRunner, Judge
from nlp_compliance.web.desk.messages import Messenger
from nlp_compliance.web.live import LiveChecker
from nlp_compliance.web.metrics import Metrics

CATEGORIES = {
    "false_publicity": "虚假或误导宣传",
    "government_underwriting": "冒用政府名义",
    "missing_disclosure": "未充分披露",
}
_REFRESH_S = 3.0
_PURGE_S = 3_600.0


@dataclass(slots=True)
class Desk:
    """Everything the pages need; open it once, `close` it at the end. `sole` says that no other process works beside."""

    settings: Settings
    database: Database
    files: FileStore
    templates: Environment
    sole: bool = True
    live: LiveChecker | None = None
    runner: JobRunner | None = None
    repeated: list[Repeated] = field(default_factory=list)

    def start(self, live: LiveChecker, metrics: Metrics) -> None:
        """Takes up what an earlier server left and begins to work."""
        self.live = live
        live.refresh()
        if self.sole and self.database.is_sqlite:
            with self.database.transaction() as session:
                repository.release_all(session)
        plain_reader = Reader(Limits.of(self.settings))
        judge = Judge(live.judge, metrics.reports)
        self.runner = JobRunner(self.database, self.files, judge, lambda: isolated_reader(plain_reader))
        self.runner.start()
        messenger = Messenger(self.database, metrics.message)
        self.repeated = [
            Repeated("desk-rules", _REFRESH_S, live.refresh),
            Repeated("desk-messages", _REFRESH_S, messenger.send_all),
        ]
        if self.settings.retention_days:
            self.repeated.append(Repeated("desk-retention", _PURGE_S, self.purge))
        for thread in self.repeated:
            thread.start()

    def purge(self) -> retention.Purged:
        """Deletes what is older than the setting allows."""
        before = now() - timedelta(days=self.settings.retention_days)
        return retention.purge(self.database, self.files, before=before, by="system")

    def close(self) -> None:
        for thread in self.repeated:
            thread.stop()
        if self.runner:
            self.runner.stop()
        self.database.close()

    @property
    def checker(self) -> Checker:
        assert self.live is not None
        return self.live.current

    @property
    def rulebook(self) -> Rulebook:
        return self.checker.rulebook

    def wake(self) -> None:
        if self.runner:
            self.runner.wake()


def open_desk(settings: Settings) -> Desk:
    """Opens database and file store, in a folder that only its owner can read: signing keys lie there. Raises StoreError."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One that belongs to somebody else is his to protect.
    with suppress(PermissionError):
        settings.data_dir.chmod(0o700)
    database = Database(settings.database_url or sqlite_url(settings.data_dir))
    templates = environment("desk")
    templates.filters.update(moment=moments.moment, day=moments.day, as_written=view.as_written)
    templates.globals.update(
        risks=RISKS,
        severities=exports.SEVERITIES,
        states=repository.STATES,
        orders=repository.ORDERS,
        verdicts=decisions.VERDICTS,
        actions=decisions.ACTIONS,
        longest_reason=decisions.LONGEST_REASON,
        roles=people.ROLES,
        law=exports.law,
        doubtful=DOUBTFUL,
        failure_text=failures.of_part,
        unread_text=failures.unread,
        categories=CATEGORIES,
        category_labels=CATEGORY_LABELS,
        category_of=CATEGORY_OF.get,
        violation_labels=VIOLATION_LABELS,
        suffixes=",".join(SUFFIXES),
        may=people.may,
    )
    return Desk(settings, database, FileStore(settings.data_dir / "files"), templates)


def setup_link(desk: Desk) -> str | None:
    """The path that creates the first administrator, once; None when somebody can already log in."""
    with desk.database.transaction() as session:
        token = people.setup_token(session)
    return f"/setup?token={token}" if token else None
