"""The commands `scan` and `report`: many files, one after the other or on many machines, and what they say together."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nlp_compliance.commands.shared import (
    Advisory,
    AsOf,
    FailOn,
    Format,
    Rules,
    day_of,
    exit_at,
    reader_for,
    settings_with,
    tell_unread,
    write_line,
)
from nlp_compliance.ingest.places import Place, is_there, place
from nlp_compliance.ingest.reader import SUFFIXES, Failure, globbed
from nlp_compliance.settings import Settings

if TYPE_CHECKING:
    # The commands import these when they run, so that `--help` answers at once.
    from nlp_compliance.rulebook import Rulebook
    from nlp_compliance.scan.local import Engine
    from nlp_compliance.scan.summary import Scanned, Summary
    from nlp_compliance.scan.worker import Job

    Results = Iterator[Scanned | Failure]

_FAILURES_SHOWN = 20
_RESUMABLE = (Format.JSONL, Format.CSV, Format.XLSX, Format.PARQUET)


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("scan")(scan_command)
    app.command("report")(report_command)


class EngineName(StrEnum):
    """Where a scan runs."""

    LOCAL = "local"
    RAY = "ray"


def scan_command(
    paths: Annotated[
        list[str], typer.Argument(help="文件、文件夹、压缩包或表格，可多个，可混合；也可以是 s3://… 等 fsspec 地址")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            help="输出文件：.jsonl .csv .xlsx .parquet .html，或以 / 结尾的 Parquet 文件夹；也可以是 fsspec 地址；缺省为标准输出",
        ),
    ] = None,
    output: Annotated[Format | None, typer.Option("--format", help="缺省按输出文件的扩展名")] = None,
    as_of: AsOf = None,
    rules: Rules = None,
    advisory: Advisory = None,
    fail_on: FailOn = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="进程数，每个进程一个模型")] = 1,
    engine: Annotated[EngineName, typer.Option(help="local 本机进程，ray 集群")] = EngineName.LOCAL,
    ray_address: Annotated[str | None, typer.Option(help="已有 Ray 集群的地址，缺省在本机启动")] = None,
    text_column: Annotated[str | None, typer.Option(help="表格中正文所在的列，缺省自动识别")] = None,
    partition_by: Annotated[
        str | None, typer.Option(help="输出为 Parquet 文件夹：week 按周、account 按账号、risk 按风险、none 不分区")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="存放进度的本机文件夹，缺省在输出旁边；输出为 fsspec 地址时缺省为当前文件夹")
    ] = None,
    restart: Annotated[bool, typer.Option(help="丢弃上次未完成的进度，从头开始")] = False,
    retry_errors: Annotated[bool, typer.Option(help="只重做上次失败的文件和行，其余结果保留（.jsonl）")] = False,
    progress: Annotated[bool, typer.Option(help="显示进度")] = True,
) -> None:
    """检查许多文件：文本、微信网页、docx、pdf、pptx、图片、邮件、表格、压缩包。

    坏行坏文件写入“<输出文件>.errors.jsonl”，不影响其余。中断后用同一命令继续，不丢不重。
    """
    if not all(p.strip() for p in paths):
        raise typer.BadParameter("要检查的路径是空的")
    places = [place(p) for p in paths]
    found = list(globbed(places))
    if absent := [str(p) for p in found if not is_there(p)]:
        raise typer.BadParameter(f"路径不存在：{', '.join(absent)}")
    from nlp_compliance.rulebook import load_rulebook
    from nlp_compliance.scan.summary import summary_text
    from nlp_compliance.scan.worker import Job

    settings = settings_with(rules, advisory=advisory)
    target, partition = _target(out, partition_by)
    if partition_by and target is None:
        raise typer.BadParameter("--partition-by 需要 -o 指定输出文件夹")
    if output is Format.HTML and target is None:
        target = Path("report.html")
    _refuse_to_overwrite(found, target)
    form = Format.PARQUET if partition else output or _form_of(target)
    if partition and isinstance(target, Path) and target.is_file():
        raise typer.BadParameter(f"{target} 是文件；按 --partition-by 输出需要文件夹")
    if target is not None and not partition and form in (*_RESUMABLE, Format.HTML) and _form_of(target) is not form:
        raise typer.BadParameter(
            f"--format {form.value} 的结果须写到扩展名为 .{form.value} 的文件，给出的是 {target.name}"
        )
    show = progress and sys.stderr.isatty()
    if target is not None and form in _RESUMABLE:
        job = Job(settings, day_of(as_of), text_column)
        runner = _engine(engine, workers, ray_address)
        how = {"partition_by": partition, "work": work, "restart": restart, "retry_errors": retry_errors}
        summary = _scan_to_file(places, target, job, runner, how, show=show)
    else:
        if engine is not EngineName.LOCAL or workers > 1 or restart or retry_errors or work:
            raise typer.BadParameter(
                "--workers、--work、--restart、--retry-errors 需要 -o 输出到 .jsonl .csv .xlsx 或 .parquet"
            )
        if target is not None and not isinstance(target, Path):
            raise typer.BadParameter(f"{form.value} 只能写到本机文件")
        summary = _scan_shown(places, target, form, settings, day_of(as_of), text_column, show=show)
    typer.echo(summary_text(summary, load_rulebook(settings.rules_dirs)), err=True)
    if form is Format.HTML:
        typer.echo(f"报告：{target}", err=True)
    if target is not None and summary.failed and form in _RESUMABLE:
        _tell_failures(target, summary.failed)
    exit_at([risk for risk, count in summary.risks.items() if count], fail_on)
    # A gate that read nothing at all was most likely given the wrong folder.
    if fail_on and (summary.failed or not summary.documents):
        raise typer.Exit(2)


def _engine(name: EngineName, workers: int, ray_address: str | None) -> Engine:
    from nlp_compliance.scan.local import in_processes, in_this_process

    if name is EngineName.RAY:
        from nlp_compliance.scan.cluster import in_cluster

        return in_cluster(workers, address=ray_address)
    return in_processes(workers) if workers > 1 else in_this_process


def _target(out: str | None, partition_by: str | None) -> tuple[Place | None, str | None]:
    """Where to write, and how a dataset is divided; no division where one file is meant."""
    if out is None:
        return None, None
    if not out.strip():
        raise typer.BadParameter("-o 后面的输出文件名是空的")
    target = place(out.rstrip("/"))
    if isinstance(target, Path) and target.name in ("", ".."):
        # The folder we stand in, by its name: work and errors files are named after it.
        target = target.resolve()
    is_folder = out.endswith("/") or (isinstance(target, Path) and target.is_dir())
    return target, partition_by or ("none" if is_folder else None)


def _refuse_to_overwrite(paths: Iterable[Place], target: Place | None) -> None:
    """Raises BadParameter when writing `target` would destroy what is to be read; an earlier result may be replaced."""
    if not isinstance(target, Path) or not target.is_file():
        return
    for path in (p for p in paths if isinstance(p, Path)):
        inside = path.is_dir() and target.resolve().is_relative_to(path.resolve())
        if (path.is_file() and path.samefile(target)) or (inside and _is_input(target)):
            raise typer.BadParameter(
                f"输出文件 {target} 本身就在要检查的文件之中，写入会毁掉它；请写到别处，或先移走它"
            )


def _is_input(target: Path) -> bool:
    """Whether a file would be read as input and is no result of an earlier scan."""
    if target.suffix.lower() not in SUFFIXES:
        return False
    if target.suffix.lower() != ".jsonl":
        return True
    with target.open("rb") as stream:
        try:
            first = orjson.loads(stream.readline())
        except ValueError:
            return True
    return not (isinstance(first, dict) and {"findings", "scores", "model"} <= first.keys())


def _scan_to_file(
    paths: Sequence[Place], out: Place, job: Job, engine: Engine, how: dict[str, Any], *, show: bool
) -> Summary:
    from nlp_compliance.scan.local import scan_to_file
    from nlp_compliance.scan.tasks import total_weight

    try:
        with _progress(lambda: total_weight(paths), enabled=show) as done:
            return scan_to_file(paths, out, job, engine=engine, progress=done, **how)
    except KeyboardInterrupt:
        typer.echo("已中断；已完成的结果保留，再次运行同一命令即可继续。", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        typer.echo(f"读写失败：{error}；已完成的结果保留，处理后再次运行同一命令即可继续。", err=True)
        raise typer.Exit(2) from error


def _tell_failures(out: Place, failed: int) -> None:
    from nlp_compliance.scan.outputs import errors_path
    from nlp_compliance.scan.summary import CAUSES

    with errors_path(out).open("rb") as stream:
        for line in islice(stream, _FAILURES_SHOWN):
            row = orjson.loads(line)
            cause = CAUSES.get(row["error"]["code"], row["error"]["code"])
            typer.echo(f"未能读取 {row['id']}：{cause}（{row['error']['message']}）", err=True)
    typer.echo(f"失败清单（{failed}）：{errors_path(out)}", err=True)


def _scan_shown(
    paths: Sequence[Place],
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
        results = _told(scan(checker, read_all(paths, reader_for(settings, text_column)), as_of=as_of), done)
        _write(form, out, results, checker.rulebook, summary)
    return summary


def _told(results: Results, done: Callable[[int, int], None]) -> Results:
    for item in results:
        yield item
        done(0, 1)


def _form_of(out: Place | None) -> Format:
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
        assert out is not None
        write_html(out, results, rulebook, summary)
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
            tell_unread(item)
        row = error_row(item) if isinstance(item, Failure) else result_row(item.document, item.report)
        if form is Format.JSONL:
            write_line(stream, row)
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
    write_monitor(out, monitor, load_rulebook(settings_with(None).rules_dirs))
    typer.echo(f"报告：{out}（{monitor.documents}篇，{len(monitor.cases)}篇有问题）", err=True)
