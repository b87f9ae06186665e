"""What the OpenAPI document says about answers that are written as JSON by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from nlp_compliance.records import Report
from nlp_compliance.web.errors import ERROR_SCHEMA
from nlp_compliance.web.schemas import ScoreRequest

_REF = "#/components/schemas/{model}"
_ITEM_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["id", "error"],
    "properties": {
        "id": {"type": "string"},
        "error": ERROR_SCHEMA,
    },
}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _report_ref() -> dict[str, Any]:
    return {"$ref": _REF.format(model="Report")}


REPORT_ANSWER = _json("The report, as in report.schema.json", _report_ref())
BATCH_ANSWER = _json(
    "A report or an error for every text, in order",
    {
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"anyOf": [_report_ref(), _ITEM_ERROR]}}},
    },
)


def describe(app: FastAPI) -> None:
    """Lets `/openapi.json` hold the report's schema and say how callers show their key."""
    app.openapi = _maker(app)  # type: ignore[method-assign]


def _maker(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schema = TypeAdapter(Report).json_schema(mode="serialization", ref_template=_REF)
            components = document.setdefault("components", {})
            schemas = components.setdefault("schemas", {})
            schemas.update(schema.pop("$defs", {}))
            schemas["Report"] = schema
            # The bodies of requests are read by the routes themselves; what they refer to is named here.
            schemas["ScoreRequest"] = ScoreRequest.model_json_schema(ref_template=_REF)
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            # An empty alternative: on loopback a server without keys asks for none.
            document["security"] = [{"key": []}, {}]
            app.openapi_schema = document
        return app.openapi_schema

    return made
