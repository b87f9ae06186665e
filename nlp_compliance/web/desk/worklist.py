"""The work list with search and filters, and the overview."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from nlp_compliance.rulebook import Rulebook
from nlp_compliance.store import repository
from nlp_compliance.store.decisions import Said, decisions_by_document
from nlp_compliance.store.repository import Filters
from nlp_compliance.store.schema import StoredDocument, User
from nlp_compliance.store.statistics import AGES_DAYS, overview
from nlp_compliance.text.normalise import normalise
from nlp_compliance.web.desk import view
from nlp_compliance.web.desk.moments import start_of
from nlp_compliance.web.desk.pages import Viewer, desk_of, is_number, names_of, page, page_number, pages_for
from nlp_compliance.web.desk.uploads import UPLOADS_SHOWN

router = APIRouter(include_in_schema=False)
_LONGEST_QUERY = 200
_MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter form as it was sent; anything unknown counts as not asked."""

    q: str = ""
    risk: str = ""
    state: str = ""
    verdict: str = ""
    label: str = ""
    who: str = ""
    upload: str = ""
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
            assigned_to=user.id if self.who == "me" else int(self.who) if is_number(self.who) else None,
            upload_id=int(self.upload) if is_number(self.upload) else None,
            since=start_of(self.since),
            until=until + timedelta(days=1) if until else None,
            order=self.order,
            page=page_number(self.page),
        )

    def link(self, **changes: object) -> str:
        """The address of the list with some fields changed."""
        fields = {name: str(getattr(self, name)) for name in self.__slots__} | {k: str(v) for k, v in changes.items()}
        return "/?" + urlencode({k: v for k, v in fields.items() if v})

    @property
    def any(self) -> bool:
        """Whether the list is narrowed down."""
        return any(
            (self.q, self.risk, self.state, self.verdict, self.label, self.who, self.upload, self.since, self.until)
        )


@router.get("/")
def work_list(request: Request, user: Viewer, asked: Annotated[Asked, Depends()]) -> Response:
    filters = asked.filters(user)
    with desk_of(request).database.reading() as session:
        total, documents = repository.find_documents(session, filters)
        said = decisions_by_document(session, [d.id for d in documents])
        names = names_of(session)
        _, uploads = repository.find_uploads(session, size=UPLOADS_SHOWN)
    return page(
        request,
        "list.html",
        user=user,
        rows=[_row(d, said.get(d.id, []), desk_of(request).rulebook) for d in documents],
        total=total,
        pages=pages_for(total),
        number=filters.page,
        upload_id=filters.upload_id,
        asked=asked,
        names=names,
        uploads=uploads,
        now=datetime.now(UTC),
        settings=desk_of(request).settings,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A document with what the decisions so far leave of it: open violations, and the risk where anything was decided."""

    document: StoredDocument
    left: list[view.Shown]
    remaining: str | None


def _row(document: StoredDocument, said: list[Said], rulebook: Rulebook) -> _Row:
    findings = view.shown_findings(document, said, rulebook)
    return _Row(document, view.open_violations(findings), view.remaining_risk(findings))


@router.get("/overview")
def overview_page(request: Request, user: Viewer) -> Response:
    with desk_of(request).database.reading() as session:
        figures = overview(session)
    ages = [f"不到{AGES_DAYS[0]}天", *(f"{a}到{b}天" for a, b in zip(AGES_DAYS, AGES_DAYS[1:], strict=False))]
    return page(request, "overview.html", user=user, figures=figures, ages=[*ages, f"{AGES_DAYS[-1]}天以上"])
