"""The rules page: read the rulebook, try a sentence, add the company's own terms, switch them, see who changed what."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from nlp_compliance.errors import InputError, NotThereError
from nlp_compliance.records import VIOLATION_LABELS
from nlp_compliance.store import audit, own_rules
from nlp_compliance.store.decisions import UNSEEN
from nlp_compliance.store.own_rules import Change
from nlp_compliance.web.desk.pages import Approver, Viewer, back, desk_of, is_row_number, page

router = APIRouter(include_in_schema=False)
KINDS = {"violation": "违规", "evidence_needed": "须有证明材料", "advisory": "提示"}
_CHANGES = {"rule.add": "添加", "rule.on": "启用", "rule.off": "停用"}
_SEPARATORS = re.compile(r"[\n,，、;；]+")
_MOST_TERMS = 50
_LONGEST = 500
_SHORTEST_TERM = 2
_FIELDS = {
    "label": "标签",
    "kind": "类型",
    "terms": "词语",
    "bad": "反例",
    "good": "正例",
    "exceptions": "例外",
    "reason": "理由",
    "suggestion": "修改建议",
}


@router.get("/rules")
def rules_page(request: Request, user: Viewer) -> Response:
    return _shown(request, user, error="", given=dict.fromkeys(_FIELDS, ""), status=200)


def _shown(request: Request, user: Any, *, error: str, given: dict[str, Any], status: int) -> Response:
    desk = desk_of(request)
    with desk.database.reading() as session:
        own = own_rules.all_rules(session)
        changes = [(c, _CHANGES[c.action], _rule_name(c)) for c in own_rules.history(session)]
    return page(
        request,
        "rules.html",
        status,
        user=user,
        rulebook=desk.rulebook,
        own=own,
        broken=desk.live.broken if desk.live else {},
        changes=changes,
        kinds=KINDS,
        silent="advisory" if not desk.settings.advisory else "",
        error=error,
        given=given,
    )


def _rule_name(change: Change) -> str:
    detail = json.loads(change.detail)
    return str(detail.get("rule") or detail.get("id") or change.rule)


@router.post("/rules")
def add_rule(
    request: Request,
    user: Approver,
    label: Annotated[str, Form()],
    terms: Annotated[str, Form()],
    bad: Annotated[str, Form()],
    good: Annotated[str, Form()],
    kind: Annotated[str, Form()] = "violation",
    exceptions: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    suggestion: Annotated[str, Form()] = "",
) -> Response:
    desk = desk_of(request)
    assert desk.live is not None
    given = dict(zip(_FIELDS, (label, kind, terms, bad, good, exceptions, reason, suggestion), strict=True))
    try:
        body = _body(given)
        with audit.changing(desk.database) as session:
            others = own_rules.active(session).bodies
            own_rules.add(session, desk.live.prove(body, others), by=user)
    except InputError as error:
        return _shown(request, user, error=str(error), given=given, status=422)
    desk.live.refresh()
    return back("/rules#own")


def _body(given: dict[str, str]) -> dict[str, Any]:
    """The entry of a rulebook file from the form. Raises InputError."""
    if given["label"] not in VIOLATION_LABELS:
        raise InputError("请选择标签")
    if given["kind"] not in KINDS:
        raise InputError("请选择类型")
    if long := [_FIELDS[name] for name, value in given.items() if len(value) > _LONGEST]:
        raise InputError(f"内容太长（{'、'.join(long)}），每项最多{_LONGEST}个字符")
    if unseen := [(_FIELDS[name], found[0]) for name, value in given.items() if (found := UNSEEN.search(value))]:
        said = "、".join(f"{name}：U+{ord(character):04X}" for name, character in unseen)
        raise InputError(f"内容含有看不见的控制字符（{said}）；请删去后再提交")
    terms, exceptions = _listed(given["terms"]), _listed(given["exceptions"])
    if len(terms) > _MOST_TERMS or len(exceptions) > _MOST_TERMS:
        raise InputError(f"每条规则最多{_MOST_TERMS}个词语和{_MOST_TERMS}个例外")
    if short := [term for term in terms if len(term) < _SHORTEST_TERM]:
        raise InputError(f"词语“{short[0]}”太短，会命中大量正常的句子；每个词语至少{_SHORTEST_TERM}个字")
    body: dict[str, Any] = {
        "label": given["label"],
        "kind": given["kind"],
        "terms": terms,
        "bad": given["bad"].strip(),
        "good": given["good"].strip(),
    }
    if exceptions:
        body["exceptions"] = exceptions
    return body | {name: given[name].strip() for name in ("reason", "suggestion") if given[name].strip()}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in _SEPARATORS.split(text) if part.strip()]


@router.post("/rules/{identifier}")
def switch_rule(request: Request, user: Approver, identifier: int, active: Annotated[str, Form()] = "") -> Response:
    desk = desk_of(request)
    assert desk.live is not None
    if not is_row_number(identifier):
        raise NotThereError(f"没有编号为{identifier}的自有规则")
    with audit.changing(desk.database) as session:
        own_rules.switch(session, identifier, active=bool(active), by=user)
    desk.live.refresh()
    return back("/rules#own")
