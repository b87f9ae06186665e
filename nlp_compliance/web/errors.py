"""One error shape, made in one place: `{"error": {"code", "message", "request_id"}}`."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nlp_compliance import errors


class NotThereError(errors.InputError):
    """There is no such thing, or it belongs to somebody else, which is not told apart."""

    code = "not_found"


class ConflictError(errors.InputError):
    """The request contradicts an earlier one with the same idempotency key."""

    code = "idempotency_conflict"


class NotReadyError(errors.OverloadedError):
    """The result is still being made; come back after `retry_after_s`."""

    code = "not_ready"


class ReceiveTimeoutError(errors.InputError):
    """The body came more slowly than `max_receive_seconds` allow."""

    code = "receive_timeout"


# The most specific class wins; anything not listed is a fault of ours, not of the caller.
STATUS: dict[type[errors.NlpComplianceError], int] = {
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    NotThereError: 404,
    ReceiveTimeoutError: 408,
    ConflictError: 409,
    NotReadyError: 409,
    errors.LimitExceededError: 413,
    errors.TextTooLongError: 413,
    errors.UnsupportedFormatError: 415,
    errors.InputError: 422,
    errors.TooManyRequestsError: 429,
    errors.OverloadedError: 503,
    errors.StoreError: 503,
}
_STORE_RETRY_S = 5


def status_of(error: errors.NlpComplianceError) -> int:
    """HTTP status of an error class."""
    return next((STATUS[c] for c in type(error).__mro__ if c in STATUS), 500)


def body(code: str, message: str, request_id: str) -> dict[str, dict[str, str]]:
    """The one error shape."""
    return {"error": {"code": code, "message": message, "request_id": request_id}}


def response(
    request: Request, status: int, code: str, message: str, *, retry_after_s: int | None = None
) -> JSONResponse:
    """An error answer with the request's id; `retry_after_s` becomes the `Retry-After` header."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body(code, message, request.state.request_id), status_code=status, headers=headers)


async def handle_known(request: Request, error: Exception) -> JSONResponse:
    """Answer for every NlpComplianceError."""
    assert isinstance(error, errors.NlpComplianceError)
    retry = error.retry_after_s if isinstance(error, errors.OverloadedError) else None
    if isinstance(error, errors.StoreError):
        # What the database or the disk said may name paths and statements; the log has it, the caller does not.
        return response(request, 503, error.code, "the store is not available", retry_after_s=_STORE_RETRY_S)
    return response(request, status_of(error), error.code, str(error), retry_after_s=retry)


async def handle_http(request: Request, error: Exception) -> JSONResponse:
    """Answer where the framework itself refuses, as for a route that is not there."""
    assert isinstance(error, HTTPException)
    answer = response(request, error.status_code, f"http_{error.status_code}", str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "additionalProperties": False,
            "properties": {name: {"type": "string"} for name in ("code", "message", "request_id")},
        }
    },
}
_MEANINGS = {
    401: "a key is asked for and not shown, or it is expired or revoked",
    403: "the key does not have the scope",
    404: "there is no such upload of this key",
    408: "the body came too slowly",
    409: "the idempotency key was used for another file, or the result is not ready",
    413: "over a limit of the settings",
    415: "no reader for the format",
    422: "the input cannot be used",
    429: "too many requests of this caller; see Retry-After",
    500: "a fault of ours; report the request_id",
    503: "the queue is full or the store is away; see Retry-After",
}


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says about error answers."""
    return {
        s: {"description": _MEANINGS[s], "content": {"application/json": {"schema": _SHAPE}}} for s in (*statuses, 500)
    }
