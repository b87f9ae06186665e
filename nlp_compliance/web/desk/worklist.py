"""The work list with search and filters, and the overview."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from nlp_compliance.store import repository
from nlp_compliance.store.repository import Filters
from nlp_compliance.store.schema import ReadFailure, StoredDocument, Upload, User
from nlp_compliance.store.statistics import AGES_DAYS, overview
from nlp_compliance.text.normalise import normalise
from nlp_compliance.web.desk.moments import start_of
from nlp_compliance.web.desk.pages import Viewer, desk_of, names_of, page

router = APIRouter(include_in_schema=False)
_UPLOADS_SHOWN = 12
_LONGEST_QUERY = 200
_MOST_WORDS = 8
_LAST_PAGE = 100_000


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter form as it was sent; anything unknown counts as not asked."""

    q: str = ""
    risk: str = ""
    state: str = ""
    verdict: str = ""
    label: str = ""
    who: str = ""
    since: str = ""
    until: str = ""
    order: str = "new"
    page: str = "1"

    def filters(self, user: User) -> Filters:
        words = normalise(self.q[:_LONGEST_QUERY].replace("\x00", " ")).text.split()
        until = start_of(self.until)
        return Filters(
            words=tuple(words[:_MOST_WORDS]),
            risk=self.risk,
            state=self.state,
            verdict=self.verdict,
            label=self.label,
            assigned_to=user.id if self.who == "me" else int(self.who) if _number(self.who) else None,
            since=start_of(self.since),
            until=until + timedelta(days=1) if until else None,
            order=self.order,
            page=max(1, min(_LAST_PAGE, int(self.page))) if _number(self.page) else 1,
        )

    def link(self, **changes: object) -> str:
        """The address of the list with some fields changed."""
        fields = {name: str(getattr(self, name)) for name in self.__slots__} | {k: str(v) for k, v in changes.items()}
        return "/?" + urlencode({k: v for k, v in fields.items() if v})

    @property
    def any(self) -> bool:
        """Whether the list is narrowed down."""
        return any((self.q, self.risk, self.state, self.verdict, self.label, self.who, self.since, self.until))


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


@router.get("/")
def work_list(request: Request, user: Viewer, asked: Annotated[Asked, Depends()]) -> Response:
    filters = asked.filters(user)
    with desk_of(request).database.reading() as session:
        total, documents = repository.find_documents(session, filters)
        names = names_of(session)
        uploads = _recent_uploads(session)
    return page(
        request,
        "list.html",
        user=user,
        documents=documents,
        total=total,
        pages=max(1, -(-total // repository.PAGE_SIZE)),
        number=filters.page,
        asked=asked,
        names=names,
        uploads=uploads,
        now=datetime.now(UTC),
        settings=desk_of(request).settings,
    )


@router.get("/uploads")
def uploads(request: Request, user: Viewer) -> Response:
    with desk_of(request).database.reading() as session:
        found = _recent_uploads(session)
    return page(request, "uploads.html", uploads=found)


@router.get("/overview")
def overview_page(request: Request, user: Viewer) -> Response:
    with desk_of(request).database.reading() as session:
        figures = overview(session)
    ages = [f"不到{AGES_DAYS[0]}天", *(f"{a}到{b}天" for a, b in zip(AGES_DAYS, AGES_DAYS[1:], strict=False))]
    return page(request, "overview.html", user=user, figures=figures, ages=[*ages, f"{AGES_DAYS[-1]}天以上"])


@dataclass(frozen=True, slots=True)
class _UploadRow:
    upload: Upload
    documents: list[int]
    failures: list[ReadFailure]


def _recent_uploads(session: Session) -> list[_UploadRow]:
    rows = []
    for upload in session.scalars(select(Upload).order_by(Upload.id.desc()).limit(_UPLOADS_SHOWN)):
        own = select(StoredDocument.id).where(StoredDocument.upload_id == upload.id).order_by(StoredDocument.ordinal)
        failures = session.scalars(select(ReadFailure).where(ReadFailure.upload_id == upload.id)).all()
        rows.append(_UploadRow(upload, list(session.scalars(own)), list(failures)))
    return rows
