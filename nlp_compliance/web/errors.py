"""One error shape, made in one place: `{"error": {"code", "message", "request_id"}}`."""

from __future__ import annotations

import logging

from fastapi import Request
from fastapi.responses import JSONResponse

from nlp_compliance import errors

log = logging.getLogger("nlp_compliance.web")

# The most specific class wins; anything not listed is a fault of ours, not of the caller.
STATUS: dict[type[errors.NlpComplianceError], int] = {
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    errors.LimitExceededError: 413,
    errors.TextTooLongError: 413,
    errors.UnsupportedFormatError: 415,
    errors.InputError: 422,
    errors.TooManyRequestsError: 429,
    errors.OverloadedError: 503,
}


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
    return JSONResponse(body(code, message, request.state.request_id), status_code=status, headers=headers)


async def handle_known(request: Request, error: Exception) -> JSONResponse:
    """Answer for every NlpComplianceError."""
    assert isinstance(error, errors.NlpComplianceError)
    retry = error.retry_after_s if isinstance(error, errors.OverloadedError) else None
    return response(request, status_of(error), error.code, str(error), retry_after_s=retry)
