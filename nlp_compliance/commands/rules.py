"""The commands below `rules`: list, show, try and prove the rules, the product's and a company's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.table import Table

from nlp_compliance.commands.shared import Rules, console, settings_with
from nlp_compliance.errors import RulebookError
from nlp_compliance.records import Document

if TYPE_CHECKING:
    # The commands import these when they run, so that `--help` answers at once.
    from nlp_compliance.rulebook import Rule, Rulebook

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
    """检查自有规则文件夹：格式、标签、法条、正反例；有错时退出码为1。同一用语判断不同的规则只作提示。"""
    from nlp_compliance.detect.lexical import LexicalDetector
    from nlp_compliance.rulebook import load_rulebook

    try:
        rulebook = load_rulebook(folders)
        LexicalDetector(rulebook, advisory=True)
    except RulebookError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    for words in _contradictions(rulebook, folders):
        typer.echo(words, err=True)
    typer.echo(f"规则库 {rulebook.version}：{len(rulebook.rules)} 条规则，正反例全部通过")


def _contradictions(rulebook: Rulebook, folders: Sequence[Path]) -> Iterator[str]:
    """A line for every term that two rules take differently, one of them from `folders`: both count, which few authors mean."""
    from nlp_compliance.text.normalise import normalise

    by_term: dict[str, list[Rule]] = {}
    for rule in rulebook.rules:
        for term in dict.fromkeys(normalise(term).text for term in rule.terms):
            by_term.setdefault(term, []).append(rule)
    own = {rule.id for rule in rulebook.rules if any(Path(rulebook.places[rule.id]).is_relative_to(f) for f in folders)}
    for term, rules in by_term.items():
        for one, other in combinations(rules, 2):
            if not own.isdisjoint((one.id, other.id)) and (one.kind, one.label) != (other.kind, other.label):
                told = "，".join(f"{r.id}（{r.kind} {r.label}，{rulebook.places[r.id]}）" for r in (one, other))
                yield f"提示：用语“{term}”在两条规则中判断不同，两条都会生效：{told}"
