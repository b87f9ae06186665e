"""Forms of the document page: decisions on findings, verdict, approval, assignment, a sentence tried out."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Form, Request, Response

from nlp_compliance.errors import InputError
from nlp_compliance.records import Document
from nlp_compliance.report.terminal import clean_text
from nlp_compliance.store import audit, decisions
from nlp_compliance.store.schema import User
from nlp_compliance.web.desk import failures
from nlp_compliance.web.desk.pages import Approver, Reviewer, Viewer, back, desk_of, document_of, is_row_number

router = APIRouter(include_in_schema=False)


@router.post("/documents/{identifier}/decisions")
def decide(
    request: Request,
    user: Reviewer,
    identifier: int,
    action: Annotated[str, Form()],
    finding: Annotated[int, Form()] = 0,
    label: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
    rewrite: Annotated[str, Form()] = "",
    start: Annotated[int | None, Form()] = None,
    end: Annotated[int | None, Form()] = None,
) -> Response:
    with audit.changing(desk_of(request).database) as session:
        decisions.decide(
            session,
            document_of(session, identifier),
            by=user,
            finding=finding,
            action=action,
            label=label,
            start=start,
            end=end,
            reason=reason,
            rewrite=rewrite,
        )
    return back(f"/documents/{identifier}" + (f"#f{finding}" if finding else ""))


@router.post("/documents/{identifier}/verdict")
def verdict(
    request: Request,
    user: Reviewer,
    identifier: int,
    verdict: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
    seen: Annotated[str | None, Form()] = None,
) -> Response:
    desk = desk_of(request)
    with audit.changing(desk.database) as session:
        document = document_of(session, identifier)
        decisions.set_verdict(
            session,
            document,
            by=user,
            verdict=verdict,
            reason=reason,
            four_eyes=desk.settings.four_eyes,
            seen=seen,
        )
    return back(f"/documents/{identifier}#verdict")


@router.post("/documents/{identifier}/approval")
def approve(
    request: Request,
    user: Approver,
    identifier: int,
    agree: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
    seen: Annotated[str | None, Form()] = None,
) -> Response:
    with audit.changing(desk_of(request).database) as session:
        document = document_of(session, identifier)
        decisions.approve(session, document, by=user, agree=agree == "yes", reason=reason, seen=seen)
    return back(f"/documents/{identifier}#verdict")


@router.post("/documents/{identifier}/assignment")
def assign(request: Request, user: Reviewer, identifier: int, to: Annotated[int, Form()]) -> Response:
    with audit.changing(desk_of(request).database) as session:
        whom = session.get(User, to) if is_row_number(to) else None
        if to and (whom is None or not whom.active):
            raise InputError("负责人须是在用的人员")
        decisions.assign(session, document_of(session, identifier), to=whom, by=user)
    return back(f"/documents/{identifier}")


@router.post("/rewrite")
def rewrite(request: Request, user: Viewer, text: Annotated[str, Form()]) -> Response:
    """Checks a sentence as it stands now; nothing is kept."""
    checker = desk_of(request).checker
    try:
        report = checker.check(Document("", text.replace("\x00", "")))
    except InputError as error:
        raise InputError(failures.said(error.code, str(error))) from error
    found: list[dict[str, Any]] = [
        {"label": checker.rulebook.label(f.label).name, "text": f.text, "suggestion": f.suggestion}
        for f in report.findings
        if f.verdict == "violation" and f.text
    ]
    content = orjson.dumps({"findings": found, "clean": clean_text(report.promotional)})
    return Response(content, media_type="application/json")
