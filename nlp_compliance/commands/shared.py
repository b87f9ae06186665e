"""What several commands share: options, forms of output, and how a risk becomes an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import orjson
import typer
from rich.console import Console

from nlp_compliance.ingest.isolate import isolated_reader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Reader
from nlp_compliance.settings import Settings
from nlp_compliance.severity import RISK_ORDER


class Level(StrEnum):
    """Lowest risk at which the exit code becomes 1."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Format(StrEnum):
    """Forms of output."""

    JSON = "json"
    JSONL = "jsonl"
    TABLE = "table"
    HTML = "html"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


FailOn = Annotated[Level | None, typer.Option(help="风险达到该级别时退出码为1")]
AsOf = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="按该日有效的规定引用法条，默认为文章发布日")]
Rules = Annotated[list[Path] | None, typer.Option("--rules", help="公司自有规则文件夹，可重复")]
Advisory = Annotated[bool | None, typer.Option(help="同时给出提示性规则的结果")]


def settings_with(rules: Sequence[Path] | None, *, advisory: bool | None = None) -> Settings:
    """The settings with what the command line says; None leaves `advisory` as it is set."""
    settings = Settings.from_env()
    said = settings.advisory if advisory is None else advisory
    return settings.replace(rules_dirs=(*settings.rules_dirs, *(rules or ())), advisory=said)


def day_of(as_of: datetime | None) -> date | None:
    return as_of.date() if as_of else None


def exit_at(risks: Sequence[str], fail_on: Level | None) -> None:
    if fail_on and not set(risks).isdisjoint(RISK_ORDER[: RISK_ORDER.index(fail_on.value) + 1]):
        raise typer.Exit(1)


def reader_for(settings: Settings, text_column: str | None = None) -> Reader:
    return isolated_reader(Reader(Limits.of(settings), text_column))


def console() -> Console:
    return Console(soft_wrap=False)


def write_line(stream: TextIO, row: dict[str, object]) -> None:
    stream.write(orjson.dumps(row).decode() + "\n")


def tell_unread(failure: Failure) -> None:
    typer.echo(f"未能读取 {failure.id}：{failure.error}", err=True)
