"""Full-text search for Chinese: pairs of neighbouring characters as index terms, so that no word list decides what is found.

SQLite keeps the terms in an FTS5 table, PostgreSQL in a text array under a GIN index. The index only narrows down; the
stored normal text decides, so a hit always holds the words that were asked for.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, and_, column, literal, select, text
from sqlalchemy import table as sql_table
from sqlalchemy.orm import Session

from nlp_compliance.store.schema import StoredDocument

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_RUN = re.compile(rf"(?P<han>[{_HAN}]+)|[^\W_{_HAN}]+")
# A term longer than this says nothing more; FTS and GIN keys stay small.
_LONGEST_TERM = 40
_INDEX = sql_table("document_search", column("rowid"), column("document_id"), column("terms"))


def terms(normal: str) -> list[str]:
    """Index terms of a normal text, sorted: pairs of Chinese characters, each single one, and other words whole."""
    out: set[str] = set()
    for match in _RUN.finditer(normal):
        run = match.group()
        if match["han"]:
            out.update(run)
            out.update(run[i : i + 2] for i in range(len(run) - 1))
        else:
            out.add(run[:_LONGEST_TERM])
    return sorted(out)


def _query_terms(words: str) -> list[str]:
    """Terms that every text with these words must have: the pairs, or the single character."""
    out: set[str] = set()
    for match in _RUN.finditer(words):
        run = match.group()
        if match["han"]:
            out.update([run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)])
    return sorted(out)


def index(session: Session, document: StoredDocument) -> None:
    """Makes a flushed document findable; its `search_text` is in normal form."""
    own = terms(document.search_text)
    if _is_sqlite(session):
        statement = text("INSERT INTO document_search (rowid, terms) VALUES (:id, :terms)")
        session.execute(statement, {"id": document.id, "terms": " ".join(own)})
    else:
        statement = text("INSERT INTO document_search (document_id, terms) VALUES (:id, :terms)")
        session.execute(statement, {"id": document.id, "terms": own})


def forget(session: Session, document_id: int) -> None:
    """Takes a document out of the index."""
    key = "rowid" if _is_sqlite(session) else "document_id"
    session.execute(text(f"DELETE FROM document_search WHERE {key} = :id"), {"id": document_id})  # noqa: S608


def matches(session: Session, words: str) -> ColumnElement[bool]:
    """The condition that a document's title, name or text holds `words`, which are in normal form and without blanks."""
    holds = _contains(StoredDocument.search_text, words)
    own = _query_terms(words)
    if not own:
        return holds
    if _is_sqlite(session):
        wanted = " AND ".join(f'"{term}"' for term in own)
        found = select(_INDEX.c.rowid).where(text("document_search MATCH :wanted").bindparams(wanted=wanted))
    else:
        found = select(_INDEX.c.document_id).where(text("terms @> CAST(:wanted AS text[])").bindparams(wanted=own))
    return and_(StoredDocument.id.in_(found.select_from(_INDEX)), holds)


def _contains(own: Any, words: str) -> ColumnElement[bool]:
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    condition: ColumnElement[bool] = own.like(literal(f"%{escaped}%"), escape="\\")
    return condition


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
