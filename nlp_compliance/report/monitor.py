"""The monitoring report over a finished scan: who publishes what, since when, and who copies whom.

First `gather` computes, then `write_monitor` writes HTML or xlsx. Rows stream; only documents with findings are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, StrictUndefined

from nlp_compliance.errors import InputError
from nlp_compliance.records import LABELS
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.outputs import RISKS, write_workbook

UNKNOWN_ACCOUNT = "（未注明账号）"
# Values of one MinHash that must agree for two texts to count as one copy, as a share.
_NEAR = 0.7
# The sketch is cut into bands of this many values; texts that share a band are compared.
_BAND_HEX = 4 * 8
_VALUE_HEX = 8
_SHOWN_DOCUMENTS = 300
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
    minhash: str
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
    """Documents that spread one copy, in order of the scan."""

    cases: tuple[Case, ...]

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c.account for c in self.cases))


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
    partly_read: int = 0
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


def gather(results: Path, previous: Path | None = None) -> Monitor:
    """The figures of one scan (`.jsonl`), against an earlier one. Raises InputError naming the line that is no result."""
    before = {row["id"]: _labels(row) for row in _rows(previous)} if previous else {}
    monitor = Monitor(compared=previous is not None)
    seen: set[str] = set()
    for row in _rows(results):
        seen.add(row["id"])
        _count(monitor, row, before)
    monitor.gone = sum(1 for identifier, labels in before.items() if labels and identifier not in seen)
    monitor.cases.sort(key=lambda c: ("high", "medium", "low", "none").index(c.risk))
    monitor.copies = _copies(monitor.cases)
    return monitor


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = orjson.loads(line)
                row["findings"], row["risk"], row["id"]
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: line {number} is no result of a scan; give the .jsonl that scan wrote"
                ) from error
            yield row


def _labels(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f["label"] for f in row["findings"] if f["verdict"] == "violation"))


def _count(monitor: Monitor, row: dict[str, Any], before: dict[str, tuple[str, ...]]) -> None:
    source, labels = row.get("source", {}), _labels(row)
    name = source.get("account") or UNKNOWN_ACCOUNT
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
    week = _week(source.get("published"))
    monitor.weeks[week].update(labels)
    evidence = tuple((f["label"], f["text"]) for f in row["findings"] if f["verdict"] == "violation" and f["text"])
    monitor.cases.append(
        Case(
            id=row["id"],
            account=name,
            title=source.get("title") or row["id"],
            url=_link(source.get("url")),
            week=week,
            risk=row["risk"],
            labels=labels,
            evidence=evidence,
            minhash=row.get("copy", {}).get("minhash", ""),
            is_new=monitor.compared and not set(labels) <= set(before.get(row["id"], ())),
        )
    )


def _link(url: str | None) -> str:
    """Only web addresses become links; anything else could run in the reader's browser."""
    return url if url and url.startswith(("https://", "http://")) else ""


def _week(published: str | None) -> str:
    if not published:
        return "未注明日期"
    year, week, _ = date.fromisoformat(published[:10]).isocalendar()
    return f"{year}年第{week:02}周"


def _copies(cases: Iterable[Case]) -> list[Copies]:
    """Groups of near-identical texts, the widest spread first (MinHash with banding, joined by union-find)."""
    pool = [c for c in cases if c.minhash]
    parent = list(range(len(pool)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    buckets: dict[tuple[int, str], int] = {}
    for i, case in enumerate(pool):
        for start in range(0, len(case.minhash), _BAND_HEX):
            first = buckets.setdefault((start, case.minhash[start : start + _BAND_HEX]), i)
            if first != i and _alike(pool[first].minhash, case.minhash):
                parent[root(i)] = root(first)
    groups: dict[int, list[Case]] = defaultdict(list)
    for i, case in enumerate(pool):
        groups[root(i)].append(case)
    found = [Copies(tuple(g)) for g in groups.values() if len(g) > 1]
    return sorted(found, key=lambda c: (len(c.accounts), len(c.cases)), reverse=True)


def _alike(a: str, b: str) -> bool:
    starts = range(0, min(len(a), len(b)), _VALUE_HEX)
    same = sum(a[i : i + _VALUE_HEX] == b[i : i + _VALUE_HEX] for i in starts)
    return same >= _NEAR * len(starts)


def write_monitor(target: Path, monitor: Monitor, rulebook: Rulebook) -> None:
    """Writes `target` as .html or .xlsx. Raises InputError for any other suffix."""
    writers = {".html": _html, ".xlsx": _xlsx}
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise InputError(f"{target}: the suffix is {target.suffix or 'absent'}; allowed: {', '.join(writers)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    writer(target, monitor, rulebook)


def _html(target: Path, monitor: Monitor, rulebook: Rulebook) -> None:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = (files("nlp_compliance") / "resources" / "templates" / "monitor.html").read_text(encoding="utf-8")
    page = environment.from_string(source).render(
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
    target.write_text(page, encoding="utf-8")


def _xlsx(target: Path, monitor: Monitor, rulebook: Rulebook) -> None:
    def name(label: str) -> str:
        return rulebook.label(label).name

    labels = [label for label in LABELS if monitor.labels[label]]
    weeks = sorted(monitor.weeks)
    accounts = [[a.name, a.documents, *a.rank, _common(a, rulebook)] for a in monitor.ranked_accounts]
    by_week = [[name(label), *(monitor.weeks[w][label] for w in weeks), monitor.labels[label]] for label in labels]
    copies = [[len(c.accounts), len(c.cases), "；".join(c.accounts), c.cases[0].title] for c in monitor.copies]
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
            ("同文传播", ["账号数", "篇数", "账号", "标题"], copies),
            ("明细", ["编号", "账号", "标题", "链接", "周", "风险", "较上次新增", "标签", "证据"], cases),
        ],
    )


def _common(account: Account, rulebook: Rulebook) -> str:
    return "；".join(f"{rulebook.label(label).name} {count}" for label, count in account.labels.most_common(3))


def _figures(monitor: Monitor) -> list[list[object]]:
    figures: list[list[object]] = [["检查", monitor.documents]]
    figures += [[f"{RISKS[key]}风险", monitor.risks[key]] for key in ("high", "medium", "low", "none")]
    figures += [["未完整读取", monitor.partly_read], ["同文传播（组）", len(monitor.copies)]]
    if monitor.compared:
        figures += [["较上次新增", sum(c.is_new for c in monitor.cases)], ["上次有问题、本次未再出现", monitor.gone]]
    return figures
