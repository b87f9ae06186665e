"""What a scan met, counted while it is written and told at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from nlp_compliance.ingest.reader import Failure
from nlp_compliance.records import Document, Report
from nlp_compliance.rulebook import Rulebook

# Why an input failed, by the code of its error.
CAUSES = {
    "text_empty": "没有文字",
    "text_too_long": "文字超过上限",
    "text_encoding": "文字编码无法识别",
    "record_invalid": "表格行或列不可用",
    "format_unsupported": "不支持的文件格式",
    "file_unreadable": "无法打开（损坏、加密、无权限、指向文件夹的链接，或内容与扩展名不符）",
    "limit_exceeded": "超过设置的上限",
    "extra_missing": "缺少可选组件",
}
_SHOWN_LABELS = 8
_SHOWN_ACCOUNTS = 5
# Tables with more columns of their own than this keep the rest in JSONL and in the column `report` only.
_MOST_EXTRAS = 100


@dataclass(frozen=True, slots=True)
class Scanned:
    """One document with its report."""

    document: Document
    report: Report


@dataclass(slots=True)
class Summary:
    """Documents by risk, label and account, documents not fully read, failures; `extras` are the input's own columns."""

    risks: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    accounts: Counter[str] = field(default_factory=Counter)
    partly_read: int = 0
    failed: int = 0
    extras: dict[str, None] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """All counts but the failures as a dict that JSON can hold."""
        return {
            "risks": dict(self.risks),
            "labels": dict(self.labels),
            "accounts": dict(self.accounts),
            "partly_read": self.partly_read,
            "extras": dict(self.extras),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Summary:
        """The summary that gave `state`; an empty one of an empty dict."""
        return cls(
            risks=Counter(state.get("risks", {})),
            labels=Counter(state.get("labels", {})),
            accounts=Counter(state.get("accounts", {})),
            partly_read=state.get("partly_read", 0),
            extras=dict(state.get("extras", {})),
        )

    @property
    def documents(self) -> int:
        return sum(self.risks.values())

    def add(self, item: Scanned | Failure) -> None:
        if isinstance(item, Failure):
            self.failed += 1
            return
        report = item.report
        labels = {f.label for f in report.findings if f.verdict == "violation"}
        self.count(report.risk, labels, item.document.source.account, complete=report.coverage.complete)

    def add_line(self, line: bytes) -> None:
        """A row of output as JSON."""
        row = orjson.loads(line)
        labels = {f["label"] for f in row["findings"] if f["verdict"] == "violation"}
        self.count(row["risk"], labels, row["source"].get("account"), complete=row["coverage"]["complete"])
        for name in row.get("extra", ()):
            if len(self.extras) < _MOST_EXTRAS:
                self.extras.setdefault(name)

    def count(self, risk: str, labels: Iterable[str], account: str | None, *, complete: bool) -> None:
        """One document. Accounts count where there is a risk."""
        self.risks[risk] += 1
        self.labels.update(labels)
        self.partly_read += not complete
        if account and risk != "none":
            self.accounts[account] += 1


def summary_text(summary: Summary, rulebook: Rulebook) -> str:
    """The end of a scan for its user, in Chinese, one to three lines."""
    names = (("high", "高风险"), ("medium", "中风险"), ("low", "低风险"), ("none", "无风险"))
    risks = "，".join(f"{name}{summary.risks[key]}" for key, name in names)
    lines = [
        f"共{summary.documents}篇：{risks}；未能读取{summary.failed}，未完整读取{summary.partly_read}",
    ]
    if summary.labels:
        labels = {rulebook.label(label).name: count for label, count in summary.labels.items()}
        lines.append("问题：" + _most(Counter(labels), _SHOWN_LABELS, "类"))
    if summary.accounts:
        lines.append("有风险的账号：" + _most(summary.accounts, _SHOWN_ACCOUNTS, "个账号"))
    return "\n".join(lines)


def _most(counts: Counter[str], shown: int, unit: str) -> str:
    listed = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    text = "，".join(f"{name} {count}篇" for name, count in listed[:shown])
    return text + (f"，另有{len(listed) - shown}{unit}" if len(listed) > shown else "")
