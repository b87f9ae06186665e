"""`/docs`: the interface described on one page, made on the server from the OpenAPI document.

No scripts and nothing from elsewhere, so it works without a network and under the pages' own content policy. Whoever
wants a console imports `/openapi.json` into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from nlp_compliance.report.templates import environment
from nlp_compliance.web.errors import KINDS, PARTS
from nlp_compliance.web.policy import PAGE_HEADERS

_SCHEMAS = "#/components/schemas/"
# How far fields inside fields are written out: the answers of the interface are not deeper.
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Value:
    """What a value is, in words; `link` names the schema that says more, "" where none does."""

    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a table of fields or parameters."""

    name: str
    kinds: tuple[Value, ...]
    required: bool
    about: str


@dataclass(frozen=True, slots=True)
class Body:
    """One way of sending or answering: its media type and its fields; `link` instead where it is a named schema."""

    media: str
    fields: tuple[Field, ...]
    link: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One status of a route."""

    status: str
    about: str
    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route with one method, as the page shows it."""

    anchor: str
    method: str
    path: str
    summary: str
    parameters: tuple[Field, ...]
    bodies: tuple[Body, ...]
    replies: tuple[Reply, ...]
    example: str


def add_manual(app: FastAPI) -> None:
    """Adds `/docs` and its stylesheet to the application."""
    pages = environment()
    pages.filters["coded"] = coded
    template = pages.get_template("manual.html")
    sheet = (files("nlp_compliance") / "resources" / "static" / "manual.css").read_bytes()

    async def manual(request: Request) -> Response:
        document = app.openapi()
        page = template.render(
            info=document["info"],
            groups=_groups(document),
            schemas=_schemas(document),
            kinds_of_error=KINDS,
            parts=PARTS,
        )
        return HTMLResponse(page, headers=PAGE_HEADERS)

    async def style(request: Request) -> Response:
        return Response(sheet, media_type="text/css", headers=PAGE_HEADERS)

    app.add_route("/docs", manual, include_in_schema=False)
    app.add_route("/docs/style.css", style, include_in_schema=False)


def coded(text: str) -> Markup:
    """Escaped text in which what stands between backticks is code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def _groups(document: dict[str, Any]) -> dict[str, list[Operation]]:
    """Operations by their tag: what callers come for first, then in the order of the document."""
    out: dict[str, list[Operation]] = {tag: [] for tag in ("score", "documents")}
    for path, item in document["paths"].items():
        for method, raw in item.items():
            out.setdefault((raw.get("tags") or ["other"])[0], []).append(_operation(method.upper(), path, raw))
    return {tag: operations for tag, operations in out.items() if operations}


def _operation(method: str, path: str, raw: dict[str, Any]) -> Operation:
    content = raw.get("requestBody", {}).get("content", {})
    return Operation(
        anchor=f"{method}{path}".lower().translate(str.maketrans("/{}", "-  ")).replace(" ", ""),
        method=method,
        path=path,
        summary=raw.get("summary", ""),
        parameters=tuple(
            Field(f"{p['name']} ({p['in']})", _kinds(p["schema"]), p.get("required", False), p.get("description", ""))
            for p in raw.get("parameters", ())
        ),
        bodies=_bodies(content),
        replies=tuple(
            # The shape of errors is the same everywhere and stands once, at the end.
            Reply(s, r.get("description", ""), _bodies(r.get("content", {})) if s.startswith("2") else ())
            for s, r in sorted(raw["responses"].items())
        ),
        example=_example(method, path, content),
    )


def _bodies(content: dict[str, Any]) -> tuple[Body, ...]:
    return tuple(
        Body(media, tuple(_fields(c.get("schema", {}))), c.get("schema", {}).get("$ref", "").removeprefix(_SCHEMAS))
        for media, c in content.items()
    )


def _fields(schema: dict[str, Any], before: str = "", depth: int = 0) -> Iterator[Field]:
    """The fields of an object, those of unnamed objects inside it too, as `outer.inner` and `list[].inner`."""
    if depth == _DEEPEST:
        return
    for name, own in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        yield Field(before + name, _kinds(own), required, _about(own))
        yield from _fields(own, f"{before}{name}.", depth + 1)
        yield from _fields(own.get("items", {}), f"{before}{name}[].", depth + 1)


def _kinds(schema: dict[str, Any]) -> tuple[Value, ...]:
    """What a value may be; several where there is a choice."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return (Value(name, name),)
    if choice := schema.get("anyOf") or schema.get("oneOf"):
        return tuple(kind for s in choice for kind in _kinds(s))
    if "enum" in schema:
        return (Value(" | ".join(map(str, schema["enum"]))),)
    if "const" in schema:
        return (Value(str(schema["const"])),)
    if schema.get("type") == "array":
        inner = schema.get("items") or {}
        return tuple(Value(f"list of {k.text}", k.link) for k in _kinds(inner)) or (Value("list"),)
    form = schema.get("format")
    return (Value(f"{schema.get('type', 'any')}{f' ({form})' if form else ''}"),)


_LIMITS = {"minLength": "at least {} characters", "maxLength": "at most {} characters", "pattern": "matches {}"}


def _about(schema: dict[str, Any]) -> str:
    said = [schema["description"]] if schema.get("description") else []
    said += [words.format(schema[name]) for name, words in _LIMITS.items() if name in schema]
    if schema.get("default") not in (None, ""):
        said.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    return "; ".join(said)


def _schemas(document: dict[str, Any]) -> dict[str, tuple[str, tuple[Field, ...], tuple[Value, ...]]]:
    """(description, fields, kinds where it has no fields) of every named schema, but for those only the framework uses."""
    out = {}
    for name, schema in document["components"]["schemas"].items():
        if name not in ("HTTPValidationError", "ValidationError"):
            fields = tuple(_fields(schema))
            out[name] = (schema.get("description", ""), fields, () if fields else _kinds(schema))
    return out


_SENT = {
    "/v1/score": {"id": "1", "text": "政府兜底，什么病都赔，快来投保"},
    "/v1/score/batch": {"items": [{"id": "1", "text": "政府兜底，快来投保"}, {"id": "2", "text": "今天天气不错"}]},
}


def _example(method: str, path: str, content: dict[str, Any]) -> str:
    """A command to copy. `$KEY` and `$SERVER` are the reader's."""
    url = f'"$SERVER{path.replace("{identifier}", "17")}"'
    lines = [f"curl -s {'' if method == 'GET' else f'-X {method} '}{url}", '-H "Authorization: Bearer $KEY"']
    if "multipart/form-data" in content:
        lines += ["-H 'Idempotency-Key: poster-17'", "-F file=@poster.jpg"]
    elif content:
        lines += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(_SENT.get(path, {}), ensure_ascii=False)}'"]
    return " \\\n  ".join(lines)
