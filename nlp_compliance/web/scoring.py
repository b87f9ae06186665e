"""Scoring routes: one text, several texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from nlp_compliance.errors import InputError, LimitExceededError, NlpComplianceError
from nlp_compliance.records import Document, Report, Source
from nlp_compliance.schema import report_to_dict
from nlp_compliance.web import errors
from nlp_compliance.web.access import Caller
from nlp_compliance.web.body import body_schema, json_answer, read_json, validated
from nlp_compliance.web.openapi import BATCH_ANSWER, REPORT_ANSWER
from nlp_compliance.web.queue import WorkQueue
from nlp_compliance.web.schemas import BatchRequest, ReceivedBatch, ScoreRequest, id_of

router = APIRouter(tags=["score"])
_REFUSALS = errors.described(401, 403, 408, 413, 415, 422, 429, 503)


async def caller_of(request: Request, scope: str) -> Caller:
    """Who calls, if he may. The database is asked outside the event loop."""
    caller: Caller = await run_in_threadpool(request.app.state.access.check, request, scope)
    request.state.caller = caller.name
    return caller


def place_of(request: Request, caller: Caller) -> str:
    """For whom a request counts: a key, or an address where there is none."""
    host = request.client.host if request.client else "unknown"
    return f"key:{caller.key.id}" if caller.key else f"address:{host}"


async def _judged(
    request: Request, caller: Caller, documents: Sequence[Document]
) -> list[Report | NlpComplianceError | BaseException]:
    """As `WorkQueue.run`; raises ClientDisconnect as soon as the caller has left, which frees his place and his texts."""
    queue: WorkQueue = request.app.state.queue
    judging = asyncio.ensure_future(queue.run(place_of(request, caller), documents))
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((judging, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not judging.done():
            raise ClientDisconnect
        return judging.result()
    finally:
        judging.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    """Waits until the caller is gone. Only once the body is read: nothing else comes from him then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.post(
    "/v1/score",
    summary="Score one text",
    openapi_extra=body_schema(ScoreRequest),
    responses={200: REPORT_ANSWER, **_REFUSALS},
)
async def score(request: Request) -> Response:
    caller = await caller_of(request, "score")
    state = request.app.state
    item = await read_json(request, state.settings.max_upload_bytes, ScoreRequest)
    (result,) = await _judged(request, caller, [_document(item)])
    if isinstance(result, BaseException):
        raise result
    state.metrics.reports([result])
    return json_answer(report_to_dict(result))


@router.post(
    "/v1/score/batch",
    summary="Score several texts; a bad one fails alone",
    openapi_extra=body_schema(BatchRequest),
    responses={200: BATCH_ANSWER, **_REFUSALS},
)
async def score_batch(request: Request) -> Response:
    caller = await caller_of(request, "score")
    state = request.app.state
    batch = await read_json(request, state.settings.max_upload_bytes, ReceivedBatch)
    if len(batch.items) > state.settings.max_batch_texts:
        raise LimitExceededError(
            f"{len(batch.items)} texts in one batch; allowed: {state.settings.max_batch_texts} (max_batch_texts); "
            "send several batches"
        )
    read = [_read(item) for item in batch.items]
    results = iter(await _judged(request, caller, [d for d in read if isinstance(d, Document)]))
    outcomes = [next(results) if isinstance(found, Document) else found for found in read]
    state.metrics.reports(outcomes)
    rows = [_row(request, id_of(item), outcome) for item, outcome in zip(batch.items, outcomes, strict=True)]
    return json_answer({"results": rows})


def _read(item: object) -> Document | InputError:
    try:
        return _document(validated(item, ScoreRequest))
    except InputError as error:
        return error


def _document(item: ScoreRequest) -> Document:
    return Document(id=item.id, text=item.text, source=Source(published=item.published))


def _row(request: Request, identifier: str, result: Report | BaseException) -> dict[str, Any]:
    if isinstance(result, NlpComplianceError):
        return {"id": identifier, "error": errors.shape(result.code, str(result), request)}
    if isinstance(result, BaseException):
        said = "a fault of this server with this text; send it alone once, then report the request_id"
        return {"id": identifier, "error": errors.shape("internal", said, request)}
    return report_to_dict(result)
