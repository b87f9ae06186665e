"""Commands of whoever runs the server: serve, keys, people, audit, backup, restore, purge."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from nlp_compliance.errors import SettingsError
from nlp_compliance.settings import PREFIX, Settings

if TYPE_CHECKING:
    # The commands import these when they run, so that `--help` answers at once.
    from nlp_compliance.checker import Checker
    from nlp_compliance.web.desk.app import Desk

keys_app = typer.Typer(help="平台调用接口所用的密钥。", no_args_is_help=True)
people_app = typer.Typer(help="审核台的人员。", no_args_is_help=True)
audit_app = typer.Typer(help="审核台的操作记录。", no_args_is_help=True)
# A caller who keeps a connection open must not keep a stopping server alive for ever.
_GRACEFUL_STOP_S = 60
_WORKER_ANSWER_S = 120


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(serve)
    app.command()(backup)
    app.command()(restore)
    app.command()(purge)
    app.add_typer(keys_app, name="keys")
    app.add_typer(people_app, name="people")
    app.add_typer(audit_app, name="audit")


@contextmanager
def _desk(*, new: bool = False) -> Iterator[Desk]:
    """The desk; with `new` its database is made where there is none, else that raises SettingsError."""
    from nlp_compliance.web.desk.app import open_desk

    settings = Settings.from_env()
    if not new:
        _check_database(settings)
    desk = open_desk(settings)
    try:
        yield desk
    finally:
        desk.database.close()


def _check_database(settings: Settings) -> None:
    """In the wrong folder, or without its setting, a command would make an empty database and say that all is empty."""
    from nlp_compliance.store.database import sqlite_url

    system, _, place = (settings.database_url or sqlite_url(settings.data_dir)).partition(":///")
    path = Path(place.partition("?")[0])
    if system.startswith("sqlite") and not path.is_file():
        raise SettingsError(
            f"没有找到审核台的数据库：{path.absolute()}；请用环境变量 {PREFIX}DATA_DIR 指定数据文件夹，"
            f"或用 {PREFIX}DATABASE_URL 指定数据库；首次使用请先运行 nlp-compliance serve"
        )


def serve(
    host: Annotated[str | None, typer.Option(help="监听地址，缺省为本机")] = None,
    port: Annotated[int | None, typer.Option(help="端口")] = None,
    rules: Annotated[list[Path] | None, typer.Option("--rules", help="公司自有规则文件夹，可重复")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="服务进程数，每个进程一个模型")] = None,
) -> None:
    """启动审核台（网页）和评分接口：POST /v1/score 等，接口说明见 /docs。"""
    import uvicorn

    settings = Settings.from_env()
    settings = settings.replace(
        host=host or settings.host,
        port=settings.port if port is None else port,
        rules_dirs=(*settings.rules_dirs, *(rules or ())),
        workers=workers or settings.workers,
    )
    link = _prepare(settings)
    checker = _loaded(settings)
    if link:
        typer.echo(
            f"首次使用：在浏览器打开 http://{settings.host}:{settings.port}{link} 创建管理员（链接只能用一次）",
            err=True,
        )
    options = {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": _GRACEFUL_STOP_S,
        # The supervisor kills a worker that does not answer in time; one that loads its model on a busy machine must not be.
        "timeout_worker_healthcheck": _WORKER_ANSWER_S,
    }
    _hand_down(settings)
    if checker is not None:
        from nlp_compliance.web.app import create_app
        from nlp_compliance.web.desk.app import open_desk

        uvicorn.run(create_app(settings, checker, open_desk(settings)), **options)  # type: ignore[arg-type]
        return
    application = "nlp_compliance.web.app:from_environment"
    with tempfile.TemporaryDirectory() as figures:
        # Read by the metrics library when a worker loads it: all workers add up their figures here.
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", figures)
        uvicorn.run(application, factory=True, workers=settings.workers, **options)  # type: ignore[arg-type]


def _prepare(settings: Settings) -> str | None:
    """What happens once, before any server process: checks, uploads left over; gives the path of the first start."""
    from nlp_compliance.store import keys, repository
    from nlp_compliance.web import logs
    from nlp_compliance.web.desk.app import open_desk, setup_link

    logs.configure(settings.log_level)
    desk = open_desk(settings)
    try:
        with desk.database.transaction() as session:
            if not keys.all_keys(session):
                settings.check_exposure()
        link = setup_link(desk)
        if link and not settings.is_loopback:
            raise SettingsError(
                f"host is {settings.host}, which others can reach, and the review desk has no administrator yet; "
                "start once on 127.0.0.1, open the link it prints, then listen on other addresses"
            )
        # Before anything is released: what has the port may be a server at work on the same folder.
        _check_port(settings)
        if desk.database.is_sqlite:
            with desk.database.transaction() as session:
                repository.release_all(session)
    finally:
        desk.database.close()
    return link


def _check_port(settings: Settings) -> None:
    """Raises SettingsError where nobody can listen at host and port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"端口{settings.port}已被占用；请停止占用它的程序，或用 --port 换一个端口") from error
        raise SettingsError(
            f"不能在{settings.host}:{settings.port}监听（{error.strerror}）；请检查 --host 和 --port"
        ) from error


def _loaded(settings: Settings) -> Checker | None:
    """The checker of the one server process; several build their own, so that here only their files are proved."""
    from nlp_compliance.checker import build_checker
    from nlp_compliance.inference.bundle import open_bundle
    from nlp_compliance.rulebook import load_rulebook

    if settings.workers == 1:
        return build_checker(settings)
    load_rulebook(settings.rules_dirs)
    if "model" in settings.detectors and (settings.bundle / "manifest.json").is_file():
        open_bundle(settings.bundle)
    return None


def _hand_down(settings: Settings) -> None:
    """Server processes read their settings from the environment."""
    changed = {
        "HOST": settings.host,
        "PORT": str(settings.port),
        "WORKERS": str(settings.workers),
        "RULES_DIRS": os.pathsep.join(map(str, settings.rules_dirs)),
    }
    os.environ.update({PREFIX + name: value for name, value in changed.items()})


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="谁用这个密钥，例如平台名称")],
    scope: Annotated[list[str] | None, typer.Option(help="权限，可重复：score documents rules metrics")] = None,
    rate: Annotated[int, typer.Option(help="每分钟最多调用次数")] = 600,
    days: Annotated[int, typer.Option(help="有效天数，0为长期")] = 365,
    webhook: Annotated[str | None, typer.Option(help="结果出来后通知的地址，https://…")] = None,
) -> None:
    """新建密钥。密钥只显示这一次，服务器只保存它的哈希。"""
    from nlp_compliance.store import keys, webhooks

    with _desk(new=True) as desk, desk.database.transaction() as session:
        row, key = keys.create(
            session,
            name,
            scopes=scope or ["score", "documents", "rules"],
            rate_per_minute=rate,
            days=days or None,
            webhook_url=webhook,
            by="cli",
        )
        signing = webhooks.webhook_secret(session, row) if webhook else ""
    typer.echo(f"密钥（只显示一次）：{key}")
    if signing:
        typer.echo(f"回调签名密钥：{signing}")


@keys_app.command("list")
def keys_list() -> None:
    """列出全部密钥：名称、权限、每分钟次数、到期、状态。"""
    from nlp_compliance.store import keys
    from nlp_compliance.store.schema import now

    with _desk() as desk, desk.database.reading() as session:
        rows = keys.all_keys(session)
    table = Table("名称", "开头", "权限", "每分钟", "到期", "状态", "回调")
    for row in rows:
        state = "已停用" if row.revoked_at else "在用" if keys.usable(row, now()) else "已过期"
        expires = f"{row.expires_at:%Y-%m-%d}" if row.expires_at else "长期"
        rate = str(row.rate_per_minute)
        table.add_row(row.name, f"nc_{row.prefix}_", row.scopes, rate, expires, state, row.webhook_url or "")
    Console().print(table)


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument(help="密钥名称")]) -> None:
    """停用密钥；正在运行的服务在10秒内生效。"""
    from nlp_compliance.store import keys

    with _desk() as desk, desk.database.transaction() as session:
        keys.revoke(session, name, by="cli")
    typer.echo(f"已停用：{name}")


@people_app.command("add")
def people_add(
    name: Annotated[str, typer.Argument(help="姓名")],
    role: Annotated[str, typer.Option(help="viewer 只读，reviewer 审核员，approver 复核员，admin 管理员")] = "admin",
    password: Annotated[
        str, typer.Option(prompt="口令", hide_input=True, confirmation_prompt=True, help="缺省为提示输入")
    ] = "",
) -> None:
    """添加人员，例如在容器里创建第一个管理员。"""
    from nlp_compliance.store import people

    with _desk(new=True) as desk, desk.database.transaction() as session:
        people.create_user(session, name, password, role, by="cli")
    typer.echo(f"已添加：{name}")


@people_app.command("list")
def people_list() -> None:
    """列出全部人员：姓名、角色、状态。"""
    from sqlalchemy import select

    from nlp_compliance.store import people
    from nlp_compliance.store.schema import User

    with _desk() as desk, desk.database.reading() as session:
        users = session.scalars(select(User).order_by(User.id)).all()
    table = Table("姓名", "角色", "状态")
    for user in users:
        table.add_row(user.name, people.ROLES[user.role], "在用" if user.active else "停用")
    Console().print(table)


@audit_app.command("verify")
def audit_verify() -> None:
    """逐条核对操作记录的哈希链：任何改动、删除、调换都会被发现（退出码1）。"""
    from nlp_compliance.store import audit

    with _desk() as desk, desk.database.reading() as session:
        count, faults = audit.verify(session)
    for fault in faults:
        typer.echo(fault, err=True)
    typer.echo(f"共{count}条，{'发现问题' if faults else '完整'}")
    if faults:
        raise typer.Exit(1)


@audit_app.command("export")
def audit_export(out: Annotated[Path, typer.Option("-o", "--out", help="输出文件 .jsonl")]) -> None:
    """导出全部操作记录，一行一条。"""
    from nlp_compliance.store import audit

    count = 0
    with _desk() as desk, desk.database.reading() as session, out.open("wb") as stream:
        for entry in audit.entries(session):
            stream.write(orjson.dumps(audit.row(entry)) + b"\n")
            count += 1
    typer.echo(f"已导出{count}条：{out}", err=True)


def backup(target: Annotated[Path, typer.Argument(help="备份文件 .zip，须不存在")]) -> None:
    """备份数据库和全部上传文件，服务可以照常运行。备份含口令哈希和签名密钥，请妥善保管。"""
    from nlp_compliance.store.backup import back_up

    with _desk() as desk:
        kept = back_up(desk.database, desk.files, target)
    typer.echo(f"已备份{kept.rows}行、{kept.files}个文件：{target}", err=True)


def restore(source: Annotated[Path, typer.Argument(help="备份文件 .zip", exists=True, dir_okay=False)]) -> None:
    """把备份恢复到空的数据库（SQLite 或 PostgreSQL），并核对操作记录。"""
    from nlp_compliance.store.backup import restore as restore_backup

    with _desk(new=True) as desk:
        kept = restore_backup(desk.database, desk.files, source)
    typer.echo(f"已恢复{kept.rows}行、{kept.files}个文件，操作记录完整", err=True)


def purge(
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="删除早于多少天的上传，缺省按设置 retention_days")
    ] = None,
) -> None:
    """彻底删除早于保留期限的上传：文件、正文、检查结果和审核决定。操作记录保留。"""
    from nlp_compliance.store.retention import purge as purge_older
    from nlp_compliance.store.schema import now

    with _desk() as desk:
        kept_days = days or desk.settings.retention_days
        if not kept_days:
            raise typer.BadParameter(f"没有设置保留期限；用 --days 指定，或设置 {PREFIX}RETENTION_DAYS")
        gone = purge_older(desk.database, desk.files, before=now() - timedelta(days=kept_days), by="cli")
    typer.echo(f"已删除{gone.uploads}次上传、{gone.documents}篇材料、{gone.files}个文件", err=True)
