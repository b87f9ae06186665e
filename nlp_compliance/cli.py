"""The command line: parse, call, print. Exit codes: 0 nothing to fail on, 1 findings at `--fail-on`, 2 wrong use or unread input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from nlp_compliance import __version__, admin
from nlp_compliance.commands import rules as rule_commands
from nlp_compliance.commands import scanning
from nlp_compliance.commands.shared import (
    Advisory,
    AsOf,
    FailOn,
    Rules,
    console,
    day_of,
    exit_at,
    reader_for,
    settings_with,
    tell_unread,
    write_line,
)
from nlp_compliance.errors import NlpComplianceError
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import SUFFIXES, Failure, Item
from nlp_compliance.records import LABELS, TAGS, Document
from nlp_compliance.settings import Settings

app = typer.Typer(
    name="nlp-compliance",
    help="检查惠民保及健康险宣传材料：虚假宣传、冒用政府名义、未充分披露。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    # The boxes of rich cut Chinese descriptions at the width of a usual terminal.
    rich_markup_mode=None,
)
_LONGEST_PATH = 512


class Shown(StrEnum):
    """Forms in which one document is shown."""

    TABLE = "table"
    JSON = "json"


scanning.register(app)
rule_commands.register(app)
admin.register(app)


@app.command()
def check(
    source: Annotated[
        str, typer.Argument(help="要检查的文字、文件路径、公众号文章网址（须开启 fetch），或 - 表示标准输入")
    ],
    as_of: AsOf = None,
    rules: Rules = None,
    advisory: Advisory = False,
    output: Annotated[Shown, typer.Option("--format", help="table 供人阅读，json 每篇一行")] = Shown.TABLE,
    fail_on: FailOn = None,
) -> None:
    """检查一段文字、一个文件或标准输入，标出证据、法律依据和修改建议。"""
    from nlp_compliance.checker import build_checker
    from nlp_compliance.report.terminal import document_view
    from nlp_compliance.schema import report_to_dict

    if not source.strip():
        raise typer.BadParameter("要检查的文字或文件是空的")
    settings = settings_with(rules, advisory=advisory)
    items = _sources(source, settings)
    checker = build_checker(settings)
    risks, unread = [], [item for item in items if isinstance(item, Failure)]
    if len(unread) == len(items) == 1:
        raise unread[0].error
    for item in items:
        if isinstance(item, Failure):
            continue
        report = checker.check(item, as_of=day_of(as_of))
        risks.append(report.risk)
        if output is Shown.TABLE:
            console().print(document_view(item, report, checker.rulebook))
        else:
            write_line(sys.stdout, report_to_dict(report))
    for failure in unread:
        tell_unread(failure)
    exit_at(risks, fail_on)
    if unread:
        raise typer.Exit(2)


def _sources(source: str, settings: Settings) -> list[Item]:
    from nlp_compliance.ingest.fetch import fetch, is_address

    if source == "-":
        data = sys.stdin.buffer.read(settings.max_upload_bytes + 1)
        return list(reader_for(settings).read_bytes(data, "stdin.txt"))
    if is_address(source):
        data = fetch(source, Limits.of(settings), allowed=settings.fetch)
        return list(reader_for(settings).read_bytes(data, source))
    path = Path(source)
    if len(source) < _LONGEST_PATH and "\n" not in source:
        kind = _kind_of(path)
        if kind == "file":
            return list(reader_for(settings).read_path(path))
        if kind == "folder":
            raise typer.BadParameter(f"{source} 是文件夹；检查整个文件夹请用 nlp-compliance scan")
        if path.suffix.lower() in SUFFIXES:
            # A mistyped name would otherwise be judged as if it were the copy.
            raise typer.BadParameter(f"文件不存在：{source}；要检查这几个字本身，请用 - 从标准输入给出")
    return [Document(id="", text=source)]


def _kind_of(path: Path) -> str | None:
    try:
        return "file" if path.is_file() else "folder" if path.is_dir() else None
    except (OSError, ValueError):
        # Copy of some hundred bytes is longer than any file name may be, and no name at all where it holds a NUL.
        return None


@app.command()
def labels() -> None:
    """列出全部标签：类别、中文名、严重程度、定义。"""
    from nlp_compliance.rulebook import load_rulebook

    rulebook = load_rulebook()
    table = Table("标签", "中文名", "类别", "严重程度", "定义")
    for identifier in (*LABELS, *TAGS):
        label = rulebook.label(identifier)
        table.add_row(identifier, label.name, label.category or "", label.severity or "", label.definition)
    console().print(table)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="显示版本")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except typer.Abort:
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as error:
        # Every wrong use: an unknown command or option, an argument too many, a value that does not fit.
        # Without any argument the help has been printed and there is nothing to add.
        if message := error.format_message().rstrip("."):
            typer.echo(f"错误：{message}；用 --help 查看用法", err=True)
        return 2
    except NlpComplianceError as error:
        typer.echo(f"错误：{error}", err=True)
        return 2
    except OSError as error:
        typer.echo(f"错误：读写失败：{error}", err=True)
        return 2
    # Typer hands back the code of `typer.Exit` as the value of the call.
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
