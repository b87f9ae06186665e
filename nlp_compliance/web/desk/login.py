"""Login, logout, the first administrator, one's own password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from nlp_compliance.errors import InputError, UnauthorizedError
from nlp_compliance.store import audit, people
from nlp_compliance.store.schema import User
from nlp_compliance.web.desk.pages import Viewer, back, desk_of, inside, page

router = APIRouter(include_in_schema=False)


def _remember(request: Request, user: User) -> None:
    request.session.clear()
    request.session["user"] = [user.id, user.session_epoch]


@router.get("/login")
def login_form(request: Request, next: str = "/") -> Response:
    return page(request, "login.html", user=None, next=inside(next), error="", name="")


@router.post("/login")
def login(
    request: Request,
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",
) -> Response:
    failure = ""
    with desk_of(request).database.transaction() as session:
        try:
            user = people.log_in(session, name, password)
        except UnauthorizedError as error:
            failure = str(error)
    if failure:
        return page(request, "login.html", 401, user=None, next=inside(next), error=failure, name=name)
    _remember(request, user)
    return back(inside(next))


@router.post("/logout")
def logout(request: Request) -> Response:
    request.session.clear()
    return back("/login")


@router.get("/setup")
def setup_form(request: Request, token: str = "") -> Response:
    return page(request, "setup.html", user=None, token=token, error="")


@router.post("/setup")
def setup(
    request: Request,
    token: Annotated[str, Form()],
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
) -> Response:
    try:
        with audit.changing(desk_of(request).database) as session:
            user = people.use_setup_token(session, token, name, password)
    except (InputError, UnauthorizedError) as error:
        return page(request, "setup.html", 422, user=None, token=token, error=str(error))
    _remember(request, user)
    return back("/")


@router.get("/password")
def password_form(request: Request, user: Viewer) -> Response:
    return page(request, "password.html", user=user, error="")


@router.post("/password")
def change_password(
    request: Request, user: Viewer, old: Annotated[str, Form()], new: Annotated[str, Form()]
) -> Response:
    try:
        with desk_of(request).database.transaction() as session:
            changed = people.change_password(session, user.id, old, new)
    except (InputError, UnauthorizedError) as error:
        return page(request, "password.html", 422, user=user, error=str(error))
    _remember(request, changed)
    return back("/")
