"""Request bodies: bounded in size and time, parsed into what a route declares."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from nlp_compliance.errors import InputError, LimitExceededError, ReceiveTimeoutError, TextEncodingError
from nlp_compliance.web.errors import MediaTypeError, said_of_fields

M = TypeVar("M", bound=BaseModel)
_MULTIPART_FRAME_BYTES = 16_384


async def read_body(request: Request, limit: int) -> bytes:
    """The request body. Raises LimitExceededError as soon as more than `limit` bytes have come, ReceiveTimeoutError
    when it takes longer than `max_receive_seconds`, MediaTypeError when it is compressed."""
    packed = request.headers.get("content-encoding", "").strip()
    if packed.lower() not in ("", "identity"):
        raise MediaTypeError(f"the body is compressed ({packed[:20]}); send it as it is, without Content-Encoding")
    seconds = request.app.state.settings.max_receive_seconds
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise LimitExceededError(
                        f"the body is over {limit} bytes (max_upload_bytes); send fewer or shorter texts"
                    )
                chunks.append(chunk)
    except TimeoutError as error:
        raise ReceiveTimeoutError(
            f"the body took longer than {seconds} s (max_receive_seconds); send it again"
        ) from error
    return b"".join(chunks)


async def read_json(request: Request, limit: int, model: type[M]) -> M:
    """The validated JSON body, however a program declares it.

    A page of another site can have a browser send a form or plain text here unasked, but no JSON; so what names an
    `Origin` has to be declared as JSON.
    """
    given = request.headers.get("content-type", "")
    declared = given.partition(";")[0].strip().lower() == "application/json"
    if "origin" in request.headers and not declared:
        found = given[:60] or "no content type"
        raise MediaTypeError(f"the body is declared as {found!r}; send JSON with `Content-Type: application/json`")
    return validated(_decoded(await read_body(request, limit)), model)


def _decoded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if "surrogate" in str(error):
            # The standard library lets it pass, so that only the text in which it stands is refused.
            with suppress(ValueError, RecursionError):
                return json.loads(data)
        kind = TextEncodingError if "surrogate" in str(error) or "UTF-8" in str(error) else InputError
        raise kind(f"the body is no valid JSON in UTF-8: {error}; send an object as /docs describes it") from error


def validated(content: object, model: type[M]) -> M:
    """Raises TextEncodingError for a lone surrogate, InputError for anything else that `model` does not allow."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        kind = TextEncodingError if found[0]["type"] == "string_unicode" else InputError
        raise kind(said_of_fields(found)) from error


async def read_file(request: Request, limit: int) -> tuple[str, bytes]:
    """(name, bytes) of the one file of a multipart form, field `file`. Raises InputError, LimitExceededError, or
    MediaTypeError for a form without a key that names an `Origin`: a page of another site can have a browser send it."""
    if "origin" in request.headers and "authorization" not in request.headers:
        raise MediaTypeError(
            "the form names an Origin, as pages of other sites do, and shows no key; send the file from a program, or "
            "the header `Authorization: Bearer <key>`, or JSON with the field `text`"
        )
    data = await read_body(request, limit + _MULTIPART_FRAME_BYTES)

    async def whole() -> AsyncGenerator[bytes]:
        yield data

    try:
        form: FormData = await MultiPartParser(request.headers, whole(), max_files=1, max_fields=0).parse()
    except (MultiPartException, KeyError, UnicodeError, ValueError) as error:
        raise InputError(
            f"the body is no multipart form with one file in the field `file`: {error}; see /docs"
        ) from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InputError("the form holds no file in the field `file`; send one, or JSON with the field `text`")
        content = await file.read()
        if len(content) > limit:
            raise LimitExceededError(f"the file is over {limit} bytes (max_upload_bytes); split it")
        return file.filename or "", content
    finally:
        await form.close()


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def json_answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json", headers=headers)
