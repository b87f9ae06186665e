"""The review desk: pages for officers, mounted beside the endpoint. Server-rendered; every page works with the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files as resource_files
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from asgi_csrf import asgi_csrf
from fastapi import Depends, FastAPI, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from jinja2 import Environment, FunctionLoader, StrictUndefined
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from nlp_compliance.checker import Checker
from nlp_compliance.errors import (
    ForbiddenError,
    InputError,
    LimitExceededError,
    NlpComplianceError,
    UnauthorizedError,
)
from nlp_compliance.ingest.image import shown_size
from nlp_compliance.ingest.isolate import isolated_reader
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import SUFFIXES, Reader
from nlp_compliance.records import CATEGORY_LABELS, VIOLATION_LABELS, Document
from nlp_compliance.rulebook import Rulebook
from nlp_compliance.scan.outputs import RISKS
from nlp_compliance.schema import report_to_dict
from nlp_compliance.settings import Settings
from nlp_compliance.store import audit, people, repository
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.repository import Filters
from nlp_compliance.store.schema import ReadFailure, StoredDocument, Upload, User
from nlp_compliance.web import errors
from nlp_compliance.web.desk import exports, view
from nlp_compliance.web.desk.jobs import JobRunner, Judge

CATEGORIES = {
    "false_publicity": "虚假或误导宣传",
    "government_underwriting": "冒用政府名义",
    "missing_disclosure": "未充分披露",
}
# What an officer can do about each kind of failure; the reader's own words follow for whoever looks closer.
FAILURES = {
    "format_unsupported": "没有读取这种文件的方法，请转存为 Word、PDF、图片、网页、文本或表格再上传",
    "file_unreadable": "文件损坏、加密或内容与扩展名不符，请重新保存后再上传",
    "limit_exceeded": "文件超过允许的大小、页数、像素或展开体积，请拆分后再上传",
    "text_empty": "文件里没有文字",
    "text_too_long": "文字太长，请拆分后再上传",
    "text_encoding": "文字编码无法识别，请另存为UTF-8",
    "record_invalid": "表格中有一行无法使用",
    "extra_missing": "服务器没有安装读取这种文件所需的组件，请联系管理员",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_UPLOADS_SHOWN = 12


@dataclass(slots=True)
class Desk:
    """Everything the pages need; open it once, `close` it at the end."""

    settings: Settings
    database: Database
    files: FileStore
    templates: Environment
    checker: Checker | None = None
    runner: JobRunner | None = None

    def start(self, checker: Checker) -> None:
        """Takes up what an earlier server left and begins to work."""
        self.checker = checker
        if self.database.url.startswith("sqlite"):
            with self.database.transaction() as session:
                repository.release_all(session)
        reader = isolated_reader(Reader(Limits.of(self.settings)))
        self.runner = JobRunner(self.database, self.files, Judge(reader, checker))
        self.runner.start()

    def close(self) -> None:
        if self.runner:
            self.runner.stop()
        self.database.close()

    @property
    def rulebook(self) -> Rulebook:
        assert self.checker is not None
        return self.checker.rulebook

    def wake(self) -> None:
        if self.runner:
            self.runner.wake()


def open_desk(settings: Settings) -> Desk:
    """Opens database and file store. Raises StoreError."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url or sqlite_url(settings.data_dir))
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        risks=RISKS,
        severities=exports.SEVERITIES,
        states=repository.STATES,
        verdicts=repository.VERDICTS,
        actions=repository.ACTIONS,
        roles=people.ROLES,
        law=exports.law,
        failure_text=lambda f: FAILURES.get(f.code, "未能处理"),
        categories=CATEGORIES,
        category_labels=CATEGORY_LABELS,
        violation_labels=VIOLATION_LABELS,
        suffixes=",".join(SUFFIXES),
        may=people.may,
    )
    return Desk(settings, database, FileStore(settings.data_dir / "files"), environment)


def _template(name: str) -> str:
    return (resource_files("nlp_compliance") / "resources" / "templates" / "desk" / name).read_text(encoding="utf-8")


def setup_link(desk: Desk) -> str | None:
    """The path that creates the first administrator, once; None when somebody can already log in."""
    with desk.database.transaction() as session:
        token = people.setup_token(session)
    return f"/setup?token={token}" if token else None


def add_desk(app: FastAPI, desk: Desk) -> None:
    """Adds the pages to the application."""
    with desk.database.transaction() as session:
        signing = people.secret(session, "session").hex()
    app.state.desk = desk
    static = resource_files("nlp_compliance") / "resources" / "static"
    app.mount("/static", StaticFiles(directory=str(static)), name="static")
    for add in (_login_pages, _list_pages, _upload_routes, _document_pages, _decision_routes, _admin_pages):
        add(app)
    app.add_exception_handler(NlpComplianceError, _handle_known)
    app.add_exception_handler(RequestValidationError, _handle_form)
    app.add_middleware(BaseHTTPMiddleware, dispatch=_page_headers)
    app.add_middleware(
        asgi_csrf,
        signing_secret=signing,
        always_protect={"/login", "/setup"},
        cookie_secure=desk.settings.secure_cookies,
        # Scoring callers prove themselves by key, not by cookie.
        skip_if_scope=lambda scope: scope["path"].startswith("/v1/"),
    )
    app.add_middleware(_MultipartNeedsHeader)
    app.add_middleware(
        SessionMiddleware,
        secret_key=signing,
        max_age=desk.settings.session_hours * 3600,
        same_site="lax",
        https_only=desk.settings.secure_cookies,
        session_cookie="desk_session",
    )


class _MultipartNeedsHeader:
    """Uploads carry the token in a header (desk.js sends it), so that no body is read before it is known to be ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        multipart = headers.get(b"content-type", b"").startswith(b"multipart/")
        if multipart and b"x-csrftoken" not in headers and not scope["path"].startswith("/v1/"):
            await PlainTextResponse("上传需要启用脚本（JavaScript）的浏览器", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


async def _page_headers(request: Request, call_next: Callable[[Request], Any]) -> Response:
    answer: Response = await call_next(request)
    if not request.url.path.startswith(("/v1/", "/docs", "/openapi", "/redoc", "/static")):
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
    return answer


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


class NeedsLoginError(UnauthorizedError):
    """Nobody is logged in; pages answer with the login form."""


def _person(request: Request) -> User:
    """The person logged in. Raises NeedsLoginError."""
    known = request.session.get("user")
    if known is not None:
        with _desk(request).database.transaction() as session:
            user = session.get(User, known[0])
        if user is not None and user.active and user.session_epoch == known[1]:
            return user
    raise NeedsLoginError("请先登录")


def _with_role(role: str) -> Callable[[Request], User]:
    def person(request: Request) -> User:
        user = _person(request)
        if not people.may(user, role):
            raise ForbiddenError(f"该操作需要“{people.ROLES[role]}”或以上角色，您的角色是“{people.ROLES[user.role]}”")
        return user

    return person


Viewer = Annotated[User, Depends(_with_role("viewer"))]
Reviewer = Annotated[User, Depends(_with_role("reviewer"))]
Approver = Annotated[User, Depends(_with_role("approver"))]
Admin = Annotated[User, Depends(_with_role("admin"))]


def _page(request: Request, template: str, /, status: int = 200, **values: Any) -> HTMLResponse:
    desk = _desk(request)
    csrf = request.scope["csrftoken"]()
    text = desk.templates.get_template(template).render(
        csrf=csrf, path=request.url.path, label_name=lambda i: desk.rulebook.label(i).name, **values
    )
    return HTMLResponse(text, status)


def _back(url: str) -> RedirectResponse:
    return RedirectResponse(url, status_code=303)


async def _handle_known(request: Request, error: Exception) -> Response:
    """The one error shape for the endpoint, a page for people."""
    assert isinstance(error, NlpComplianceError)
    if request.url.path.startswith("/v1/"):
        return await errors.handle_known(request, error)
    return await run_in_threadpool(error_page, request, errors.status_of(error), str(error))


async def _handle_form(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = "、".join(str(e["loc"][-1]) for e in error.errors())
    return await run_in_threadpool(error_page, request, 422, f"表单内容不完整或格式不对：{fields}")


def error_page(request: Request, status: int, message: str) -> Response:
    """An error on a page: the login form where nobody is logged in, else the message with a way back."""
    user = None
    with suppress(NlpComplianceError):
        user = _person(request)
    if user is None and request.method == "GET" and request.url.path not in ("/login", "/setup"):
        return _back(f"/login?next={quote(request.url.path)}")
    return _page(request, "error.html", status, user=user, message=message)


def _login_pages(app: FastAPI) -> None:
    @app.get("/login", include_in_schema=False)
    def login_form(request: Request, next: str = "/") -> Response:
        return _page(request, "login.html", user=None, next=_inside(next), error="", name="")

    @app.post("/login", include_in_schema=False)
    def login(
        request: Request,
        name: Annotated[str, Form()],
        password: Annotated[str, Form()],
        next: Annotated[str, Form()] = "/",
    ) -> Response:
        failure = ""
        with _desk(request).database.transaction() as session:
            try:
                user = people.log_in(session, name, password)
            except UnauthorizedError as error:
                failure = str(error)
        if failure:
            return _page(request, "login.html", 401, user=None, next=_inside(next), error=failure, name=name)
        request.session.clear()
        request.session["user"] = [user.id, user.session_epoch]
        return _back(_inside(next))

    @app.post("/logout", include_in_schema=False)
    def logout(request: Request) -> Response:
        request.session.clear()
        return _back("/login")

    @app.get("/setup", include_in_schema=False)
    def setup_form(request: Request, token: str = "") -> Response:
        return _page(request, "setup.html", user=None, token=token, error="")

    @app.post("/setup", include_in_schema=False)
    def setup(
        request: Request,
        token: Annotated[str, Form()],
        name: Annotated[str, Form()],
        password: Annotated[str, Form()],
    ) -> Response:
        try:
            with _desk(request).database.transaction() as session:
                user = people.use_setup_token(session, token, name, password)
        except (InputError, UnauthorizedError) as error:
            return _page(request, "setup.html", 422, user=None, token=token, error=str(error))
        request.session["user"] = [user.id, user.session_epoch]
        return _back("/")


def _inside(url: str) -> str:
    """Only places of this server may be returned to."""
    return url if url.startswith("/") and not url.startswith(("//", "/\\")) else "/"


def _list_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def work_list(
        request: Request,
        user: Viewer,
        q: str = "",
        risk: str = "",
        state: str = "",
        label: str = "",
        mine: str = "",
        page: int = 1,
    ) -> Response:
        filters = Filters(q, risk, state, label, user.id if mine else None, max(1, page))
        with _desk(request).database.transaction() as session:
            total, documents = repository.find_documents(session, filters)
            names = _names(session)
            uploads = _recent_uploads(session)
        return _page(
            request,
            "list.html",
            user=user,
            documents=documents,
            total=total,
            pages=max(1, -(-total // repository.PAGE_SIZE)),
            filters=filters,
            mine=mine,
            names=names,
            uploads=uploads,
            now=datetime.now(UTC),
            settings=_desk(request).settings,
        )

    @app.get("/uploads", include_in_schema=False)
    def uploads(request: Request, user: Viewer) -> Response:
        with _desk(request).database.transaction() as session:
            found = _recent_uploads(session)
        return _page(request, "uploads.html", uploads=found)

    @app.get("/overview", include_in_schema=False)
    def overview(request: Request, user: Viewer) -> Response:
        with _desk(request).database.transaction() as session:
            figures = repository.overview(session)
        return _page(request, "overview.html", user=user, figures=figures)


def _names(session: Any) -> dict[int, str]:
    return dict(session.execute(select(User.id, User.name)).all())


@dataclass(frozen=True, slots=True)
class _UploadRow:
    upload: Upload
    documents: list[int]
    failures: list[ReadFailure]


def _recent_uploads(session: Any) -> list[_UploadRow]:
    rows = []
    for upload in session.scalars(select(Upload).order_by(Upload.id.desc()).limit(_UPLOADS_SHOWN)):
        own = select(StoredDocument.id).where(StoredDocument.upload_id == upload.id).order_by(StoredDocument.ordinal)
        failures = session.scalars(select(ReadFailure).where(ReadFailure.upload_id == upload.id)).all()
        rows.append(_UploadRow(upload, list(session.scalars(own)), list(failures)))
    return rows


def _upload_routes(app: FastAPI) -> None:
    @app.post("/uploads", include_in_schema=False)
    async def upload(request: Request, user: Reviewer) -> Response:
        desk = _desk(request)
        _check_length(request, desk.settings.max_upload_bytes * desk.settings.max_files)
        async with request.form(max_files=desk.settings.max_files, max_fields=10) as form:
            previous = int(str(form.get("previous") or 0)) or None
            text = str(form.get("text") or "").replace("\r\n", "\n")
            title = str(form.get("title") or "").strip()
            given = [f for f in form.getlist("files") if not isinstance(f, str) and f.filename]
            contents = [(str(f.filename), await _bytes_of(f, desk.settings.max_upload_bytes)) for f in given]
        # A new version is the file where one is given; the text field then only repeats the old version.
        if text.strip() and not (previous and contents):
            contents.append((f"{title or '粘贴的文字'}.txt", text.encode("utf-8", "replace")))
        if not contents:
            raise InputError("没有文件也没有文字；请选择文件、拖入文件，或粘贴文字")
        for name, data in contents:
            _accept(desk, user, name, data, previous)
        desk.wake()
        return _back("/")


def _check_length(request: Request, most: int) -> None:
    """Refuses before anything is read: a request says how long it is, and that is within bounds."""
    said = request.headers.get("content-length", "")
    if not said.isdigit() or int(said) > most:
        raise LimitExceededError(f"上传共{said or '未知'}字节，允许{most}字节；请分几次上传")


async def _bytes_of(upload: UploadFile | Any, limit: int) -> bytes:
    data: bytes = await upload.read(limit + 1)
    if len(data) > limit:
        raise LimitExceededError(f"文件“{upload.filename}”超过{limit}字节（max_upload_bytes）；请拆分后再上传")
    return data


def _accept(desk: Desk, user: User, name: str, data: bytes, previous: int | None) -> None:
    """Stores the bytes first and the row after: a row without its file could never be finished."""
    digest = desk.files.put(data)
    shown = name.replace("\\", "/").rpartition("/")[2][:200] or "未命名"
    with desk.database.transaction() as session:
        repository.add_upload(session, name=shown, sha256=digest, size=len(data), by=user, previous_id=previous)


def _document(session: Any, identifier: int) -> StoredDocument:
    document: StoredDocument | None = session.get(StoredDocument, identifier)
    if document is None:
        raise InputError(f"没有编号为{identifier}的文档")
    return document


def _document_pages(app: FastAPI) -> None:
    @app.get("/documents/{identifier}", include_in_schema=False)
    def document_page(request: Request, user: Viewer, identifier: int) -> Response:
        desk = _desk(request)
        with desk.database.transaction() as session:
            document = _document(session, identifier)
            upload = session.get(Upload, document.upload_id)
            findings = view.shown_findings(document, repository.decisions_of(session, identifier))
            old = session.get(StoredDocument, document.previous_id) if document.previous_id else None
            users = list(session.scalars(select(User).where(User.active.is_(True)).order_by(User.name)))
            names = _names(session)
        assert upload is not None
        size = shown_size(desk.files.get(upload.sha256)) if document.name == upload.name else None
        return _page(
            request,
            "document.html",
            user=user,
            document=document,
            report=document.report,
            findings=findings,
            segments=view.text_segments(document, findings),
            picture=size,
            outlines=view.outlines(document, findings) if size else [],
            old=old,
            changes=view.changes(old, document),
            users=users,
            names=names,
            settings=desk.settings,
        )

    @app.get("/documents/{identifier}/original", include_in_schema=False)
    def original(request: Request, user: Viewer, identifier: int) -> Response:
        desk = _desk(request)
        with desk.database.transaction() as session:
            upload = session.get(Upload, _document(session, identifier).upload_id)
        assert upload is not None
        data = desk.files.get(upload.sha256)
        # Only pictures are shown by the browser; anything else could carry scripts and is handed over as a file.
        if shown_size(data):
            return Response(data, media_type=_picture_type(data))
        return _file(data, upload.name, "application/octet-stream")

    @app.get("/documents/{identifier}/export.{kind}", include_in_schema=False)
    def export(request: Request, user: Viewer, identifier: int, kind: str) -> Response:
        desk = _desk(request)
        makers = {"docx": exports.word_report, "xlsx": exports.excel_report}
        with desk.database.transaction() as session:
            document = _document(session, identifier)
            findings = view.shown_findings(document, repository.decisions_of(session, identifier))
            names = _names(session)
            if kind not in (*makers, "json"):
                raise InputError(f"没有“{kind}”格式的导出，可用：docx、xlsx、json")
            audit.append(session, user=user.name, action="document.export", subject=f"document:{identifier}", kind=kind)
        if kind == "json":
            return _file(
                orjson.dumps(document.report, option=orjson.OPT_INDENT_2), f"{identifier}.json", "application/json"
            )
        data = makers[kind](document, findings, desk.rulebook, names)
        return _file(data, f"合规检查-{identifier}.{kind}", "application/octet-stream")


def _picture_type(data: bytes) -> str:
    return "image/png" if data.startswith(b"\x89PNG") else "image/webp" if data[:4] == b"RIFF" else "image/jpeg"


def _file(data: bytes, name: str, media_type: str) -> Response:
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(data, media_type=media_type, headers={"Content-Disposition": disposition})


def _decision_routes(app: FastAPI) -> None:
    @app.post("/documents/{identifier}/decisions", include_in_schema=False)
    def decide(
        request: Request,
        user: Reviewer,
        identifier: int,
        action: Annotated[str, Form()],
        finding: Annotated[int, Form()] = 0,
        label: Annotated[str, Form()] = "",
        reason: Annotated[str, Form()] = "",
        start: Annotated[int | None, Form()] = None,
        end: Annotated[int | None, Form()] = None,
    ) -> Response:
        with _desk(request).database.transaction() as session:
            repository.decide(
                session,
                _document(session, identifier),
                by=user,
                finding=finding,
                action=action,
                label=label,
                start=start,
                end=end,
                reason=reason,
            )
        return _back(f"/documents/{identifier}" + (f"#f{finding}" if finding else ""))

    @app.post("/documents/{identifier}/verdict", include_in_schema=False)
    def verdict(
        request: Request,
        user: Reviewer,
        identifier: int,
        verdict: Annotated[str, Form()],
        reason: Annotated[str, Form()] = "",
    ) -> Response:
        desk = _desk(request)
        with desk.database.transaction() as session:
            document = _document(session, identifier)
            four_eyes = desk.settings.four_eyes
            repository.set_verdict(session, document, by=user, verdict=verdict, reason=reason, four_eyes=four_eyes)
        return _back(f"/documents/{identifier}")

    @app.post("/documents/{identifier}/approval", include_in_schema=False)
    def approve(
        request: Request,
        user: Approver,
        identifier: int,
        agree: Annotated[str, Form()],
        reason: Annotated[str, Form()] = "",
    ) -> Response:
        with _desk(request).database.transaction() as session:
            repository.approve(session, _document(session, identifier), by=user, agree=agree == "yes", reason=reason)
        return _back(f"/documents/{identifier}")

    @app.post("/documents/{identifier}/assignment", include_in_schema=False)
    def assign(request: Request, user: Reviewer, identifier: int, to: Annotated[int, Form()]) -> Response:
        with _desk(request).database.transaction() as session:
            repository.assign(
                session, _document(session, identifier), to=session.get(User, to) if to else None, by=user
            )
        return _back(f"/documents/{identifier}")

    @app.post("/rewrite", include_in_schema=False)
    def rewrite(request: Request, user: Viewer, text: Annotated[str, Form()]) -> Response:
        """Checks a sentence as it stands now; nothing is kept."""
        checker = _desk(request).checker
        assert checker is not None
        report = report_to_dict(checker.check(Document("", text)))
        found = [
            {"label": checker.rulebook.label(f["label"]).name, "text": f["text"], "suggestion": f["suggestion"]}
            for f in report["findings"]
            if f["verdict"] == "violation" and f["text"]
        ]
        return Response(
            orjson.dumps({"findings": found, "promotional": report["promotional"]}), media_type="application/json"
        )


def _admin_pages(app: FastAPI) -> None:
    @app.get("/rules", include_in_schema=False)
    def rules(request: Request, user: Viewer) -> Response:
        return _page(request, "rules.html", user=user, rulebook=_desk(request).rulebook)

    @app.get("/audit", include_in_schema=False)
    def audit_page(request: Request, user: Approver) -> Response:
        with _desk(request).database.transaction() as session:
            count, faults = audit.verify(session)
            last = list(audit.entries(session))[-200:]
        return _page(request, "audit.html", user=user, count=count, faults=faults, entries=last[::-1])

    @app.get("/audit.jsonl", include_in_schema=False)
    def audit_export(request: Request, user: Approver) -> Response:
        with _desk(request).database.transaction() as session:
            lines = [orjson.dumps(entry_row(e)) for e in audit.entries(session)]
        return _file(b"\n".join(lines) + b"\n", "audit.jsonl", "application/jsonl")

    @app.get("/decisions.jsonl", include_in_schema=False)
    def feedback(request: Request, user: Approver) -> Response:
        with _desk(request).database.transaction() as session:
            rows = repository.feedback_rows(session)
        return _file(b"".join(orjson.dumps(r) + b"\n" for r in rows), "decisions.jsonl", "application/jsonl")

    @app.get("/people", include_in_schema=False)
    def people_page(request: Request, user: Admin) -> Response:
        with _desk(request).database.transaction() as session:
            users = list(session.scalars(select(User).order_by(User.id)))
        return _page(request, "people.html", user=user, users=users)

    @app.post("/people", include_in_schema=False)
    def add_person(
        request: Request,
        user: Admin,
        name: Annotated[str, Form()],
        password: Annotated[str, Form()],
        role: Annotated[str, Form()],
    ) -> Response:
        with _desk(request).database.transaction() as session:
            people.create_user(session, name, password, role, by=user.name)
        return _back("/people")

    @app.post("/people/{identifier}", include_in_schema=False)
    def change_person(
        request: Request,
        user: Admin,
        identifier: int,
        role: Annotated[str, Form()],
        active: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> Response:
        with _desk(request).database.transaction() as session:
            person = session.get(User, identifier)
            if person is None:
                raise InputError(f"没有编号为{identifier}的人员")
            people.change_user(session, person, by=user.name, role=role, active=bool(active), password=password or None)
        return _back("/people")


def entry_row(entry: Any) -> dict[str, Any]:
    """An audit entry as it is exported."""
    names = ("id", "at", "user_name", "action", "subject", "detail", "previous_hash", "hash")
    return {n: getattr(entry, n) for n in names}
