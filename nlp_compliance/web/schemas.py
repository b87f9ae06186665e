"""What callers send. Answers are the report of `nlp_compliance/schema.py`; unknown fields are refused, not ignored."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_LONGEST_ID = 512


def _day(value: object) -> object:
    """Digits alone would be taken for seconds since 1970."""
    try:
        return None if value is None else date.fromisoformat(value if isinstance(value, str) and "-" in value else "")
    except ValueError as error:
        raise PydanticCustomError("day", "a day is written YYYY-MM-DD, for example 2026-10-01") from error


class ScoreRequest(BaseModel):
    """One text to score. Offsets in the answer count code points of `text`."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="Text as published; at most `max_text_chars` characters")
    id: str = Field(default="", max_length=_LONGEST_ID, description="Carried through to the answer")
    published: Annotated[date | None, BeforeValidator(_day)] = Field(
        default=None, description="Publication day; decides which law was in force"
    )


class BatchRequest(BaseModel):
    """Several texts; each is scored on its own, and a bad one fails alone."""

    model_config = ConfigDict(extra="forbid")

    items: list[ScoreRequest] = Field(description="At most `max_batch_texts` texts")


class ReceivedBatch(BaseModel):
    """A batch as it came; its texts are checked one by one, so that a bad one fails alone."""

    model_config = ConfigDict(extra="forbid")

    items: list[Any]


def id_of(item: object) -> str:
    """The id of a text that was refused, where it has one that can be sent back."""
    found = item.get("id") if isinstance(item, dict) else None
    usable = isinstance(found, str) and len(found) <= _LONGEST_ID and not any("\ud800" <= c <= "\udfff" for c in found)
    return str(found) if usable else ""
