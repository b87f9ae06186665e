"""The scoring endpoint. Everything is built in `create_app`; nothing happens at import."""

from __future__ import annotations

import hmac
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from nlp_compliance import __version__
from nlp_compliance.checker import Checker, build_checker
from nlp_compliance.errors import (
    InputError,
    LimitExceededError,
    NlpComplianceError,
    TextEncodingError,
    UnauthorizedError,
)
from nlp_compliance.records import Document, Source
from nlp_compliance.schema import label_rows, report_to_dict, rule_rows
from nlp_compliance.settings import Settings
from nlp_compliance.web import errors
from nlp_compliance.web.desk.app import Desk, add_desk
from nlp_compliance.web.queue import WorkQueue
from nlp_compliance.web.schemas import BatchRequest, ScoreRequest

log = logging.getLogger("nlp_compliance.web")
M = TypeVar("M", bound=BaseModel)


def create_app(settings: Settings, checker: Checker | None = None, desk: Desk | None = None) -> FastAPI:
    """The ASGI application: the endpoint, and the review desk where one is given.

    `checker` is built from the settings when none is given.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.checker = checker or build_checker(settings)
        if desk is not None:
            desk.start(app.state.checker)
        yield
        app.state.queue.close()
        if desk is not None:
            desk.close()

    app = FastAPI(title="nlp_compliance", version=__version__, lifespan=lifespan)
    app.state.settings = settings
    app.state.checker = None
    app.state.queue = WorkQueue(
        workers=settings.threads, limit=settings.queue_limit, per_client=settings.max_client_requests
    )
    app.add_exception_handler(NlpComplianceError, errors.handle_known)
    app.add_exception_handler(HTTPException, _handle_http)
    app.middleware("http")(_request_id)
    _add_probes(app)
    _add_scoring(app)
    if desk is not None:
        add_desk(app, desk)
    return app


async def _request_id(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give every request an id and turn what nobody expected into the one error shape, without the submitted text."""
    request.state.request_id = uuid.uuid4().hex
    try:
        answer = await call_next(request)
    except Exception:
        log.exception("request %s failed", request.state.request_id)
        answer = errors.response(request, 500, "internal", "an unexpected error; report the request_id")
    answer.headers["X-Request-Id"] = request.state.request_id
    return answer


async def _handle_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return errors.response(request, error.status_code, f"http_{error.status_code}", str(error.detail))


def _authorise(request: Request) -> None:
    """Compare the bearer key in constant time; without a configured key everybody on this machine may call."""
    key: str = request.app.state.settings.api_key
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if key and not hmac.compare_digest(given.encode(), key.encode()):
        raise UnauthorizedError("this server asks for a key; send the header `Authorization: Bearer <key>`")


async def read_body(request: Request, limit: int) -> bytes:
    """The request body. Raises LimitExceededError as soon as more than `limit` bytes have come."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise LimitExceededError(f"the body is over {limit} bytes (max_upload_bytes); send fewer or shorter texts")
        chunks.append(chunk)
    return b"".join(chunks)


def parse_body(data: bytes, model: type[M]) -> M:
    """A validated request. Raises TextEncodingError for bytes that are no UTF-8 text, InputError for anything else."""
    try:
        return model.model_validate(orjson.loads(data))
    except orjson.JSONDecodeError as error:
        kind = TextEncodingError if "surrogate" in str(error) or "UTF-8" in str(error) else InputError
        raise kind(f"the body is no valid JSON in UTF-8: {error}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:10]]
        raise InputError("; ".join(lines)) from error


def _body_schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _document(item: ScoreRequest) -> Document:
    return Document(id=item.id, text=item.text, source=Source(published=item.published))


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


def _add_probes(app: FastAPI) -> None:
    @app.get("/healthz", summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Rulebook and model are loaded, and there is room in the queue")
    async def readyz(request: Request) -> Response:
        queue: WorkQueue = request.app.state.queue
        ready = request.app.state.checker is not None and queue.open < queue.limit
        return _json({"status": "ready" if ready else "busy", "open": queue.open}, 200 if ready else 503)

    @app.get("/v1/labels", summary="Every label with category, Chinese name, definition, severity, reason, advice")
    async def labels(request: Request) -> Response:
        return _json({"labels": label_rows(request.app.state.checker.rulebook)})

    @app.get("/v1/rules", summary="Every rule with its examples, and the rulebook version")
    async def rules(request: Request) -> Response:
        rulebook = request.app.state.checker.rulebook
        return _json({"version": rulebook.version, "rules": rule_rows(rulebook)})


def _add_scoring(app: FastAPI) -> None:
    @app.post("/v1/score", summary="Score one text", openapi_extra=_body_schema(ScoreRequest))
    async def score(request: Request) -> Response:
        _authorise(request)
        state = request.app.state
        item = parse_body(await read_body(request, state.settings.max_upload_bytes), ScoreRequest)
        report = await state.queue.run(_client(request), lambda: state.checker.check(_document(item)))
        return _json(report_to_dict(report))

    @app.post("/v1/score/batch", summary="Score several texts", openapi_extra=_body_schema(BatchRequest))
    async def score_batch(request: Request) -> Response:
        _authorise(request)
        state = request.app.state
        batch = parse_body(await read_body(request, state.settings.max_upload_bytes), BatchRequest)
        if len(batch.items) > state.settings.max_batch_texts:
            raise LimitExceededError(
                f"{len(batch.items)} texts in one batch; allowed: {state.settings.max_batch_texts} (max_batch_texts); "
                "send several batches"
            )
        documents = [_document(item) for item in batch.items]
        results = await state.queue.run(_client(request), lambda: state.checker.check_many(documents))
        return _json({"results": [_result(d, r) for d, r in zip(documents, results, strict=True)]})


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _result(document: Document, result: Any) -> dict[str, Any]:
    if isinstance(result, NlpComplianceError):
        return {"id": document.id, "error": {"code": result.code, "message": str(result)}}
    return report_to_dict(result)
