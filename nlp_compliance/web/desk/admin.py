"""Audit log, feedback exports, people."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Form, Request, Response
from sqlalchemy import select

from nlp_compliance.errors import NotThereError
from nlp_compliance.store import audit, feedback, people
from nlp_compliance.store.schema import AuditEntry, User
from nlp_compliance.web.desk import auditview
from nlp_compliance.web.desk.pages import Admin, Approver, back, desk_of, file_answer, is_row_number, page

router = APIRouter(include_in_schema=False)
_ENTRIES_SHOWN = 200


@router.get("/audit")
def audit_page(request: Request, user: Approver) -> Response:
    desk = desk_of(request)
    with desk.database.reading() as session:
        count, faults = audit.verify(session)
        query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(_ENTRIES_SHOWN)
        lines = [auditview.line(entry, lambda i: desk.rulebook.label(i).name) for entry in session.scalars(query)]
    return page(request, "audit.html", user=user, count=count, faults=faults, lines=lines)


@router.get("/audit.jsonl")
def audit_export(request: Request, user: Approver) -> Response:
    with desk_of(request).database.reading() as session:
        lines = [orjson.dumps(audit.row(e)) for e in audit.entries(session)]
    return file_answer(b"\n".join(lines) + b"\n", "audit.jsonl", "application/jsonl")


@router.get("/decisions.jsonl")
def training_feedback(request: Request, user: Approver) -> Response:
    with desk_of(request).database.reading() as session:
        rows = feedback.feedback_rows(session)
    return file_answer(b"".join(orjson.dumps(r) + b"\n" for r in rows), "decisions.jsonl", "application/jsonl")


@router.get("/label-studio.json")
def label_studio(request: Request, user: Approver) -> Response:
    with desk_of(request).database.reading() as session:
        rows = feedback.label_studio_rows(session)
    return file_answer(orjson.dumps(rows), "label-studio.json", "application/json")


@router.get("/people")
def people_page(request: Request, user: Admin) -> Response:
    with desk_of(request).database.reading() as session:
        users = list(session.scalars(select(User).order_by(User.id)))
    return page(request, "people.html", user=user, users=users)


@router.post("/people")
def add_person(
    request: Request,
    user: Admin,
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
    role: Annotated[str, Form()],
) -> Response:
    with desk_of(request).database.transaction() as session:
        people.create_user(session, name, password, role, by=user.name)
    return back("/people")


@router.post("/people/{identifier}")
def change_person(
    request: Request,
    user: Admin,
    identifier: int,
    role: Annotated[str, Form()],
    active: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
) -> Response:
    with desk_of(request).database.transaction() as session:
        person = session.get(User, identifier) if is_row_number(identifier) else None
        if person is None:
            raise NotThereError(f"没有编号为{identifier}的人员")
        people.change_user(session, person, by=user.name, role=role, active=bool(active), password=password or None)
    return back("/people")
