"""The application: endpoint and, where one is given, review desk. Everything is built in `create_app`, nothing at import."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlp_compliance import __version__
from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.records import Document, Report
from nlp_compliance.settings import Settings
from nlp_compliance.web import documents, errors, logs, manual, openapi, reference, scoring
from nlp_compliance.web.access import Access
from nlp_compliance.web.desk.app import Desk, add_desk, open_desk
from nlp_compliance.web.live import LiveChecker
from nlp_compliance.web.metrics import Metrics
from nlp_compliance.web.queue import WorkQueue
from nlp_compliance.web.rates import open_rates

log = logging.getLogger("nlp_compliance.web")
_CALLER_LEFT = 499
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: Settings, checker: Checker | None = None, desk: Desk | None = None) -> FastAPI:
    """The ASGI application. `checker` is built from the settings when none is given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state.live = LiveChecker(checker or build_checker(settings), settings, desk.database if desk else None)
        if desk is not None:
            state.access.rates = open_rates(desk.database, settings.data_dir)
            desk.start(state.live, state.metrics)
        yield
        # What was accepted is finished: first the calls, then the upload in hand.
        state.queue.close()
        if desk is not None:
            desk.close()
            state.access.rates.close()

    app = FastAPI(
        title="nlp_compliance",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    state = app.state
    state.settings = settings
    state.live = None
    state.metrics = Metrics()
    state.access = Access(settings, desk.database if desk else None)
    state.fault = errors.handle_fault

    def judge(texts: Sequence[Document]) -> list[Report | NlpComplianceError]:
        live: LiveChecker = state.live
        return live.judge(texts)

    state.queue = WorkQueue(
        judge,
        workers=settings.threads,
        limit=settings.queue_limit,
        per_client=settings.max_client_requests,
        batch_tokens=settings.batch_tokens,
        seen=state.metrics.batch,
        moved=state.metrics.open,
    )
    app.add_exception_handler(NlpComplianceError, errors.handle_known)
    app.add_exception_handler(HTTPException, errors.handle_http)
    app.add_exception_handler(RequestValidationError, errors.handle_fields)
    # Inside what observes, which so counts and logs the method that was asked.
    app.add_middleware(_HeadAsGet)
    app.middleware("http")(_observed)
    app.include_router(reference.router)
    app.include_router(scoring.router)
    if desk is not None:
        app.include_router(documents.router)
        add_desk(app, desk)
    openapi.describe(app)
    manual.add_manual(app)
    return app


def from_environment() -> FastAPI:
    """One of several worker processes: everything from environment variables."""
    settings = Settings.from_env()
    logs.configure(settings.log_level)
    desk = open_desk(settings)
    desk.sole = settings.workers == 1
    return create_app(settings, desk=desk)


class _HeadAsGet:
    """HEAD wherever GET is: the same answer without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A copy: the server below still has to know that no body follows.
        own = {**scope, "method": "GET"}

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start" and "route" in own:
                scope["route"] = own["route"]
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app(own, receive, without_body)


async def _observed(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Gives every request an id, counts and logs it, and turns what nobody expected into the one error shape.

    Neither log nor answer holds anything of what was sent: the route is the pattern, not the path.
    """
    given = request.headers.get("X-Request-Id", "")
    request.state.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    started = time.perf_counter()
    try:
        answer = await call_next(request)
    except ClientDisconnect:
        # Nobody is there to read it: it only says in log and figures, as other servers do, that the caller left.
        answer = Response(status_code=_CALLER_LEFT)
    except Exception:
        log.exception("request failed", extra={"request_id": request.state.request_id})
        answer = await request.app.state.fault(request)
    answer.headers["X-Request-Id"] = request.state.request_id
    seconds = time.perf_counter() - started
    route = getattr(request.scope.get("route"), "path", None) or "other"
    request.app.state.metrics.request(route, request.method, answer.status_code, seconds)
    extra = {
        "request_id": request.state.request_id,
        "route": route,
        "method": request.method,
        "status": answer.status_code,
        "ms": round(seconds * 1000, 1),
        "caller": getattr(request.state, "caller", ""),
    }
    log.info("request", extra=extra)
    return answer
