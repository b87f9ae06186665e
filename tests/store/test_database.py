"""Tables of an older revision keep what they hold when they are brought up to date."""

from sqlalchemy import inspect
from sqlalchemy import text as sql

from nlp_compliance.store import database, search
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.schema import DocumentLabel, StoredDocument, Upload
from nlp_compliance.text.normalise import normalise
from tests.web.acting import AD


def shape(engine):
    """Columns, indexes and references of every table."""
    found = inspect(engine)
    return {
        table: [
            sorted(map(repr, part(table)))
            for part in (found.get_columns, found.get_indexes, found.get_foreign_keys, found.get_unique_constraints)
        ]
        for table in found.get_table_names()
        if table != "sqlite_sequence"
    }


def test_numbers_of_deleted_rows_are_not_given_again_and_nothing_else_changes(tmp_path):
    url = sqlite_url(tmp_path)
    engine = database._engine(url)
    database.migrate(engine, "0003")
    before = shape(engine)
    with database.sessionmaker(engine).begin() as session:
        session.add(Upload(id=7, name="x", sha256="0" * 64, size=1))
        session.flush()
        own = {"name": "x", "text": AD, "text_sha256": "0" * 64, "blocks": [], "source": {}, "report": {"risk": "高"}}
        document = StoredDocument(id=9, upload_id=7, ordinal=0, risk="high", search_text=normalise(AD).text, **own)
        session.add(document)
        session.flush()
        session.add(DocumentLabel(document_id=9, label="state_underwriting"))
        search.index(session, document)
    engine.dispose()
    newest = Database(url)
    assert shape(newest.engine) == before
    with newest.transaction() as session:
        (document,) = session.query(StoredDocument).filter(search.matches(session, normalise("政府兜底").text))
        assert (document.id, document.report, document.text) == (9, {"risk": "高"}, AD)
        assert session.scalar(sql("PRAGMA foreign_keys")) == 1
        assert not session.execute(sql("PRAGMA foreign_key_check")).all()
        for table in ("document_labels", "documents", "uploads"):
            session.execute(sql(f"DELETE FROM {table}"))
        session.add(Upload(name="y", sha256="1" * 64, size=1))
        session.flush()
        session.add(StoredDocument(upload_id=8, ordinal=0, risk="high", **own))
        session.flush()
        assert [d.id for d in session.query(StoredDocument)] == [10] and session.get(Upload, 8).name == "y"
    newest.close()
