"""The document page, its original file and its exports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from nlp_compliance.errors import InputError, NotThereError
from nlp_compliance.ingest.image import shown
from nlp_compliance.store import audit, repository
from nlp_compliance.store.decisions import REOPENED, decisions_of, state_of
from nlp_compliance.store.schema import AuditEntry, Upload, User
from nlp_compliance.web.desk import exports, pagepicture, pdf, view
from nlp_compliance.web.desk.pages import Viewer, desk_of, document_of, file_answer, names_of, page

router = APIRouter(include_in_schema=False)
_PAGES_SHOWN = 40
_MAKERS = {
    "docx": exports.word_report,
    "xlsx": exports.excel_report,
    "pdf": pdf.pdf_report,
    "json": exports.json_report,
}


@router.get("/documents/{identifier}")
def document_page(request: Request, user: Viewer, identifier: int) -> Response:
    desk = desk_of(request)
    with desk.database.reading() as session:
        document = document_of(session, identifier)
        upload = session.get(Upload, document.upload_id)
        said = decisions_of(session, identifier)
        findings = view.shown_findings(document, said, desk.rulebook)
        versions = repository.versions(session, document)
        users = list(session.scalars(select(User).where(User.active.is_(True)).order_by(User.name)))
        names = names_of(session)
        reopened = audit.last(session, action=REOPENED, subject=f"document:{identifier}")
    assert upload is not None
    data = desk.files.get(upload.sha256) if document.name == upload.name else b""
    picture = shown(data) if data else None
    pages = view.pages_of(document) if data.startswith(pagepicture.PDF) else []
    numbers = {v.id: number for number, v in enumerate(versions, 1)}
    old = next((v for v in versions if v.id == document.previous_id), None)
    return page(
        request,
        "document.html",
        user=user,
        document=document,
        report=document.report,
        findings=findings,
        remaining=view.remaining_risk(findings),
        proofs=view.proofs(desk.rulebook),
        by_number={f.number: f for f in findings},
        segments=view.text_segments(document, findings),
        picture=picture.size if picture else None,
        outlines=view.outlines(document, findings) if picture else [],
        pages=pages,
        pages_shown=_PAGES_SHOWN,
        versions=versions,
        numbers=numbers,
        old=old,
        changes=view.changes(old, document),
        draft=view.rewritten(document, findings),
        seen=state_of(document, said),
        users=users,
        names=names,
        reopened=_said(reopened) if reopened and document.state == "open" else None,
        settings=desk.settings,
    )


def _said(entry: AuditEntry) -> dict[str, Any]:
    """Who opened the document again, when and why, with the verdict that stood till then."""
    return {"by": entry.user_name, "at": datetime.fromisoformat(entry.at), **orjson.loads(entry.detail)}


@router.get("/documents/{identifier}/pages/{number}")
def page_picture(request: Request, user: Viewer, identifier: int, number: int) -> Response:
    """A page of a PDF with a box around every finding, as SVG."""
    desk = desk_of(request)
    with desk.database.reading() as session:
        document = document_of(session, identifier)
        upload = session.get(Upload, document.upload_id)
        findings = view.shown_findings(document, decisions_of(session, identifier), desk.rulebook)
    assert upload is not None
    if number not in view.pages_of(document) or document.name != upload.name:
        raise NotThereError(f"该文档没有可显示的第{number}页")
    picture = pagepicture.of_stored(desk.files, upload.sha256, number)
    svg = pagepicture.as_svg(picture, view.outlines(document, findings, number))
    return Response(svg, media_type="image/svg+xml")


@router.get("/documents/{identifier}/original")
def original(request: Request, user: Viewer, identifier: int) -> Response:
    desk = desk_of(request)
    with desk.database.reading() as session:
        upload = session.get(Upload, document_of(session, identifier).upload_id)
    assert upload is not None
    data = desk.files.get(upload.sha256)
    # Only pictures are shown by the browser; anything else could carry scripts and is handed over as a file.
    if picture := shown(data):
        return Response(data, media_type=picture.media_type)
    return file_answer(data, upload.name, "application/octet-stream")


@router.get("/documents/{identifier}/export.{kind}")
def export(request: Request, user: Viewer, identifier: int, kind: str) -> Response:
    desk = desk_of(request)
    if kind not in _MAKERS:
        raise InputError(f"没有“{kind[:20]}”格式的导出，可用：{'、'.join(_MAKERS)}")
    with desk.database.transaction() as session:
        document = document_of(session, identifier)
        findings = view.shown_findings(document, decisions_of(session, identifier), desk.rulebook)
        names = names_of(session)
        audit.append(session, user=user.name, action="document.export", subject=f"document:{identifier}", kind=kind)
    data = _MAKERS[kind](document, findings, desk.rulebook, names)
    return file_answer(data, f"合规检查-{identifier}.{kind}", "application/octet-stream")
