"""All errors of the HTTP interface in one table, answered in one shape: `{"error": {"code", "message", "request_id"}}`.

A message says in English what was found, what is allowed and what to do. Pages for people say the same in Chinese.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nlp_compliance import errors


@dataclass(frozen=True, slots=True)
class Kind:
    """One error: its stable code, the HTTP status, the class that is raised for it, when it comes, what to do then."""

    code: str
    status: int
    error: type[errors.NlpComplianceError] | None
    when: str
    todo: str


class MediaTypeError(errors.InputError):
    """The body is not of a kind that the route takes."""

    code = "media_type"


_LATER = "repeat after the seconds in `Retry-After`"
_NO_ROUTE = "see /docs for routes and methods"
# The one table: statuses of answers, the OpenAPI document, /docs and docs/api.md follow it. Where a class is not
# listed, its nearest listed base counts; what has none is a fault of ours, not of the caller.
KINDS = (
    Kind(
        "unauthorized",
        401,
        errors.UnauthorizedError,
        "no key was shown, or it is unknown, expired or revoked",
        "send `Authorization: Bearer <key>` with a valid key",
    ),
    Kind("forbidden", 403, errors.ForbiddenError, "the key does not have the route's scope", "ask the operator for it"),
    Kind(
        "not_found",
        404,
        errors.NotThereError,
        "this key has no such upload",
        "use the key that sent it; it may be deleted",
    ),
    Kind("http_404", 404, None, "there is no such route", _NO_ROUTE),
    Kind("http_405", 405, None, "the route does not take this method", "use a method of the header `Allow`"),
    Kind(
        "receive_timeout",
        408,
        errors.ReceiveTimeoutError,
        "the body took longer than `max_receive_seconds`",
        "send it again",
    ),
    Kind("not_ready", 409, errors.NotReadyError, "the upload is still being judged", _LATER),
    Kind(
        "idempotency_conflict",
        409,
        errors.ConflictError,
        "the idempotency key was used for another file",
        "use a new key for every file",
    ),
    Kind("text_too_long", 413, errors.TextTooLongError, "a text is longer than `max_text_chars`", "split it"),
    Kind(
        "limit_exceeded",
        413,
        errors.LimitExceededError,
        "the body is over `max_upload_bytes` or holds more than `max_batch_texts` texts",
        "send less at a time",
    ),
    Kind(
        "media_type",
        415,
        MediaTypeError,
        "a page sent a body that is not declared as `application/json`, or a file without a key, or the body is compressed",
        "send `Content-Type: application/json`, or a file with a key, and no `Content-Encoding`",
    ),
    Kind(
        "input_invalid",
        422,
        errors.InputError,
        "no JSON, a wrong type, an unknown or missing field, no file",
        "send what /docs describes",
    ),
    Kind("text_empty", 422, errors.EmptyTextError, "there is no text to judge", "send the text as published"),
    Kind("text_encoding", 422, errors.TextEncodingError, "no UTF-8, or a lone surrogate", "send valid UTF-8"),
    Kind(
        "too_many_requests",
        429,
        errors.TooManyRequestsError,
        "more calls than the key's rate, or more than `max_client_requests` open at a time",
        _LATER,
    ),
    Kind("internal", 500, None, "a fault of the server", "report the request id"),
    Kind(
        "overloaded", 503, errors.OverloadedError, "`queue_limit` requests are open, or the server is stopping", _LATER
    ),
    Kind("store_error", 503, errors.StoreError, "database or disk refuse", _LATER),
)
# What stands beside a part of an upload or a text of a batch that could not be used, never as an answer's status.
PARTS = {
    "format_unsupported": "there is no reader for this kind of file",
    "file_unreadable": "the file is broken, encrypted, or not what its name says",
    "record_invalid": "a row of a table is not usable",
    "extra_missing": "the server has no component for this kind of file",
}
_STATUS = {kind.error: kind.status for kind in KINDS if kind.error is not None}
_STORE_RETRY_S = 5


def status_of(error: errors.NlpComplianceError) -> int:
    """HTTP status of an error class."""
    return next((_STATUS[c] for c in type(error).__mro__ if c in _STATUS), 500)


def shape(code: str, message: str, request: Request) -> dict[str, str]:
    """What stands under `error`, in an answer and beside a text of a batch."""
    return {"code": code, "message": message, "request_id": request.state.request_id}


def response(
    request: Request, status: int, code: str, message: str, *, retry_after_s: int | None = None
) -> JSONResponse:
    """An error answer with the request's id; `retry_after_s` becomes the `Retry-After` header."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": shape(code, message, request)}, status_code=status, headers=headers)


async def handle_known(request: Request, error: Exception) -> JSONResponse:
    """Answer for every NlpComplianceError."""
    assert isinstance(error, errors.NlpComplianceError)
    retry = error.retry_after_s if isinstance(error, errors.OverloadedError) else None
    if isinstance(error, errors.StoreError):
        # What the database or the disk said may name paths and statements; the log has it, the caller does not.
        message = "database or disk cannot be used at the moment; repeat after the seconds in Retry-After"
        return response(request, 503, error.code, message, retry_after_s=_STORE_RETRY_S)
    status = status_of(error)
    if status == 500:
        return internal(request)
    return response(request, status, error.code, str(error), retry_after_s=retry)


def internal(request: Request) -> JSONResponse:
    """Answer for what nobody expected; it tells nothing of what was sent or of what went wrong inside."""
    return response(request, 500, "internal", "a fault of this server; repeat once, then report the request_id")


async def handle_fault(request: Request) -> Response:
    """As `internal`, in the form in which the review desk puts its pages in this place."""
    return internal(request)


async def handle_http(request: Request, error: Exception) -> JSONResponse:
    """Answer where the framework itself refuses, as for a route that is not there."""
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow", "")
    said = {
        404: "there is no such route; see /docs for the routes",
        405: f"this route does not take {request.method}; allowed: {allowed}; see /docs",
    }.get(error.status_code, str(error.detail))
    answer = response(request, error.status_code, f"http_{error.status_code}", said)
    answer.headers.update(error.headers or {})
    return answer


async def handle_fields(request: Request, error: Exception) -> JSONResponse:
    """Answer where the framework checks parameters of a route."""
    assert isinstance(error, RequestValidationError)
    return response(request, 422, "input_invalid", said_of_fields(error.errors()))


def said_of_fields(found: Iterable[Any]) -> str:
    """Which fields are wrong and why, never with what they held. `found` are pydantic's errors; the first ten count."""
    lines = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in list(found)[:10]]
    return f"{'; '.join(lines)}; see /docs for the fields"


ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["code", "message", "request_id"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "string", "description": "stable; see the table of errors"},
        "message": {"type": "string", "description": "what was found, what is allowed, what to do"},
        "request_id": {"type": "string", "description": "also in the header X-Request-Id and in the log"},
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {"error": ERROR_SCHEMA},
}


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says about error answers."""
    return {
        s: {"description": _meaning(s), "content": {"application/json": {"schema": _ANSWER}}} for s in (*statuses, 500)
    }


def _meaning(status: int) -> str:
    return "; ".join(f"{k.code}: {k.when}" for k in KINDS if k.status == status and not k.code.startswith("http_"))
