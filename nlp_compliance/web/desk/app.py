"""The review desk: pages for officers, beside the endpoint. Server-rendered; every page works with the keyboard."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from importlib.resources import files as resource_files
from typing import Any

from asgi_csrf import DEFAULT_COOKIE_NAME, DEFAULT_SIGNING_NAMESPACE, asgi_csrf, cookies_from_scope
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from itsdangerous.url_safe import URLSafeSerializer
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.store import people
from nlp_compliance.web.desk import admin, decisions, documents, login, pages, rules, uploads, worklist
from nlp_compliance.web.desk.state import Desk, open_desk, setup_link
from nlp_compliance.web.policy import PAGE_HEADERS

__all__ = ["Desk", "add_desk", "open_desk", "setup_link"]


def add_desk(app: FastAPI, desk: Desk) -> None:
    """Adds the pages to the application."""
    with desk.database.transaction() as session:
        signing = people.secret(session, "session").hex()
    app.state.desk = desk
    app.state.fault = pages.handle_fault
    static = resource_files("nlp_compliance") / "resources" / "static"
    app.mount("/static", StaticFiles(directory=str(static)), name="static")
    for part in (login, worklist, uploads, documents, decisions, rules, admin):
        app.include_router(part.router)
    app.add_exception_handler(NlpComplianceError, pages.handle_known)
    app.add_exception_handler(RequestValidationError, pages.handle_form)
    app.add_exception_handler(HTTPException, pages.handle_http)
    app.add_middleware(BaseHTTPMiddleware, dispatch=_page_headers)
    app.add_middleware(
        asgi_csrf,
        signing_secret=signing,
        always_protect={"/login", "/setup"},
        cookie_secure=desk.settings.secure_cookies,
        # Scoring callers prove themselves by key, not by cookie.
        skip_if_scope=lambda scope: scope["path"].startswith("/v1/"),
        send_csrf_failed=_form_expired,
    )
    app.add_middleware(_TokenBeforeBody, signer=URLSafeSerializer(signing, DEFAULT_SIGNING_NAMESPACE))
    app.add_middleware(
        SessionMiddleware,
        secret_key=signing,
        max_age=desk.settings.session_hours * 3600,
        same_site="lax",
        https_only=desk.settings.secure_cookies,
        session_cookie="desk_session",
    )


# Nothing reads a body of these, also where a program repeats the headers of a form after a redirect.
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS", "TRACE")
_EXPIRED = "页面已过期，操作没有保存；请刷新页面后再试一次"


async def _form_expired(scope: Scope, send: Send, fault: Any) -> None:
    """A form whose token is not ours: mostly a page that was left open over a new login."""

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await _plain(_EXPIRED, 403)(scope, nothing, send)


def _plain(said: str, status: int) -> PlainTextResponse:
    """What is refused before any page can be made, shown as it is."""
    return PlainTextResponse(said, status, headers=PAGE_HEADERS)


class _TokenBeforeBody:
    """Uploads carry the token in a header (desk.js sends it), so that no body is read before it is known to be ours.

    Other forms are small, and read before anybody asks who is logged in; a longer one is refused before the token is
    looked for in it.
    """

    LONGEST_FORM_BYTES = 2_000_000

    def __init__(self, app: ASGIApp, signer: URLSafeSerializer) -> None:
        self.app, self.signer = app, signer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = scope["type"] == "http" and scope["method"] not in _WITHOUT_BODY
        if form and not scope["path"].startswith("/v1/") and not self._is_our_upload(scope):
            headers = dict(scope["headers"])
            if headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
                said = _EXPIRED if b"x-csrftoken" in headers else "上传需要启用脚本（JavaScript）的浏览器"
                await _plain(said, 403)(scope, receive, send)
                return
            length = headers.get(b"content-length", b"0")
            if b"transfer-encoding" in headers or not length.isdigit() or int(length) > self.LONGEST_FORM_BYTES:
                await _plain(f"表单内容超过{self.LONGEST_FORM_BYTES}字节；请缩短后再提交", 413)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_our_upload(self, scope: Scope) -> bool:
        """Whether the token in the header is the cookie's and signed by us: then asgi_csrf does not read the body."""
        if scope["path"] != "/uploads":
            return False
        token = cookies_from_scope(scope).get(DEFAULT_COOKIE_NAME, "")
        given: bytes = dict(scope["headers"]).get(b"x-csrftoken", b"")
        return hmac.compare_digest(given, token.encode()) and self.signer.loads_unsafe(token)[0]


async def _page_headers(request: Request, call_next: Callable[[Request], Any]) -> Response:
    answer: Response = await call_next(request)
    if not request.url.path.startswith((*pages.PROGRAM_PATHS, "/openapi", "/static")):
        for name, value in PAGE_HEADERS.items():
            answer.headers.setdefault(name, value)
    return answer
