"""Findings on a terminal: the sentence with its evidence underlined, the law, the advice."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nlp_compliance.ingest.reader import Failure
from nlp_compliance.records import Basis, Document, Finding, Promotional, Report
from nlp_compliance.report.segments import numbered
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.summary import Scanned, Summary
from nlp_compliance.severity import RISK_ORDER

STYLES = {"high": "bold red", "medium": "bold yellow", "low": "cyan", "info": "blue", "none": "green"}
SEVERITIES = {"high": "高", "medium": "中", "low": "低", "info": "提示", "none": "无"}
DOUBTFUL = "是否属于保险宣传材料存疑，建议人工复核"
_CONTEXT_CHARS = 24


def law_name(basis: Basis) -> str:
    """A law as officers cite it; without an article number where none is verified."""
    title = basis.law.replace("《", "〈").replace("》", "〉")
    return f"《{title}》" + (f"第{basis.article}条" if basis.article else "")


def law_text(basis: Basis) -> str:
    """The citation with what the provision says."""
    return f"{law_name(basis)}：{basis.summary}"


def duty_text(report: Report) -> Text:
    """The benefit claims that raised the duties which the missing disclosures owe; they are the same for all of these."""
    evidence = next((f.evidence for f in report.findings if f.evidence), ())
    return Text("触发披露义务的表述：" + "、".join(f"“{_one_line(e.text)}”" for e in evidence[:3]), style="dim")


def excerpt(text: str, finding: Finding) -> Text:
    """The evidence underlined in a little of its surroundings, on one line."""
    if finding.start is None or finding.end is None:
        return Text("全文未见，只提示详见条款" if finding.pointer_only else "全文未见")
    before = text[max(0, finding.start - _CONTEXT_CHARS) : finding.start]
    after = text[finding.end : finding.end + _CONTEXT_CHARS]
    out = Text(("…" if finding.start > _CONTEXT_CHARS else "") + _one_line(before))
    # Brackets show the borders where no underline can: in a file, in a pipe, in a log.
    out.append(f"【{_one_line(text[finding.start : finding.end])}】", style=f"underline {STYLES[finding.severity]}")
    out.append(_one_line(after) + ("…" if finding.end + _CONTEXT_CHARS < len(text) else ""))
    return out


def clean_text(promotional: Promotional) -> str:
    """What is said of a text without findings."""
    if promotional.value:
        return "未发现问题"
    return f"{DOUBTFUL}；未发现问题" if promotional.review else "非保险宣传材料，未发现问题"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _finding(number: int, finding: Finding, text: str, rulebook: Rulebook) -> RenderableType:
    head = Text(f"{number}. {rulebook.label(finding.label).name}", style=STYLES[finding.severity])
    head.append(f"  严重程度 {SEVERITIES[finding.severity]}  可信度 {finding.score:.0%}", style="dim")
    if finding.review:
        head.append("  建议人工复核", style="magenta")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=4, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("证据", excerpt(text, finding))
    grid.add_row("依据", Text("；".join(law_name(b) for b in finding.basis)))
    grid.add_row("原因", finding.reason)
    grid.add_row("建议", Text(finding.suggestion, style="green"))
    return Group(head, Padding(grid, (0, 0, 0, 3)))


def document_view(document: Document, report: Report, rulebook: Rulebook) -> RenderableType:
    """One document as a panel."""
    title = document.source.title or document.id or "文本"
    parts: list[RenderableType] = [_finding(n, f, document.text, rulebook) for n, f in numbered(report)]
    if not parts:
        parts = [Text(clean_text(report.promotional), style="green")]
    elif report.promotional.review:
        parts.insert(0, Text(DOUBTFUL, style="magenta"))
    if any(f.evidence for f in report.findings):
        parts.append(duty_text(report))
    parts += [Text(f"未读：{part}", style="magenta") for part in report.coverage.unread]
    risk = f"风险 {SEVERITIES[report.risk]}"
    return Panel(
        Group(*parts),
        title=Text(f"{title} · {risk}", style=STYLES[report.risk]),
        title_align="left",
        subtitle=Text(f"适用 {report.as_of} 有效的规定", style="dim"),
        subtitle_align="left",
    )


def summary_view(summary: Summary, rulebook: Rulebook) -> RenderableType:
    """Documents by risk and by label."""
    table = Table(title=f"共 {summary.documents} 篇，未能读取 {summary.failed}，未完整读取 {summary.partly_read}")
    table.add_column("项目")
    table.add_column("篇数", justify="right")
    for risk in RISK_ORDER:
        table.add_row(Text(f"风险{SEVERITIES[risk]}", style=STYLES[risk]), str(summary.risks[risk]))
    for label, count in sorted(summary.labels.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(rulebook.label(label).name, str(count))
    return table


def print_results(console: Console, results: Iterable[Scanned | Failure], rulebook: Rulebook, summary: Summary) -> None:
    """Print every result as it comes, then the summary."""
    for item in results:
        summary.add(item)
        if isinstance(item, Failure):
            console.print(Text(f"未能读取 {item.id}：{item.error}", style="red"))
        else:
            console.print(document_view(item.document, item.report, rulebook))
    console.print(summary_view(summary, rulebook))
