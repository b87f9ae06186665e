"""The command line: parse, call, print. Exit codes: 0 nothing to fail on, 1 findings at `--fail-on`, 2 wrong use."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from nlp_compliance import __version__, admin
from nlp_compliance.errors import NlpComplianceError, RulebookError
from nlp_compliance.ingest.isolate import isolated_reader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Item, Reader, globbed
from nlp_compliance.records import LABELS, TAGS, Document
from nlp_compliance.settings import Settings

if TYPE_CHECKING:
    # The commands import these when they run, so that `--help` answers at once.
    from nlp_compliance.rulebook import Rulebook
    from nlp_compliance.scan.local import Engine
    from nlp_compliance.scan.summary import Scanned, Summary
    from nlp_compliance.scan.worker import Job

    Results = Iterator[Scanned | Failure]

app = typer.Typer(
    name="nlp-compliance",
    help="检查惠民保及健康险宣传材料：虚假宣传、冒用政府名义、未充分披露。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
rules_app = typer.Typer(help="列出、查看、试用和检查规则。", no_args_is_help=True)
app.add_typer(rules_app, name="rules")
admin.register(app)

_RANKS = {"none": 0, "info": 0, "low": 1, "medium": 2, "high": 3}


class Level(StrEnum):
    """Lowest risk at which the exit code becomes 1."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class EngineName(StrEnum):
    """Where a scan runs."""

    LOCAL = "local"
    RAY = "ray"


class Format(StrEnum):
    """Forms of output."""

    JSON = "json"
    JSONL = "jsonl"
    TABLE = "table"
    HTML = "html"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


_FAILURES_SHOWN = 20
_RESUMABLE = (Format.JSONL, Format.CSV, Format.XLSX, Format.PARQUET)


FailOn = Annotated[Level | None, typer.Option(help="风险达到该级别时退出码为1")]
AsOf = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="按该日有效的规定引用法条，默认为文章发布日")]
Rules = Annotated[list[Path] | None, typer.Option("--rules", help="公司自有规则文件夹，可重复")]
Advisory = Annotated[bool, typer.Option(help="同时给出提示性规则的结果")]


def _settings(rules: Sequence[Path] | None, *, advisory: bool = False) -> Settings:
    settings = Settings.from_env()
    return settings.replace(rules_dirs=(*settings.rules_dirs, *(rules or ())), advisory=advisory or settings.advisory)


def _day(as_of: datetime | None) -> date | None:
    return as_of.date() if as_of else None


def _exit(risks: Sequence[str], fail_on: Level | None) -> None:
    if fail_on and max((_RANKS[r] for r in risks), default=0) >= _RANKS[fail_on]:
        raise typer.Exit(1)


@app.command()
def check(
    source: Annotated[
        str, typer.Argument(help="要检查的文字、文件路径、公众号文章网址（须开启 fetch），或 - 表示标准输入")
    ],
    as_of: AsOf = None,
    rules: Rules = None,
    advisory: Advisory = False,
    output: Annotated[Format, typer.Option("--format", help="table 或 json")] = Format.TABLE,
    fail_on: FailOn = None,
) -> None:
    """检查一段文字、一个文件或标准输入，标出证据、法律依据和修改建议。"""
    from nlp_compliance.checker import build_checker
    from nlp_compliance.report.terminal import document_view
    from nlp_compliance.schema import report_to_dict

    settings = _settings(rules, advisory=advisory)
    items = _sources(source, settings)
    checker = build_checker(settings)
    risks = []
    for item in items:
        if isinstance(item, Failure):
            raise item.error
        document, report = item, checker.check(item, as_of=_day(as_of))
        risks.append(report.risk)
        if output is Format.TABLE:
            _console().print(document_view(document, report, checker.rulebook))
        else:
            _write_line(sys.stdout, report_to_dict(report))
    _exit(risks, fail_on)


def _sources(source: str, settings: Settings) -> list[Item]:
    from nlp_compliance.ingest.fetch import fetch, is_address

    if source == "-":
        data = sys.stdin.buffer.read(settings.max_upload_bytes + 1)
        return list(_reader(settings).read_bytes(data, "stdin.txt"))
    if is_address(source):
        data = fetch(source, Limits.of(settings), allowed=settings.fetch)
        return list(_reader(settings).read_bytes(data, source))
    path = Path(source)
    if len(source) < 512 and "\n" not in source and path.is_file():
        return list(_reader(settings).read_path(path))
    return [Document(id="", text=source)]


def _reader(settings: Settings, text_column: str | None = None) -> Reader:
    return isolated_reader(Reader(Limits.of(settings), text_column))


def _console() -> Console:
    return Console(soft_wrap=False)


def _write_line(stream: TextIO, row: dict[str, object]) -> None:
    stream.write(orjson.dumps(row).decode() + "\n")


@app.command("scan")
def scan_command(
    paths: Annotated[list[Path], typer.Argument(help="文件、文件夹、压缩包或表格，可多个，可混合")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="输出文件：.jsonl .csv .xlsx .parquet .html；缺省为标准输出")
    ] = None,
    output: Annotated[Format | None, typer.Option("--format", help="缺省按输出文件的扩展名")] = None,
    as_of: AsOf = None,
    rules: Rules = None,
    advisory: Advisory = False,
    fail_on: FailOn = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="进程数，每个进程一个模型")] = 1,
    engine: Annotated[EngineName, typer.Option(help="local 本机进程，ray 集群")] = EngineName.LOCAL,
    ray_address: Annotated[str | None, typer.Option(help="已有 Ray 集群的地址，缺省在本机启动")] = None,
    text_column: Annotated[str | None, typer.Option(help="表格中正文所在的列，缺省自动识别")] = None,
    restart: Annotated[bool, typer.Option(help="丢弃上次未完成的进度，从头开始")] = False,
    retry_errors: Annotated[bool, typer.Option(help="只重做上次失败的文件和行，其余结果保留（.jsonl）")] = False,
    progress: Annotated[bool, typer.Option(help="显示进度")] = True,
) -> None:
    """检查许多文件：文本、微信网页、docx、pdf、pptx、图片、邮件、表格、压缩包。

    坏行坏文件写入“<输出文件>.errors.jsonl”，不影响其余。中断后用同一命令继续，不丢不重。
    """
    if absent := [str(p) for p in globbed(paths) if not p.exists()]:
        raise typer.BadParameter(f"路径不存在：{', '.join(absent)}")
    from nlp_compliance.rulebook import load_rulebook
    from nlp_compliance.scan.summary import summary_text
    from nlp_compliance.scan.worker import Job

    settings = _settings(rules, advisory=advisory)
    form = output or _form_of(out)
    show = progress and sys.stderr.isatty()
    if out is not None and form in _RESUMABLE:
        job = Job(settings, _day(as_of), text_column)
        runner = _engine(engine, workers, ray_address)
        summary = _scan_to_file(paths, out, job, runner, show=show, restart=restart, retry=retry_errors)
    else:
        if engine is not EngineName.LOCAL or workers > 1 or restart or retry_errors:
            raise typer.BadParameter(
                "--workers、--restart、--retry-errors 需要 -o 输出到 .jsonl .csv .xlsx 或 .parquet"
            )
        summary = _scan_shown(paths, out, form, settings, _day(as_of), text_column, show=show)
    typer.echo(summary_text(summary, load_rulebook(settings.rules_dirs)), err=True)
    if out is not None and summary.failed and form in _RESUMABLE:
        _tell_failures(out, summary.failed)
    _exit([risk for risk, count in summary.risks.items() if count], fail_on)


def _engine(name: EngineName, workers: int, ray_address: str | None) -> Engine:
    from nlp_compliance.scan.local import in_processes, in_this_process

    if name is EngineName.RAY:
        from nlp_compliance.scan.cluster import in_cluster

        return in_cluster(workers, address=ray_address)
    return in_processes(workers) if workers > 1 else in_this_process


def _scan_to_file(
    paths: Sequence[Path], out: Path, job: Job, engine: Engine, *, show: bool, restart: bool, retry: bool
) -> Summary:
    from nlp_compliance.scan.local import scan_to_file
    from nlp_compliance.scan.tasks import total_weight

    try:
        with _progress(lambda: total_weight(paths), enabled=show) as done:
            return scan_to_file(paths, out, job, engine=engine, restart=restart, retry_errors=retry, progress=done)
    except KeyboardInterrupt:
        typer.echo("已中断；已完成的结果保留，再次运行同一命令即可继续。", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(f"写入失败：{error}；已完成的结果保留，处理后再次运行同一命令即可继续。", err=True)
        raise typer.Exit(2) from error


def _tell_failures(out: Path, failed: int) -> None:
    from nlp_compliance.scan.local import errors_path
    from nlp_compliance.scan.summary import CAUSES

    with errors_path(out).open("rb") as stream:
        for line in islice(stream, _FAILURES_SHOWN):
            row = orjson.loads(line)
            cause = CAUSES.get(row["error"]["code"], row["error"]["code"])
            typer.echo(f"未能读取 {row['id']}：{cause}（{row['error']['message']}）", err=True)
    typer.echo(f"失败清单（{failed}）：{errors_path(out)}", err=True)


def _scan_shown(
    paths: Sequence[Path],
    out: Path | None,
    form: Format,
    settings: Settings,
    as_of: date | None,
    text_column: str | None,
    *,
    show: bool,
) -> Summary:
    from nlp_compliance.checker import build_checker
    from nlp_compliance.scan.local import read_all, scan
    from nlp_compliance.scan.summary import Summary

    checker = build_checker(settings)
    summary = Summary()
    with _progress(lambda: None, enabled=show) as done:
        results = _told(scan(checker, read_all(paths, _reader(settings, text_column)), as_of=as_of), done)
        _write(form, out, results, checker.rulebook, summary)
    return summary


def _told(results: Results, done: Callable[[int, int], None]) -> Results:
    for item in results:
        yield item
        done(0, 1)


def _form_of(out: Path | None) -> Format:
    suffix = out.suffix.lstrip(".").lower() if out else "jsonl"
    try:
        return Format({"htm": "html"}.get(suffix, suffix))
    except ValueError as error:
        allowed = ", ".join(f.value for f in Format)
        raise typer.BadParameter(f"输出文件扩展名是 {suffix!r}，可用：{allowed}，或用 --format 指定") from error


def _write(form: Format, out: Path | None, results: Results, rulebook: Rulebook, summary: Summary) -> None:
    from nlp_compliance.report.html import write_html
    from nlp_compliance.report.terminal import print_results

    if form in (Format.CSV, Format.XLSX, Format.PARQUET):
        raise typer.BadParameter(f"--format {form.value} 需要 -o 指定输出文件")
    if form is Format.HTML:
        write_html(out or Path("report.html"), results, rulebook, summary)
        return
    with _stream(out) as stream:
        if form is Format.TABLE:
            print_results(Console(file=stream), results, rulebook, summary)
        else:
            _write_rows(form, stream, results, summary)


def _write_rows(form: Format, stream: TextIO, results: Results, summary: Summary) -> None:
    from nlp_compliance.scan.worker import error_row, result_row

    rows = []
    for item in results:
        summary.add(item)
        if isinstance(item, Failure):
            typer.echo(f"未能读取 {item.id}：{item.error}", err=True)
        row = error_row(item) if isinstance(item, Failure) else result_row(item.document, item.report)
        if form is Format.JSONL:
            _write_line(stream, row)
        else:
            rows.append(row)
    if form is Format.JSON:
        stream.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")


@contextmanager
def _stream(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as stream:
        yield stream


@contextmanager
def _progress(total: Callable[[], int | None], *, enabled: bool) -> Iterator[Callable[[int, int], None]]:
    """Progress by bytes of input, with documents a second and the time left."""
    columns = (
        TextColumn("检查"),
        BarColumn(),
        TextColumn("{task.fields[documents]} 篇 · {task.fields[rate]:.0f} 篇/秒 · 剩余"),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not enabled) as bar:
        task = bar.add_task("scan", total=total() if enabled else None, documents=0, rate=0.0)
        started, documents = time.monotonic(), 0

        def done(weight: int, count: int) -> None:
            nonlocal documents
            documents += count
            rate = documents / max(time.monotonic() - started, 0.001)
            bar.update(task, advance=weight, documents=documents, rate=rate)

        yield done


@app.command("report")
def report_command(
    results: Annotated[Path, typer.Argument(help="scan 写出的 .jsonl", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="监测报告：.html 或 .xlsx")],
    previous: Annotated[
        Path | None, typer.Option(help="上一次扫描的 .jsonl，用来标出新增", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """把扫描结果做成监测报告：账号排名、标签与周、同文传播、新增、逐篇证据。不联网即可打开。"""
    from nlp_compliance.report.monitor import gather, write_monitor
    from nlp_compliance.rulebook import load_rulebook

    monitor = gather(results, previous)
    write_monitor(out, monitor, load_rulebook(_settings(None).rules_dirs))
    typer.echo(f"报告：{out}（{monitor.documents}篇，{len(monitor.cases)}篇有问题）", err=True)


@app.command()
def labels() -> None:
    """列出全部标签：类别、中文名、严重程度、定义。"""
    from nlp_compliance.rulebook import load_rulebook

    rulebook = load_rulebook()
    table = Table("标签", "中文名", "类别", "严重程度", "定义")
    for identifier in (*LABELS, *TAGS):
        label = rulebook.label(identifier)
        table.add_row(identifier, label.name, label.category or "", label.severity or "", label.definition)
    _console().print(table)


@rules_app.command("list")
def rules_list(rules: Rules = None) -> None:
    """列出全部规则。"""
    from nlp_compliance.rulebook import load_rulebook

    rulebook = load_rulebook(_settings(rules).rules_dirs)
    table = Table("规则", "标签", "类型", "反例", title=f"规则库 {rulebook.version}")
    for rule in rulebook.rules:
        table.add_row(rule.id, rule.label, rule.kind, rule.bad[0])
    _console().print(table)


@rules_app.command("show")
def rules_show(rule_id: str, rules: Rules = None) -> None:
    """查看一条规则的全部内容。"""
    from nlp_compliance.rulebook import load_rulebook
    from nlp_compliance.schema import rule_rows

    rows = {row["id"]: row for row in rule_rows(load_rulebook(_settings(rules).rules_dirs))}
    if rule_id not in rows:
        raise typer.BadParameter(f"没有规则 {rule_id!r}；用 rules list 查看全部")
    _console().print_json(orjson.dumps(rows[rule_id]).decode())


@rules_app.command("test")
def rules_test(sentence: str, rules: Rules = None) -> None:
    """用一句话试规则，列出命中的规则和位置。"""
    from nlp_compliance.detect.lexical import LexicalDetector
    from nlp_compliance.rulebook import load_rulebook
    from nlp_compliance.text.parse import parse

    detector = LexicalDetector(load_rulebook(_settings(rules).rules_dirs), advisory=True)
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
    except typer.BadParameter as error:
        error.show()
        return 2
    except NlpComplianceError as error:
        typer.echo(f"错误：{error}", err=True)
        return 2
    # Typer hands back the code of `typer.Exit` as the value of the call.
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
