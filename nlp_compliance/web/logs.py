"""Structured logs: one JSON object a line. They hold routes, states and ids, never a submitted text.

An exception is logged by its class and its places in the code: its message may quote what was sent.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

# Attributes that the program adds with `extra=`; anything else in a record stays out.
FIELDS = ("request_id", "route", "method", "status", "ms", "caller", "upload", "documents", "failures")


class JsonLines(logging.Formatter):
    """Line breaks and control characters are escaped by JSON, so that nobody can write a line of his own."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        row |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            row["exception"] = f"{kind.__module__}.{kind.__qualname__}"
            row["places"] = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
        return json.dumps(row, ensure_ascii=False)


def configure(level: str) -> None:
    """Sends the program's and the server's logs to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("nlp_compliance", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.setLevel(level.upper())
        logger.propagate = name == "uvicorn.error"
    # Requests are logged once, by ourselves: the server's own line would hold search words.
    logging.getLogger("uvicorn.access").disabled = True
