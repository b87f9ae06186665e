"""What the server says about itself: probes, labels, rules, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from nlp_compliance.schema import label_rows, rule_rows
from nlp_compliance.store import repository
from nlp_compliance.store.database import Database
from nlp_compliance.web import errors, metrics
from nlp_compliance.web.body import json_answer
from nlp_compliance.web.scoring import caller_of

router = APIRouter()
_REFUSALS = errors.described(401, 403, 429, 503)


@router.get("/healthz", summary="The process answers", tags=["probes"])
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Rulebook and model are loaded, and there is room in the queue",
    tags=["probes"],
    responses={503: {"description": "not ready; ask again"}},
)
async def readyz(request: Request) -> Response:
    state = request.app.state
    ready = state.live is not None and state.queue.open < state.queue.limit
    return json_answer({"status": "ready" if ready else "busy", "open": state.queue.open}, 200 if ready else 503)


@router.get(
    "/v1/labels",
    summary="Every label with category, Chinese name, definition, severity, reason, advice",
    tags=["reference"],
    responses=_REFUSALS,
)
async def labels(request: Request) -> Response:
    await caller_of(request, "rules")
    return json_answer({"labels": label_rows(request.app.state.live.rulebook)})


@router.get(
    "/v1/rules",
    summary="Every rule with its examples, and the rulebook version",
    tags=["reference"],
    responses=_REFUSALS,
)
async def rules(request: Request) -> Response:
    await caller_of(request, "rules")
    rulebook = request.app.state.live.rulebook
    return json_answer({"version": rulebook.version, "rules": rule_rows(rulebook)})


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    tags=["probes"],
    responses={
        200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **_REFUSALS,
    },
)
async def figures(request: Request) -> Response:
    await caller_of(request, "metrics")
    state = request.app.state
    uploads: dict[str, int] = {}
    desk = getattr(state, "desk", None)
    if desk is not None:
        uploads = await run_in_threadpool(_uploads, desk.database)
    text = await run_in_threadpool(state.metrics.exposition, uploads=uploads)
    return Response(text, media_type=metrics.CONTENT_TYPE)


def _uploads(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return repository.waiting_jobs(session)
