"""Files and pasted texts come in here, and what became of them is listed; the rest happens in the background."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from nlp_compliance.errors import InputError, LimitExceededError, NotThereError, ReceiveTimeoutError
from nlp_compliance.settings import Settings
from nlp_compliance.store import repository
from nlp_compliance.store.schema import Upload
from nlp_compliance.web.desk.pages import (
    Reviewer,
    Viewer,
    back,
    desk_of,
    is_row_number,
    names_of,
    page,
    page_number,
    pages_for,
)
from nlp_compliance.web.intake import accept

router = APIRouter(include_in_schema=False)
# Beside the form for new ones.
UPLOADS_SHOWN = 12


@router.post("/uploads")
async def upload(request: Request, user: Reviewer) -> Response:
    desk = desk_of(request)
    contents, previous = await _received(request, desk.settings)
    for name, data in contents:
        await run_in_threadpool(accept, desk.database, desk.files, name=name, data=data, by=user, previous_id=previous)
    desk.wake()
    return back("/")


@router.get("/uploads")
def uploads(
    request: Request, user: Viewer, unread: str = "", number: Annotated[str, Query(alias="page")] = "1"
) -> Response:
    """All uploads, or those of which something could not be read."""
    asked = page_number(number)
    with desk_of(request).database.reading() as session:
        total, found = repository.find_uploads(session, unread=bool(unread), page=asked)
        names = names_of(session)
    return page(
        request,
        "uploads.html",
        user=user,
        uploads=found,
        total=total,
        names=names,
        unread=bool(unread),
        number=asked,
        pages=pages_for(total),
        link=lambda page: f"/uploads?{'unread=1&' if unread else ''}page={page}",
    )


@router.get("/uploads/recent")
def recent(request: Request, user: Viewer) -> Response:
    """The newest uploads as a piece of the work list, which asks for it while they are worked off."""
    with desk_of(request).database.reading() as session:
        _, found = repository.find_uploads(session, size=UPLOADS_SHOWN)
    return page(request, "upload_rows.html", uploads=found, names={}, unread=False)


@router.get("/uploads/{identifier}")
def one_upload(
    request: Request, user: Viewer, identifier: int, number: Annotated[str, Query(alias="page")] = "1"
) -> Response:
    """One upload with everything that could not be read of it."""
    asked = page_number(number)
    with desk_of(request).database.reading() as session:
        found = session.get(Upload, identifier) if is_row_number(identifier) else None
        if found is None:
            raise NotThereError(f"没有编号为{identifier}的上传；可能已按保留期限删除")
        row = repository.upload_row(session, found)
        failures = repository.failures_of(session, identifier, page=asked)
        names = names_of(session)
    return page(
        request,
        "upload.html",
        user=user,
        row=row,
        failures=failures,
        names=names,
        number=asked,
        pages=pages_for(row.failures),
        link=lambda page: f"/uploads/{identifier}?page={page}",
    )


async def _received(request: Request, settings: Settings) -> tuple[list[tuple[str, bytes]], int | None]:
    """((name, bytes) of every file and of the pasted text, the document that this is a new version of)."""
    _check_length(request, settings.max_upload_bytes * settings.max_files)
    try:
        async with (
            asyncio.timeout(settings.max_receive_seconds),
            request.form(max_files=settings.max_files, max_fields=10, max_part_size=settings.max_upload_bytes) as form,
        ):
            text = str(form.get("text") or "").replace("\r\n", "\n")
            title = str(form.get("title") or "").strip()
            raw = str(form.get("previous") or "")
            given = [f for f in form.getlist("files") if not isinstance(f, str) and f.filename]
            contents = [(str(f.filename), await _bytes_of(f, settings.max_upload_bytes)) for f in given]
    except TimeoutError as error:
        raise ReceiveTimeoutError(f"上传超过{settings.max_receive_seconds}秒仍未完成；请检查网络后再试") from error
    except HTTPException as error:
        raise LimitExceededError(
            f"上传的内容不完整或超过限度：一次最多{settings.max_files}个文件，粘贴的文字最多{settings.max_upload_bytes}字节；"
            "请分几次上传"
        ) from error
    previous = int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 10 else None
    # A new version is the file where one is given; the text field then only repeats the old version.
    if text.strip() and not (previous and contents):
        # A title is no path: its slash must not cut it.
        contents.append(
            (f"{title.replace('/', '／').replace(chr(92), '＼') or '粘贴的文字'}.txt", text.encode("utf-8", "replace"))
        )
    if not contents:
        raise InputError("没有文件也没有文字；请选择文件、拖入文件，或粘贴文字")
    return contents, previous


def _check_length(request: Request, most: int) -> None:
    """Refuses before anything is read: a request says how long it is, and that is within bounds."""
    said = request.headers.get("content-length", "")
    if not said.isdigit() or int(said) > most:
        raise LimitExceededError(f"上传共{said or '未知'}字节，允许{most}字节；请分几次上传")


async def _bytes_of(upload: UploadFile | Any, limit: int) -> bytes:
    data: bytes = await upload.read(limit + 1)
    if len(data) > limit:
        raise LimitExceededError(f"文件“{upload.filename}”超过{limit}字节（max_upload_bytes）；请拆分后再上传")
    return data
