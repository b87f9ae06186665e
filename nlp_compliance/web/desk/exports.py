"""The marked document and its report as Word and Excel, in Chinese, for files that must be kept; and as JSON."""

from __future__ import annotations

import io
import re
from typing import Any

import docx
import orjson
from docx.enum.text import WD_COLOR_INDEX, WD_UNDERLINE

from nlp_compliance.report.terminal import DOUBTFUL
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.outputs import RISKS, workbook_bytes
from nlp_compliance.store.decisions import ACTIONS, VERDICTS
from nlp_compliance.store.schema import Decision, StoredDocument
from nlp_compliance.web.desk.failures import unread
from nlp_compliance.web.desk.moments import moment
from nlp_compliance.web.desk.view import Shown, remaining_risk, text_segments

SEVERITIES = {"high": "高", "medium": "中", "low": "低", "info": "提示"}
_COLOURS = {"high": WD_COLOR_INDEX.PINK, "medium": WD_COLOR_INDEX.YELLOW, "low": WD_COLOR_INDEX.TURQUOISE}
# XML 1.0 has no place for these, and uploaded texts may hold them.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def law(basis: dict[str, Any]) -> str:
    article = f"第{basis['article']}条" if basis["article"] else ""
    return f"《{basis['law']}》{article}：{basis['summary']}"


def word_report(document: StoredDocument, findings: list[Shown], rulebook: Rulebook, people: dict[int, str]) -> bytes:
    """The text with evidence marked and numbered, then every finding with decision, law and advice."""
    word = docx.Document()
    word.add_heading(clean(document.title or document.name), 1)
    for line in facts(document, findings, people):
        word.add_paragraph(line)
    word.add_heading("原文标注", 2)
    paragraph = word.add_paragraph()
    for segment, grave in text_segments(document, findings):
        run = paragraph.add_run(clean(segment.text))
        if grave and grave != "dismissed":
            run.font.underline = WD_UNDERLINE.SINGLE
            run.font.highlight_color = _COLOURS.get(grave)
            paragraph.add_run("[" + ",".join(map(str, segment.findings)) + "]").font.superscript = True
    word.add_heading("问题清单", 2)
    for shown in findings:
        found = shown.finding
        word.add_heading(f"{shown.number}. {rulebook.label(found['label']).name}（{SEVERITIES[found['severity']]}）", 3)
        for title, value in lines_of(shown, rulebook):
            word.add_paragraph(clean(f"{title}：{value}"))
    stream = io.BytesIO()
    word.save(stream)
    return stream.getvalue()


def clean(text: str) -> str:
    """Without characters that XML cannot hold."""
    return _NO_XML.sub("", text)


def facts(document: StoredDocument, findings: list[Shown], people: dict[int, str]) -> list[str]:
    """What stands at the head of every export: risk, hash, versions, verdict, what was not read."""
    report = document.report
    remaining = remaining_risk(findings)
    lines = [
        f"风险：机器判定{RISKS[document.risk]}，人工处理后{RISKS[remaining] if remaining else '（尚未处理）'}",
        f"适用{report['as_of']}有效的规定",
        f"文本SHA-256：{document.text_sha256}",
        f"规则库 {report['model']['rulebook']}，模型 {report['model']['name']} {report['model']['version']}",
    ]
    if report["promotional"].get("review"):
        lines.append(f"{DOUBTFUL}；未检查披露")
    if document.verdict and document.verdict_at:
        by = people.get(document.verdict_by or 0, "")
        waiting = "，待复核" if document.state == "decided" else ""
        lines.append(
            f"结论：{VERDICTS[document.verdict]}（{by}，{moment(document.verdict_at)}，北京时间{waiting}）{document.verdict_reason or ''}"
        )
    if document.approved_by and document.approved_at:
        lines.append(f"复核：{people.get(document.approved_by, '')}（{moment(document.approved_at)}，北京时间）")
    return [clean(f) for f in [*lines, *(f"未读：{unread(u)}" for u in report["coverage"]["unread"])]]


def marks_of(shown: Shown, rulebook: Rulebook) -> list[str]:
    """What a finding says of itself besides its label, in the words of the page."""
    found = shown.finding
    score = [] if found["score"] is None else [f"可信度{found['score']:.0%}"]
    marks = {
        "建议人工复核": found["review"],
        "须有证明材料": found["verdict"] == "evidence_needed",
        "仅提示条款": found["pointer_only"],
    }
    former = [f"机器原标签：{rulebook.label(shown.former_label).name}"] if shown.former_label else []
    return [*former, *score, *(name for name, on in marks.items() if on)]


def lines_of(shown: Shown, rulebook: Rulebook) -> list[tuple[str, str]]:
    """(heading, text) of everything that is known about a finding."""
    found = shown.finding
    lines = [("提示", "；".join(marks))] if (marks := marks_of(shown, rulebook)) else []
    lines += [("证据", found["text"])] if found["text"] else []
    lines += [("触发表述", e["text"]) for e in found["evidence"]]
    lines += [("理由", found["reason"]), *((("建议", found["suggestion"]),) if found["suggestion"] else ())]
    lines += [("依据", law(b)) for b in found["basis"]]
    for decision, name in shown.decisions:
        done = f"{_action(decision, rulebook)}，{name}，{moment(decision.created_at)}（北京时间） {decision.reason}"
        lines.append(("处理", done))
        if decision.rewrite:
            lines.append(("改写为", decision.rewrite))
    return lines


def _action(decision: Decision, rulebook: Rulebook) -> str:
    """What was decided, with the label where a person chose one."""
    label = f"为{rulebook.label(decision.label).name}" if decision.action in ("relabel", "add") else ""
    return ACTIONS[decision.action] + label


def excel_report(document: StoredDocument, findings: list[Shown], rulebook: Rulebook, people: dict[int, str]) -> bytes:
    """The same as a workbook: one sheet of facts, one of findings."""
    rows = []
    for shown in findings:
        found = shown.finding
        last = shown.decisions[0] if shown.decisions else None
        rows.append(
            [
                shown.number,
                rulebook.label(found["label"]).name,
                SEVERITIES[found["severity"]],
                found["text"] or "；".join(e["text"] for e in found["evidence"]),
                found["reason"],
                found["suggestion"],
                "\n".join(law(b) for b in found["basis"]),
                "；".join(marks_of(shown, rulebook)),
                _action(last[0], rulebook) if last else "",
                last[0].reason if last else "",
                last[1] if last else "",
                shown.rewrite,
            ]
        )
    head = ["序号", "标签", "严重程度", "证据", "理由", "建议", "依据", "提示", "处理", "处理理由", "处理人", "改写为"]
    about = [[line] for line in [document.title or document.name, *facts(document, findings, people)]]
    return workbook_bytes([("问题清单", head, rows), ("概况", ["概况"], about)])


def json_report(document: StoredDocument, findings: list[Shown], rulebook: Rulebook, people: dict[int, str]) -> bytes:
    """The report as the endpoint gives it, and under `review` what people made of it (docs/desk.md)."""
    # Two that were added at one place share what was said of it.
    said = {decision.id: (decision, name) for shown in findings for decision, name in shown.decisions}
    review = {
        "state": document.state,
        "verdict": document.verdict,
        "reason": document.verdict_reason,
        "by": people.get(document.verdict_by or 0),
        "at": document.verdict_at,
        "approved_by": people.get(document.approved_by or 0),
        "approved_at": document.approved_at,
        "remaining_risk": remaining_risk(findings),
        "decisions": [
            {
                "finding": decision.finding or None,
                "action": decision.action,
                "label": decision.label,
                "start": decision.start,
                "end": decision.end,
                "reason": decision.reason,
                "rewrite": decision.rewrite,
                "by": name,
                "at": decision.created_at,
            }
            for _, (decision, name) in sorted(said.items())
        ],
    }
    return orjson.dumps(document.report | {"review": review}, option=orjson.OPT_INDENT_2)
