"""What all pages share: who is logged in, rendering, answers, errors as pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from nlp_compliance.errors import ForbiddenError, NlpComplianceError, NotThereError, StoreError, UnauthorizedError
from nlp_compliance.store import people
from nlp_compliance.store.repository import PAGE_SIZE
from nlp_compliance.store.schema import StoredDocument, User
from nlp_compliance.web import errors
from nlp_compliance.web.desk.state import Desk
from nlp_compliance.web.policy import PAGE_HEADERS

log = logging.getLogger("nlp_compliance.web")
_LAST_PAGE = 100_000
# Everything below these is called by programs and gets errors as JSON.
PROGRAM_PATHS = ("/v1/", "/healthz", "/readyz", "/metrics")


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


class NeedsLoginError(UnauthorizedError):
    """Nobody is logged in; pages answer with the login form."""


def person(request: Request) -> User:
    """The person logged in. Raises NeedsLoginError."""
    known = request.session.get("user")
    if known is not None:
        with desk_of(request).database.reading() as session:
            user = session.get(User, known[0])
        if user is not None and user.active and user.session_epoch == known[1]:
            request.state.caller = f"user:{user.id}"
            return user
    raise NeedsLoginError("请先登录")


def _with_role(role: str) -> Callable[[Request], User]:
    def checked(request: Request) -> User:
        user = person(request)
        if not people.may(user, role):
            raise ForbiddenError(f"该操作需要“{people.ROLES[role]}”或以上角色，您的角色是“{people.ROLES[user.role]}”")
        return user

    return checked


Viewer = Annotated[User, Depends(_with_role("viewer"))]
Reviewer = Annotated[User, Depends(_with_role("reviewer"))]
Approver = Annotated[User, Depends(_with_role("approver"))]
Admin = Annotated[User, Depends(_with_role("admin"))]


def page(request: Request, template: str, /, status: int = 200, **values: Any) -> HTMLResponse:
    desk = desk_of(request)
    csrf = request.scope["csrftoken"]()
    text = desk.templates.get_template(template).render(
        csrf=csrf, path=request.url.path, label_name=lambda i: desk.rulebook.label(i).name, **values
    )
    # Uploaded texts may hold lone surrogates, which no page can carry.
    return HTMLResponse(text.encode("utf-8", "replace"), status)


def back(url: str) -> RedirectResponse:
    return RedirectResponse(url, status_code=303)


def file_answer(data: bytes, name: str, media_type: str) -> Response:
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(data, media_type=media_type, headers={"Content-Disposition": disposition})


def names_of(session: Session) -> dict[int, str]:
    return {identifier: name for identifier, name in session.execute(select(User.id, User.name))}  # noqa: C416


def is_number(text: str) -> bool:
    """Whether a field of an address is a number that can be worked with."""
    return text.isascii() and text.isdigit() and len(text) < 10


def page_number(text: str) -> int:
    """Which page of a list is asked for; what is no number asks for the first."""
    return max(1, min(_LAST_PAGE, int(text))) if is_number(text) else 1


def pages_for(total: int) -> int:
    """How many pages a list has."""
    return max(1, -(-total // PAGE_SIZE))


def is_row_number(identifier: int) -> bool:
    """Whether a row can have this number: a larger one is refused by the database's driver as a fault."""
    return 0 < identifier < 2**31


def document_of(session: Session, identifier: int) -> StoredDocument:
    document = session.get(StoredDocument, identifier) if is_row_number(identifier) else None
    if document is None:
        raise NotThereError(f"没有编号为{identifier}的文档")
    return document


def inside(url: str) -> str:
    """Only places of this server may be returned to."""
    plain = url.startswith("/") and not url.startswith(("//", "/\\")) and url.isprintable()
    return url if plain else "/"


async def handle_known(request: Request, error: Exception) -> Response:
    """The one error shape for the endpoint, a page for people."""
    assert isinstance(error, NlpComplianceError)
    if request.url.path.startswith(PROGRAM_PATHS):
        return await errors.handle_known(request, error)
    said = (
        "数据库或磁盘暂时不可用，操作没有保存；请稍后再试，仍不行请联系管理员"
        if isinstance(error, StoreError)
        else str(error)
    )
    return await run_in_threadpool(error_page, request, errors.status_of(error), said)


async def handle_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if request.url.path.startswith(PROGRAM_PATHS):
        return await errors.handle_fields(request, error)
    if any(e["loc"][0] == "path" for e in error.errors()):
        return await run_in_threadpool(error_page, request, 404, _REFUSED[404])
    fields = "、".join(str(e["loc"][-1]) for e in error.errors())
    return await run_in_threadpool(error_page, request, 422, f"内容不完整或格式不对：{fields}")


# What the framework itself refuses, for people.
_REFUSED = {
    404: "没有这个页面；可能地址有误，或材料已按保留期限删除",
    405: "这个地址不能直接打开；请从页面上的按钮操作",
}


async def handle_http(request: Request, error: Exception) -> Response:
    """The one error shape for programs, a page for whoever came with a browser."""
    assert isinstance(error, HTTPException)
    wants_page = "text/html" in request.headers.get("accept", "")
    if not wants_page or request.url.path.startswith(PROGRAM_PATHS):
        return await errors.handle_http(request, error)
    said = _REFUSED.get(error.status_code, "请求不能处理；请返回后重试")
    return await run_in_threadpool(error_page, request, error.status_code, said)


async def handle_fault(request: Request) -> Response:
    """Answer for what nobody expected, for people with the number under which the log has it."""
    if request.url.path.startswith(PROGRAM_PATHS):
        return errors.internal(request)
    said = f"服务器出现意外故障，操作可能没有保存；请重试一次，仍不行请把编号{request.state.request_id}告诉管理员"
    try:
        return await run_in_threadpool(_fault_page, request, said)
    except Exception:
        # What the page itself needs is broken too.
        log.exception("error page failed", extra={"request_id": request.state.request_id})
        return PlainTextResponse(said, 500, headers=PAGE_HEADERS)


def _fault_page(request: Request, message: str) -> Response:
    return page(request, "error.html", 500, user=_known_person(request), message=message)


def _known_person(request: Request) -> User | None:
    with suppress(NlpComplianceError):
        return person(request)
    return None


def error_page(request: Request, status: int, message: str) -> Response:
    """An error on a page: the login form where nobody is logged in, else the message with a way back."""
    user = _known_person(request)
    if user is None and request.method == "GET" and request.url.path not in ("/login", "/setup"):
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return back(f"/login?next={quote(asked)}")
    return page(request, "error.html", status, user=user, message=message)
