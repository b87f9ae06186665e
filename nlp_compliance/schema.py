"""Reports, labels and rules as plain JSON, and the JSON Schema that is the contract of every output."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any

from pydantic import TypeAdapter

from nlp_compliance.records import LABELS, TAGS, Report
from nlp_compliance.rulebook import Rulebook


def plain(value: Any) -> Any:
    """Records as dicts, tuples as lists, days as ISO text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.isoformat() if isinstance(value, date) else value


def report_to_dict(report: Report) -> dict[str, Any]:
    """The report as JSON-ready dict, fields as in `report_schema()`."""
    out: dict[str, Any] = plain(report)
    return out


def report_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `report_to_dict`."""
    schema = TypeAdapter(Report).json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "nlp_compliance report"
    return schema


def report_schema_text() -> str:
    """The schema as it is stored in `resources/report.schema.json`."""
    return json.dumps(report_schema(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def label_rows(rulebook: Rulebook) -> list[dict[str, Any]]:
    """Every label and tag with what an officer needs to know about it."""
    return [plain(rulebook.label(identifier)) for identifier in (*LABELS, *TAGS)]


def rule_rows(rulebook: Rulebook) -> list[dict[str, Any]]:
    """Every rule with its examples."""
    return [plain(rule) for rule in rulebook.rules]


if __name__ == "__main__":
    print(report_schema_text(), end="")
