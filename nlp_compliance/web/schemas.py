"""What callers send. Answers are the report of `nlp_compliance/schema.py`; unknown fields are refused, not ignored."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field


class ScoreRequest(BaseModel):
    """One text to score. Offsets in the answer count code points of `text`."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="Text as published; at most `max_text_chars` characters")
    id: str = Field(default="", max_length=512, description="Carried through to the answer")
    published: date | None = Field(default=None, description="Publication day; decides which law was in force")


class BatchRequest(BaseModel):
    """Several texts; each is scored on its own, and a bad one fails alone."""

    model_config = ConfigDict(extra="forbid")

    items: list[ScoreRequest] = Field(description="At most `max_batch_texts` texts")
