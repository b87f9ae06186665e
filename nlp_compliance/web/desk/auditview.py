"""Audit entries as an officer reads them: actions and details in Chinese, hashes shortened. The log itself stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nlp_compliance.scan.outputs import RISKS
from nlp_compliance.store.decisions import VERDICTS
from nlp_compliance.store.people import ROLES
from nlp_compliance.store.schema import AuditEntry
from nlp_compliance.web.desk import failures
from nlp_compliance.web.desk.moments import second

ACTIONS = {
    "upload.add": "上传",
    "upload.done": "检查完成",
    "upload.failed": "检查失败",
    "document.judged": "得出检查结果",
    "document.verdict": "给出结论",
    "document.approve": "复核同意",
    "document.reopen": "复核不同意",
    "document.assign": "分配",
    "document.export": "导出",
    "finding.accept": "确认问题",
    "finding.dismiss": "排除问题",
    "finding.withdraw": "撤回补充的问题",
    "finding.relabel": "改标签",
    "finding.rewrite": "改写",
    "finding.add": "补充问题",
    "rule.add": "添加规则",
    "rule.on": "启用规则",
    "rule.off": "停用规则",
    "user.create": "添加人员",
    "user.change": "修改人员",
    "user.login": "登录",
    "user.locked": "锁定",
    "user.password": "修改口令",
    "key.create": "新建密钥",
    "key.revoke": "停用密钥",
    "retention.purge": "到期删除",
}
_SUBJECTS = {"upload": "上传", "document": "文档", "user": "人员", "rule": "自有规则", "key": "密钥"}
_NAMES = {
    "name": "名称",
    "sha256": "文件哈希",
    "text_sha256": "文本哈希",
    "documents": "篇数",
    "failures": "未读",
    "message": "原因",
    "risk": "风险",
    "verdict": "结论",
    "reason": "理由",
    "finding": "问题",
    "label": "标签",
    "rewrite": "改写为",
    "to": "负责人",
    "kind": "类型",
    "role": "角色",
    "active": "在用",
    "password": "换口令",
    "scopes": "权限",
    "rule": "规则",
    "id": "规则",
    "terms": "词语",
}
_SHORT_HASH = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, ready to be shown; `link` leads to the document where there is one."""

    number: int
    at: str
    user: str
    action: str
    code: str
    subject: str
    link: str
    detail: str


def line(entry: AuditEntry, label_name: Callable[[str], str]) -> Line:
    kind, _, number = entry.subject.partition(":")
    subject = f"{_SUBJECTS[kind]}{number}" if kind in _SUBJECTS else entry.subject
    return Line(
        number=entry.id,
        at=second(entry.at),
        user=entry.user_name,
        action=ACTIONS.get(entry.action, entry.action),
        code=entry.action,
        subject=subject,
        link=f"/documents/{number}" if kind == "document" else "",
        detail=_readable(entry.detail, label_name),
    )


def _readable(detail: str, label_name: Callable[[str], str]) -> str:
    """The details in Chinese; one that somebody tampered with is shown as it is, so that the page never fails on it."""
    try:
        return " · ".join(_parts(json.loads(detail), label_name))
    except (ValueError, KeyError, TypeError, AttributeError):
        return detail


def _parts(detail: dict[str, Any], label_name: Callable[[str], str]) -> list[str]:
    out = []
    for key, name in _NAMES.items():
        value = detail.get(key)
        if value in (None, "", []):
            continue
        out.append(f"{name} {_shown(key, value, label_name)}")
    if model := detail.get("model"):
        out.append(f"规则库 {model['rulebook']} · 模型 {model['name']} {model['version']}")
    return out


def _shown(key: str, value: Any, label_name: Callable[[str], str]) -> str:
    if key in ("sha256", "text_sha256"):
        return f"{str(value)[:_SHORT_HASH]}…"
    if isinstance(value, bool):
        return "是" if value else "否"
    if key == "label":
        return label_name(value)
    if key == "message":
        # What entries of earlier versions say is Chinese already.
        return failures.known(value) or str(value)
    if key == "finding":
        return f"第{value}条" if value else "补充"
    if isinstance(value, list):
        return "、".join(map(str, value))
    tables: dict[str, Mapping[str, str]] = {"risk": RISKS, "verdict": VERDICTS, "role": ROLES}
    return str(tables.get(key, {}).get(value, value))
