"""Files of platforms: accepted at once, judged in the background, asked for by id. A key sees only its own uploads."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from nlp_compliance.errors import EmptyTextError, InputError, NotReadyError, NotThereError, TextTooLongError
from nlp_compliance.records import Report
from nlp_compliance.store import repository
from nlp_compliance.store.schema import ReadFailure, StoredDocument, Upload
from nlp_compliance.web import errors
from nlp_compliance.web.access import Caller
from nlp_compliance.web.body import json_answer, read_file, read_json
from nlp_compliance.web.intake import accept, shown_name
from nlp_compliance.web.scoring import caller_of

router = APIRouter(tags=["documents"])
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}")
_POLL_S = 2


class TextUpload(BaseModel):
    """A text instead of a file."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="Text as it will be published")
    name: str = Field(default="文字.txt", max_length=200, description="Shown to the reviewers")


class Status(BaseModel):
    """Where an upload stands: queued, running, done or failed."""

    id: str
    name: str
    status: str
    documents: int = Field(description="Texts found and judged so far; a zip holds many")
    failures: int = Field(description="Parts that could not be read")
    status_url: str
    result_url: str


class Review(BaseModel):
    """How far the reviewers are with a text."""

    state: str = Field(description="open, decided (waits for a second person) or approved (final)")
    verdict: str | None = Field(description="pass, return or block once the state is approved, else null")


class Judged(BaseModel):
    """One text of an upload."""

    ordinal: int = Field(description="Its number in the upload, from 0")
    name: str = Field(description="The file, with its place where it stood in a package or table")
    text_sha256: str = Field(description="Hash of the text to which the report's offsets belong")
    report: Report
    review: Review


class Unread(BaseModel):
    """A part of an upload that could not be read or judged."""

    name: str
    code: str = Field(description="Stable; see the tables of codes")
    message: str


class Result(Status):
    """A finished upload."""

    error: str | None = Field(description="The first message of `unread` where the status is failed, else null")
    results: list[Judged]
    unread: list[Unread]


_FORM: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
            "description": "The same key and file give the same upload again, so that a request can be repeated safely",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {"schema": TextUpload.model_json_schema()},
        },
    },
}


@router.post(
    "/v1/documents",
    status_code=202,
    summary="Send a file or a text; the answer says where status and result are",
    response_model=Status,
    openapi_extra=_FORM,
    responses=errors.described(401, 403, 408, 409, 413, 415, 422, 429, 503),
)
async def submit(request: Request) -> Response:
    caller = await caller_of(request, "documents")
    desk, limit = request.app.state.desk, request.app.state.settings.max_upload_bytes
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InputError(
            f"the header Idempotency-Key has {len(key)} characters; allowed are 1 to 128 printable ASCII characters "
            "without blanks; send a UUID, for example"
        )
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        name, data = await read_file(request, limit)
    else:
        given = await read_json(request, limit, TextUpload)
        if not given.text.strip():
            raise EmptyTextError("the text is empty; send the text as it was or will be published")
        longest = request.app.state.settings.max_text_chars
        if len(given.text) > longest:
            raise TextTooLongError(
                f"the text has {len(given.text)} characters; allowed: {longest} (max_text_chars); split it"
            )
        name = shown_name(given.name)
        name = name if name.lower().endswith(".txt") else f"{name}.txt"
        # Content decides how a file is read; the mark of UTF-8 says that this is no package, picture or PDF.
        # NUL would say that it is one after all; what is kept of a text has U+FFFD in its place, so offsets stay.
        data = given.text.replace("\0", "\ufffd").encode("utf-8-sig")
    upload = await run_in_threadpool(
        accept, desk.database, desk.files, name=name, data=data, key=caller.key, idempotency_key=key
    )
    desk.wake()
    row = _row(upload, 0, 0)
    return json_answer(row, 202, {"Location": row["status_url"], "Retry-After": str(_POLL_S)})


@router.get(
    "/v1/documents/{identifier}",
    summary="Where an upload stands",
    response_model=Status,
    responses=errors.described(401, 403, 404, 422, 429, 503),
)
async def status(request: Request, identifier: str) -> Response:
    caller = await caller_of(request, "documents")
    return json_answer(await run_in_threadpool(_status, request.app.state.desk, caller, identifier))


@router.get(
    "/v1/documents/{identifier}/result",
    summary="Reports of an upload that is finished, and what the reviewers decided so far",
    response_model=Result,
    responses=errors.described(401, 403, 404, 409, 422, 429, 503),
)
async def result(request: Request, identifier: str) -> Response:
    caller = await caller_of(request, "documents")
    return json_answer(await run_in_threadpool(_result, request.app.state.desk, caller, identifier))


def _row(upload: Upload, documents: int, failures: int) -> dict[str, Any]:
    url = f"/v1/documents/{upload.id}"
    return {
        "id": str(upload.id),
        "name": upload.name,
        "status": upload.status,
        "documents": documents,
        "failures": failures,
        "status_url": url,
        "result_url": f"{url}/result",
    }


def _own(session: Session, caller: Caller, identifier: str) -> Upload:
    """The upload, if it is the caller's. Whoever calls without a key of his own sees what came without one."""
    number = int(identifier) if re.fullmatch(r"[0-9]{1,9}", identifier) else 0
    upload = session.get(Upload, number)
    mine = caller.key.id if caller.key else None
    if upload is None or upload.key_id != mine or upload.owner_id is not None:
        raise NotThereError(
            f"this key has no upload {identifier[:20]!r}; ask with the key that sent it, or send it again if it was "
            "deleted after the time of retention"
        )
    return upload


def _parts(session: Session, upload: Upload) -> tuple[list[StoredDocument], list[ReadFailure]]:
    documents = select(StoredDocument).where(StoredDocument.upload_id == upload.id).order_by(StoredDocument.ordinal)
    failures = select(ReadFailure).where(ReadFailure.upload_id == upload.id).order_by(ReadFailure.id)
    return list(session.scalars(documents)), list(session.scalars(failures))


def _status(desk: Any, caller: Caller, identifier: str) -> dict[str, Any]:
    with desk.database.reading() as session:
        upload = _own(session, caller, identifier)
        return _row(upload, *repository.kept(session, upload.id))


def _result(desk: Any, caller: Caller, identifier: str) -> dict[str, Any]:
    with desk.database.reading() as session:
        upload = _own(session, caller, identifier)
        if upload.status in ("queued", "running"):
            raise NotReadyError(
                f"upload {upload.id} is {upload.status}; ask again after the seconds in Retry-After",
                retry_after_s=_POLL_S,
            )
        documents, failures = _parts(session, upload)
        return {
            **_row(upload, len(documents), len(failures)),
            "error": upload.error,
            "results": [
                {
                    "ordinal": d.ordinal,
                    "name": d.name,
                    "text_sha256": d.text_sha256,
                    "report": d.report,
                    "review": {"state": d.state, "verdict": d.verdict if d.state == "approved" else None},
                }
                for d in documents
            ],
            "unread": [{"name": f.name, "code": f.code, "message": f.message} for f in failures],
        }
