"""The commands below `rules`: list, show, try and prove the rules, the product's and a company's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from nlp_compliance.commands.shared import Rules, console, settings_with
from nlp_compliance.errors import RulebookError
from nlp_compliance.records import Document

rules_app = typer.Typer(help="列出、查看、试用和检查规则。", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.add_typer(rules_app, name="rules")


@rules_app.command("list")
def rules_list(rules: Rules = None) -> None:
    """列出全部规则。"""
    from nlp_compliance.rulebook import load_rulebook

    rulebook = load_rulebook(settings_with(rules).rules_dirs)
    table = Table("规则", "标签", "类型", "反例", title=f"规则库 {rulebook.version}")
    for rule in rulebook.rules:
        table.add_row(rule.id, rule.label, rule.kind, rule.bad[0])
    console().print(table)


@rules_app.command("show")
def rules_show(rule_id: str, rules: Rules = None) -> None:
    """查看一条规则的全部内容。"""
    from nlp_compliance.rulebook import load_rulebook
    from nlp_compliance.schema import rule_rows

    rows = {row["id"]: row for row in rule_rows(load_rulebook(settings_with(rules).rules_dirs))}
    if rule_id not in rows:
        raise typer.BadParameter(f"没有规则 {rule_id!r}；用 rules list 查看全部")
    console().print_json(orjson.dumps(rows[rule_id]).decode())


@rules_app.command("test")
def rules_test(sentence: str, rules: Rules = None) -> None:
    """用一句话试规则，列出命中的规则和位置。"""
    from nlp_compliance.detect.lexical import LexicalDetector
    from nlp_compliance.rulebook import load_rulebook
    from nlp_compliance.text.parse import parse

    detector = LexicalDetector(load_rulebook(settings_with(rules).rules_dirs), advisory=True)
    (hits,) = detector.detect([parse(Document(id="", text=sentence))])
    for hit in hits:
        run = sentence[hit.span.start : hit.span.end] if hit.span else ""
        typer.echo(f"{hit.rule}\t{hit.label}\t{hit.verdict}\t{run}")
    if not hits:
        typer.echo("没有规则命中")


@rules_app.command("lint")
def rules_lint(folders: Annotated[list[Path], typer.Argument(help="规则文件夹")]) -> None:
    """检查自有规则文件夹：格式、标签、法条、正反例；有错时退出码为1。"""
    from nlp_compliance.detect.lexical import LexicalDetector
    from nlp_compliance.rulebook import load_rulebook

    try:
        rulebook = load_rulebook(folders)
        LexicalDetector(rulebook, advisory=True)
    except RulebookError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"规则库 {rulebook.version}：{len(rulebook.rules)} 条规则，正反例全部通过")
