"""The monitoring report over a finished scan: who publishes what, since when, and who copies whom.

First `gather` computes, then `write_monitor` writes HTML or xlsx. Rows stream; whole cases are kept of documents with
findings only, and of all others what grouping near copies needs (`copies.py`).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from nlp_compliance.errors import InputError
from nlp_compliance.records import LABELS
from nlp_compliance.report.copies import Sketches
from nlp_compliance.report.templates import environment
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.outputs import RISKS, errors_path, write_workbook
from nlp_compliance.severity import RISK_ORDER

UNKNOWN_ACCOUNT = "（未注明账号）"
_SHOWN_DOCUMENTS = 300
# Groups of copies in a report, the widest spread first, and documents named in each.
_SHOWN_GROUPS = 300
_SHOWN_COPIES = 20
_QUOTED = 12


@dataclass(frozen=True, slots=True)
class Case:
    """One document with findings, short."""

    id: str
    account: str
    title: str
    url: str
    week: str
    risk: str
    labels: tuple[str, ...]
    evidence: tuple[tuple[str, str], ...]
    is_new: bool


@dataclass(slots=True)
class Account:
    """One account: documents read and documents by risk."""

    name: str
    documents: int = 0
    risks: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.risks["high"], self.risks["medium"], self.risks["low"]


@dataclass(frozen=True, slots=True)
class Copies:
    """Documents that spread one copy: how many, how many of them with findings, by whom, and the first of them."""

    documents: int
    flagged: int
    accounts: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def rank(self) -> tuple[bool, int, int]:
        return self.flagged > 0, len(self.accounts), self.documents


@dataclass(slots=True)
class Monitor:
    """Everything the report shows."""

    documents: int = 0
    risks: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    weeks: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    accounts: dict[str, Account] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    copies: list[Copies] = field(default_factory=list)
    # Groups of copies found; `copies` holds the first of them.
    groups: int = 0
    partly_read: int = 0
    # Files and rows of which nothing could be read; they are named in the list of failures beside the result.
    unread: int = 0
    compared: bool = False
    gone: int = 0

    @property
    def risks_by_week(self) -> dict[str, Counter[str]]:
        """Documents with findings by week and risk."""
        out: dict[str, Counter[str]] = defaultdict(Counter)
        for case in self.cases:
            out[case.week][case.risk] += 1
        return out

    @property
    def ranked_accounts(self) -> list[Account]:
        return sorted(self.accounts.values(), key=lambda a: (*a.rank, a.documents), reverse=True)


@dataclass(slots=True)
class _Spread:
    """What is kept of every document to tell who copies whom: its sketch, account, findings, and place in the file."""

    sketches: Sketches = field(default_factory=Sketches)
    accounts: array[int] = field(default_factory=lambda: array("I"))
    flagged: bytearray = field(default_factory=bytearray)
    places: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, row: dict[str, Any], place: int, account: int) -> None:
        if self.sketches.add(row.get("copy", {}).get("minhash", "")):
            self.accounts.append(account)
            self.flagged.append(bool(_labels(row)))
            self.places.append(place)


class _Labels:
    """The labels of the documents of one scan (`.jsonl`; without one, of those added).

    Tables number their rows alike, so an id may stand in several files. A file that both scans read is compared with
    itself; a document of any other file, as of a table that has a new name every week, by its id alone.
    """

    def __init__(self, results: Path | None) -> None:
        self._files: dict[str, int] = {}
        self._in_file: dict[tuple[int, str], tuple[str, ...]] = {}
        self._by_id: dict[str, tuple[str, ...]] = {}
        for _, row in _rows(results) if results else ():
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        number = self._files.setdefault(_file(row), len(self._files))
        self._in_file[number, row["id"]] = self._by_id[row["id"]] = _labels(row)

    def of(self, row: dict[str, Any]) -> tuple[str, ...]:
        """The labels that this scan gave the document of `row`; none where it did not meet it."""
        return self._found(_file(row), row["id"]) or ()

    def flagged_without(self, other: _Labels) -> int:
        """Documents with labels that the other scan did not meet."""
        names = list(self._files)
        return sum(
            1
            for (number, identifier), labels in self._in_file.items()
            if labels and other._found(names[number], identifier) is None
        )

    def _found(self, file: str, identifier: str) -> tuple[str, ...] | None:
        number = self._files.get(file)
        return self._by_id.get(identifier) if number is None else self._in_file.get((number, identifier))


def gather(results: Path, previous: Path | None = None) -> Monitor:
    """The figures of one scan (`.jsonl`), against an earlier one. Raises InputError naming the line that is no result."""
    before = _Labels(previous)
    now = _Labels(None)
    monitor, spread = Monitor(compared=previous is not None), _Spread()
    numbers: dict[str, int] = {}
    for place, row in _rows(results):
        if monitor.compared:
            now.add(row)
        _count(monitor, row, before)
        spread.add(row, place, numbers.setdefault(_account(row), len(numbers)))
    monitor.gone = before.flagged_without(now)
    monitor.unread = _unread(results)
    monitor.cases.sort(key=lambda c: RISK_ORDER.index(c.risk))
    _add_copies(monitor, spread, list(numbers), results, before)
    return monitor


def _add_copies(monitor: Monitor, spread: _Spread, names: list[str], results: Path, before: _Labels) -> None:
    """Groups with findings first, then the widest spread; the rows of those shown are read once more."""
    found = [
        (members, Copies(len(members), sum(spread.flagged[m] for m in members), accounts, ()))
        for members in spread.sketches.groups()
        for accounts in [tuple(dict.fromkeys(names[spread.accounts[m]] for m in members))]
    ]
    found.sort(key=lambda pair: pair[1].rank, reverse=True)
    monitor.groups = len(found)
    with results.open("rb") as stream:
        for members, copies in found[:_SHOWN_GROUPS]:
            cases = []
            for member in members[:_SHOWN_COPIES]:
                stream.seek(spread.places[member])
                row = orjson.loads(stream.readline())
                cases.append(_case(row, _is_new(monitor, row, before)))
            monitor.copies.append(replace(copies, cases=tuple(cases)))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(place in bytes, row) of every result."""
    place = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = orjson.loads(line)
                row["findings"], row["risk"], row["id"]
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: line {number} is no result of a scan; give the .jsonl that scan wrote"
                ) from error
            yield place, row
            place += len(line)


def _unread(results: Path) -> int:
    failures = errors_path(results)
    if not failures.is_file():
        return 0
    with failures.open("rb") as stream:
        return sum(1 for _ in stream)


def _file(row: dict[str, Any]) -> str:
    """The file that the document was read from; empty where the result tells none."""
    return row.get("source", {}).get("path") or ""


def _account(row: dict[str, Any]) -> str:
    return row.get("source", {}).get("account") or UNKNOWN_ACCOUNT


def _labels(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f["label"] for f in row["findings"] if f["verdict"] == "violation"))


def _count(monitor: Monitor, row: dict[str, Any], before: _Labels) -> None:
    name, labels = _account(row), _labels(row)
    account = monitor.accounts.setdefault(name, Account(name))
    account.documents += 1
    monitor.documents += 1
    account.risks[row["risk"]] += 1
    monitor.risks[row["risk"]] += 1
    monitor.partly_read += not row["coverage"]["complete"]
    if not labels:
        return
    account.labels.update(labels)
    monitor.labels.update(labels)
    case = _case(row, _is_new(monitor, row, before))
    monitor.weeks[case.week].update(labels)
    monitor.cases.append(case)


def _is_new(monitor: Monitor, row: dict[str, Any], before: _Labels) -> bool:
    return monitor.compared and not set(_labels(row)) <= set(before.of(row))


def _case(row: dict[str, Any], is_new: bool) -> Case:
    source = row.get("source", {})
    return Case(
        id=row["id"],
        account=_account(row),
        title=source.get("title") or row["id"],
        url=_link(source.get("url")),
        week=_week(source.get("published")),
        risk=row["risk"],
        labels=_labels(row),
        evidence=tuple((f["label"], f["text"]) for f in row["findings"] if f["verdict"] == "violation" and f["text"]),
        is_new=is_new,
    )


def _link(url: str | None) -> str:
    """Only web addresses become links; anything else could run in the reader's browser."""
    return url if url and url.startswith(("https://", "http://")) else ""


def _week(published: str | None) -> str:
    if not published:
        return "未注明日期"
    year, week, _ = date.fromisoformat(published[:10]).isocalendar()
    return f"{year}年第{week:02}周"


def write_monitor(target: Path, monitor: Monitor, rulebook: Rulebook) -> None:
    """Writes `target` as .html or .xlsx. Raises InputError for any other suffix."""
    writers = {".html": _html, ".xlsx": _xlsx}
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise InputError(f"{target}: the suffix is {target.suffix or 'absent'}; allowed: {', '.join(writers)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    writer(target, monitor, rulebook)


def _html(target: Path, monitor: Monitor, rulebook: Rulebook) -> None:
    page = (
        environment()
        .get_template("monitor.html")
        .render(
            monitor=monitor,
            weeks=sorted(monitor.weeks),
            labels=[label for label in LABELS if monitor.labels[label]],
            name=lambda label: rulebook.label(label).name,
            shown=monitor.cases[:_SHOWN_DOCUMENTS],
            busiest=max((counts.total() for counts in monitor.risks_by_week.values()), default=1),
            quoted=_QUOTED,
            hidden=max(0, len(monitor.cases) - _SHOWN_DOCUMENTS),
            risk=RISKS,
        )
    )
    target.write_text(page, encoding="utf-8")


def _xlsx(target: Path, monitor: Monitor, rulebook: Rulebook) -> None:
    def name(label: str) -> str:
        return rulebook.label(label).name

    labels = [label for label in LABELS if monitor.labels[label]]
    weeks = sorted(monitor.weeks)
    accounts = [[a.name, a.documents, *a.rank, _common(a, rulebook)] for a in monitor.ranked_accounts]
    by_week = [[name(label), *(monitor.weeks[w][label] for w in weeks), monitor.labels[label]] for label in labels]
    copies = [
        [len(c.accounts), c.documents, c.flagged, "；".join(c.accounts), c.cases[0].title] for c in monitor.copies
    ]
    cases = [
        [c.id, c.account, c.title, c.url, c.week, RISKS[c.risk], "是" if c.is_new else "", name(label), text]
        for c in monitor.cases
        for label, text in (c.evidence or [(label, "") for label in c.labels])
    ]
    write_workbook(
        target,
        [
            ("概况", ["项目", "篇数"], _figures(monitor)),
            ("账号", ["账号", "文章数", "高风险", "中风险", "低风险", "主要问题"], accounts),
            ("标签与周", ["标签", *weeks, "合计"], by_week),
            ("同文传播", ["账号数", "篇数", "有问题篇数", "账号", "标题"], copies),
            ("明细", ["编号", "账号", "标题", "链接", "周", "风险", "较上次新增", "标签", "证据"], cases),
        ],
    )


def _common(account: Account, rulebook: Rulebook) -> str:
    return "；".join(f"{rulebook.label(label).name} {count}" for label, count in account.labels.most_common(3))


def _figures(monitor: Monitor) -> list[list[object]]:
    figures: list[list[object]] = [["检查", monitor.documents]]
    figures += [[f"{RISKS[key]}风险", monitor.risks[key]] for key in RISK_ORDER]
    figures += [["未能读取", monitor.unread], ["未完整读取", monitor.partly_read], ["同文传播（组）", monitor.groups]]
    if monitor.compared:
        figures += [["较上次新增", sum(c.is_new for c in monitor.cases)], ["上次有问题、本次未再出现", monitor.gone]]
    return figures
