"""Files and pasted texts come in here; the rest happens in the background."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response, UploadFile
from starlette.concurrency import run_in_threadpool

from nlp_compliance.errors import InputError, LimitExceededError, ReceiveTimeoutError
from nlp_compliance.settings import Settings
from nlp_compliance.web.desk.pages import Reviewer, back, desk_of
from nlp_compliance.web.intake import accept

router = APIRouter(include_in_schema=False)


@router.post("/uploads")
async def upload(request: Request, user: Reviewer) -> Response:
    desk = desk_of(request)
    contents, previous = await _received(request, desk.settings)
    for name, data in contents:
        await run_in_threadpool(accept, desk.database, desk.files, name=name, data=data, by=user, previous_id=previous)
    desk.wake()
    return back("/")


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
