"""What is kept and for how long: search over it, exports of it, backup, restore, deletion that really deletes."""

import json
import os
import re
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import text as sql

from nlp_compliance.errors import StoreError
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Reader
from nlp_compliance.records import BEIJING
from nlp_compliance.settings import Settings
from nlp_compliance.store import audit, backup, retention, search, statistics
from nlp_compliance.store.database import Database, sqlite_url
from nlp_compliance.store.files import FileStore
from nlp_compliance.store.schema import StoredDocument, Upload, now
from nlp_compliance.text.normalise import normalise
from nlp_compliance.web.desk.app import open_desk
from tests.web.acting import AD, PASSWORD, Person, settle

OTHER = "今天天气晴，适合出游，记得带水。100%_好 ABC保险"


# fmt: off
QUERIES = [
    ("two words, any order",      "兜底 云溪",            1),
    ("a single character",        "晴",                  1),
    ("across a border of words",  "溪保由政",             1),
    ("pairs there, words not",    "天晴",                 0),
    ("traditional characters",    "政府兜底".replace("政", "政").replace("底", "底") + " 雲溪", 1),
    ("full width and case",       "ａｂｃ",               1),
    ("part of a latin word",      "bc",                  1),
    ("wildcards are letters",     "100%_",               1),
    ("only a wildcard",           "%",                   1),
    ("in a file name",            "粘贴",                 2),
    ("sql",                       "' OR 1=1 --",         0),
    ("fts operators",             'NEAR(" OR *',         0),
    ("nul",                       "\x00云溪",             1),
    ("lone quote",                '"',                   0),
    ("emoji",                     "🎉",                   0),
    ("nothing",                   "   ",                 2),
]
# fmt: on


def test_search_finds_chinese_words_and_never_breaks(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    for words in (AD, OTHER):
        reviewer.post("/uploads", text=words)
    settle(state, 2)
    for name, query, count in QUERIES:
        page = reviewer.client.get("/", params={"q": query})
        assert page.status_code == 200 and f"共{count}篇" in page.text, name


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("政府兜底", ["兜", "兜底", "底", "府", "府兜", "政", "政府"]),
        ("99元abc", ["99", "abc", "元"]),
        ("，。 ", []),
    ],
)
def test_index_terms(text, terms):
    assert search.terms(text) == terms


def test_filters_by_day_person_verdict_and_order(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    for words in (OTHER, AD):
        reviewer.post("/uploads", text=words)
    plain, bad = settle(state, 2)
    with state.database.transaction() as session:
        session.get(StoredDocument, plain.id).created_at = now() - timedelta(days=9)
        me = session.execute(sql("SELECT id FROM users WHERE name = '王审'")).scalar_one()
    reviewer.post(f"/documents/{bad.id}/assignment", to=me)
    reviewer.post(f"/documents/{bad.id}/verdict", verdict="block", reason="兜底")
    # From 16:00 UTC on it is tomorrow in Beijing, whose days the desk counts.
    today = now().astimezone(BEIJING).date().isoformat()
    for query, count in (
        (f"since={today}", 1),
        (f"until={today}", 2),
        ("since=2999-01-01", 0),
        ("since=nonsense", 2),
        ("who=me", 1),
        (f"who={me}", 1),
        ("who=999999", 0),
        ("verdict=block", 1),
        ("page=0", 2),
        ("page=999999999999", 2),
        ("risk=nothing", 0),
    ):
        assert f"共{count}篇" in reviewer.get(f"/?{query}").text, query
    page = reviewer.get("/?order=old").text
    assert page.index(f"/documents/{plain.id}") < page.rindex(f"/documents/{bad.id}") and "9天" in page
    page = reviewer.get("/?order=risk").text.partition('class="list"')[2]
    assert page.index(f"/documents/{bad.id}") < page.index(f"/documents/{plain.id}")


def test_the_overview_counts_weeks_ages_and_dismissals(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    reviewer.post(f"/documents/{document.id}/decisions", finding=1, action="accept")
    reviewer.post(f"/documents/{document.id}/decisions", finding=1, action="dismiss", reason="误报")
    reviewer.post(f"/documents/{document.id}/decisions", finding=2, action="accept")
    with state.database.reading() as session:
        figures = statistics.overview(session)
    shares = dict(figures.dismissed)
    assert shares[document.report["findings"][0]["label"]] == statistics.Share(1, 1)
    assert figures.dismissed_by_week[-1] == statistics.Share(2, 1) and figures.dismissed_by_week[-1].percent == 50
    assert figures.risks_by_week[figures.weeks[-1]] == {"high": 1} and len(figures.weeks) == statistics.WEEKS_SHOWN
    assert figures.ages == (1, 0, 0, 0, 0) and all(c[-1] == 1 for c in figures.labels_by_week.values())
    assert "常见标签的走势" in reviewer.get("/overview").text


def test_a_saved_wording_becomes_the_next_version_and_is_exported(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    number = next(i for i, f in enumerate(document.report["findings"], 1) if f["text"] == "政府兜底")
    url = f"/documents/{document.id}/decisions"
    assert reviewer.post(url, finding=number, action="rewrite").status_code == 422
    page = reviewer.post(url, finding=number, action="rewrite", rewrite="商业保险公司承保").text
    draft = AD.replace("政府兜底", "商业保险公司承保")
    assert "改写为：" in page and f">{draft}</textarea>" in page
    reviewer.post("/uploads", text=draft, previous=document.id)
    second = settle(state, 2)[1]
    page = reviewer.get(f"/documents/{second.id}").text
    assert "已改正1处" in page and "第2版" in page and "第1版" in reviewer.get(f"/documents/{document.id}").text
    exported = reviewer.get(f"/documents/{document.id}/export.pdf").content
    (read,) = Reader(Limits.of(Settings())).read_bytes(exported, "x.pdf")
    said = read.text.replace("\n", "")
    assert "政府承保或兜底" in said and "商业保险公司承保" in said and document.text_sha256 in said
    reviewer.post(url, finding=number, action="dismiss", reason="误报")
    assert f">{draft}</textarea>" not in reviewer.get(f"/documents/{document.id}").text


def test_label_studio_tasks_hold_the_spans(desk):
    app, state = desk
    reviewer, approver = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text="🎉" + AD)
    (document,) = settle(state)
    reviewer.post(f"/documents/{document.id}/verdict", verdict="block", reason="兜底")
    approver.post(f"/documents/{document.id}/approval", agree="yes")
    (task,) = json.loads(approver.get("/label-studio.json").content)
    values = [r["value"] for r in task["annotations"][0]["result"]]
    assert {"start": 5, "end": 9, "text": "政府兜底", "labels": ["state_underwriting"]} in values
    assert all(task["data"]["text"][v["start"] : v["end"]] == v["text"] for v in values)


def test_what_people_flag_in_a_text_that_was_taken_for_none_of_promotion_is_learned_as_promotion(desk):
    app, state = desk
    reviewer, approver = Person(app, "王审"), Person(app, "李复")
    notice = "风险提示：有人称“云溪保”政府兜底，请勿轻信。"
    for words in (notice, notice + "本号推荐的云溪保由公家撑腰。"):
        reviewer.post("/uploads", text=words)
    plain, flagged = settle(state, 2)
    assert not any(d.report["promotional"]["value"] for d in (plain, flagged))
    start = flagged.text.index("由公家撑腰")
    place = {"start": start, "end": start + 5, "label": "state_underwriting"}
    reviewer.post(f"/documents/{flagged.id}/decisions", action="add", reason="推荐产品并称有公家撑腰", **place)
    for document, verdict in ((plain, "pass"), (flagged, "block")):
        reviewer.post(f"/documents/{document.id}/verdict", verdict=verdict, reason="看过")
        approver.post(f"/documents/{document.id}/approval", agree="yes")
    rows = {row["id"]: row for row in map(json.loads, approver.get("/decisions.jsonl").text.split("\n")[:-1])}
    assert [rows[f"desk-{d.id}"]["promotional"] for d in (plain, flagged)] == [False, True]
    assert rows[f"desk-{flagged.id}"]["spans"] == [place]
    tasks = json.loads(approver.get("/label-studio.json").content)
    assert [t["data"]["promotional"] for t in tasks] == [False, True]


def aged(state, document_id: int) -> None:
    with state.database.transaction() as session:
        upload = session.get(Upload, session.get(StoredDocument, document_id).upload_id)
        upload.created_at = now() - timedelta(days=40)


def test_retention_really_deletes_and_leaves_the_rest(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    for words in ("保密的旧文案。" + AD, AD, AD + "新。"):
        reviewer.post("/uploads", text=words)
    old, twin, new = settle(state, 3)
    reviewer.post("/uploads", text=AD)
    settle(state, 4)
    reviewer.post(f"/documents/{old.id}/decisions", finding=1, action="accept")
    for document in (old, twin):
        aged(state, document.id)
    gone = retention.purge(state.database, state.files, before=now() - timedelta(days=30), by="test")
    # The twin's file is still used by the upload of the same text.
    assert (gone.uploads, gone.documents, gone.files) == (2, 2, 1)
    assert reviewer.get(f"/documents/{old.id}").status_code == 404
    assert "共0篇" in reviewer.get("/?q=保密的旧文案").text and "共2篇" in reviewer.get("/?q=云溪").text
    assert reviewer.get(f"/documents/{new.id}/original").status_code == 200
    with state.database.reading() as session:
        assert audit.verify(session)[1] == []
    kept = b"".join(p.read_bytes() for p in state.settings.data_dir.rglob("*") if p.is_file())
    assert "保密的旧文案".encode() not in kept
    assert retention.purge(state.database, state.files, before=now() - timedelta(days=30), by="test").uploads == 0


def test_files_that_no_upload_names_go_once_they_are_an_hour_old(tmp_path):
    database, files = Database(sqlite_url(tmp_path)), FileStore(tmp_path / "files")
    used, refused, coming = files.put(b"used"), files.put(b"refused"), files.put(b"coming in")
    draft = tmp_path / "files" / used[:2] / "tmpbroken0"
    draft.write_bytes(b"half")
    with database.transaction() as session:
        session.add(Upload(name="x", sha256=used, size=4))
    for path in (*(tmp_path / "files" / d[:2] / d for d in (used, refused)), draft):
        os.utime(path, (0, 0))
    assert retention.purge(database, files, before=now() - timedelta(days=30), by="test").files == 1
    assert {p.name for p in (tmp_path / "files").glob("*/*")} == {used, coming}
    database.close()


def test_the_folder_is_read_by_its_owner_only(tmp_path):
    (tmp_path / "old").mkdir(mode=0o755)
    for name in ("old", "new"):
        open_desk(Settings(data_dir=tmp_path / name)).close()
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """(an empty database of each kind, an empty file store)."""
    url = sqlite_url(tmp_path / "other")
    (tmp_path / "other").mkdir()
    cluster = None
    if request.param == "postgresql":
        cluster = request.getfixturevalue("cluster")
        if isinstance(cluster, str):
            pytest.skip(cluster)
        url = cluster.new_database()
    database = Database(url)
    yield database, FileStore(tmp_path / "other" / "files")
    database.close()
    if cluster:
        cluster.drop(url)


def test_a_backup_of_one_database_is_restored_into_the_other(desk, empty, tmp_path):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    reviewer.post(f"/documents/{document.id}/decisions", finding=1, action="accept")
    target = tmp_path / "backup.zip"
    backup.back_up(state.database, state.files, target)
    assert target.stat().st_mode & 0o077 == 0
    with pytest.raises(StoreError, match="exists"):
        backup.back_up(state.database, state.files, target)
    database, files = empty
    backup.restore(database, files, target)
    with database.transaction() as session:
        copy = session.get(StoredDocument, document.id)
        assert copy.report == document.report and copy.created_at == document.created_at
        assert audit.verify(session)[1] == []
        assert session.query(StoredDocument).filter(search.matches(session, normalise("政府兜底").text)).count() == 1
        # The restored database goes on counting where the old one was.
        session.add(Upload(name="x", sha256="0" * 64, size=1))
        session.flush()
        assert files.get(session.get(Upload, copy.upload_id).sha256).decode() == AD
    with pytest.raises(StoreError, match="not empty"):
        backup.restore(database, files, target)


@pytest.mark.parametrize("damage", ["no zip", "changed row", "changed file", "other revision"])
def test_a_damaged_backup_is_refused_and_leaves_the_database_empty(tmp_path, damage):
    source, target = tmp_path / "good.zip", tmp_path / "bad.zip"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    database, files = Database(sqlite_url(tmp_path / "a")), FileStore(tmp_path / "a" / "files")
    with database.transaction() as session:
        session.add(Upload(name="x", sha256=files.put(b"text"), size=4))
    backup.back_up(database, files, source)
    database.close()
    target.write_bytes(b"no zip")
    if damage != "no zip":
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if damage == "changed row" and name == "tables/uploads.jsonl":
                    data = data.replace(b'"name": "x"', b'"name": "y"')
                if damage == "changed file" and name.startswith("files/"):
                    data = b"other"
                if damage == "other revision" and name == "manifest.json":
                    data = re.sub(rb'"revision": "\d+"', b'"revision": "9999"', data)
                new.writestr(name, data)
    other = Database(sqlite_url(tmp_path / "b"))
    with pytest.raises(StoreError):
        backup.restore(other, FileStore(tmp_path / "b" / "files"), target)
    with other.reading() as session:
        assert session.query(Upload).count() == 0
    other.close()


def test_ones_own_password(desk):
    app, _ = desk
    reviewer = Person(app, "王审")
    assert "原口令不对" in reviewer.post("/password", old="wrong-password", new="another-pass-1").text
    assert "须为10" in reviewer.post("/password", old=PASSWORD, new="short").text
    elsewhere = Person(app, "王审")
    assert "工作列表" in reviewer.post("/password", old=PASSWORD, new="another-pass-1").text
    assert "<h1>登录</h1>" in elsewhere.get("/").text
