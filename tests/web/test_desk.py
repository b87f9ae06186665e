"""The review desk over HTTP: login, roles, uploads, decisions, four eyes, audit chain, exports, and what must not work."""

import io
import json
import re

import docx
import pytest
from openpyxl import load_workbook
from sqlalchemy import text as sql
from starlette.testclient import TestClient

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.settings import Settings
from nlp_compliance.store import audit, decisions, people, repository
from nlp_compliance.store.schema import StoredDocument, Upload, now
from nlp_compliance.web.app import create_app
from nlp_compliance.web.desk import auditview, pagepicture
from nlp_compliance.web.desk.app import open_desk, setup_link
from tests.ingest import files
from tests.web.acting import AD, FIXTURES, PASSWORD, Person, running, settle

ROOT = FIXTURES.parents[1]


def test_the_first_administrator_comes_by_a_link_that_works_once(tmp_path, database_url):
    desk = open_desk(Settings(detectors=("lexical",), data_dir=tmp_path, database_url=database_url))
    link = setup_link(desk)
    app = create_app(desk.settings, desk=desk)
    with TestClient(app):
        token = link.partition("token=")[2]
        assert Person(app).post("/setup", token="wrong", name="赵管", password=PASSWORD).status_code == 422
        assert "工作列表" in Person(app).post("/setup", token=token, name="赵管", password=PASSWORD).text
        assert Person(app).post("/setup", token=token, name="坏人", password=PASSWORD).status_code == 422
        assert setup_link(desk) is None


def test_a_copy_goes_from_upload_to_approval(desk):
    app, state = desk
    reviewer, approver = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text=AD, title="<b>云溪保</b>推文")
    (document,) = settle(state)
    page = reviewer.get(f"/documents/{document.id}").text
    assert (
        "政府承保或兜底" in page and '<mark class="high government_underwriting"' in page and "未披露责任免除" in page
    )
    assert reviewer.post(f"/documents/{document.id}/decisions", finding=1, action="accept").status_code == 200
    assert "请写明理由" in reviewer.post(f"/documents/{document.id}/decisions", finding=2, action="dismiss").text
    reviewer.post(f"/documents/{document.id}/decisions", finding=2, action="dismiss", reason="见附页")
    start = AD.index("扫码投保")
    added = reviewer.post(
        f"/documents/{document.id}/decisions",
        action="add",
        start=start,
        end=start + 4,
        label="false_urgency",
        reason="催促",
    )
    assert "补充为虚假紧迫" in added.text
    reviewer.post(f"/documents/{document.id}/verdict", verdict="return", reason="删去政府兜底")
    assert "不能复核自己的结论" in _own_approval(app, state, document)
    assert "已由李复复核" in approver.post(f"/documents/{document.id}/approval", agree="yes").text
    refused = reviewer.post(f"/documents/{document.id}/decisions", finding=1, action="accept")
    assert refused.status_code == 422 and "已复核完成" in refused.text
    log = approver.get("/audit").text
    assert (
        "哈希链完整" in log and "排除问题" in log and "理由 见附页" in log and f'href="/documents/{document.id}"' in log
    )
    (row,) = map(json.loads, approver.get("/decisions.jsonl").text.splitlines())
    spans = {(row["text"][s["start"] : s["end"]], s["label"]) for s in row["spans"]}
    assert ("政府兜底", "state_underwriting") in spans and ("扫码投保", "false_urgency") in spans


def _own_approval(app, state, document) -> str:
    with state.database.transaction() as session:
        approver = session.query(people.User).filter_by(name="李复").one()
        stored = session.get(StoredDocument, document.id)
        keep, stored.verdict_by = stored.verdict_by, approver.id
    answer = Person(app, "李复").post(f"/documents/{document.id}/approval", agree="yes").text
    with state.database.transaction() as session:
        session.get(StoredDocument, document.id).verdict_by = keep
    return answer


def test_a_bad_file_says_why_and_loses_nothing_beside_it(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    sent = [
        ("files", ("文案.docx", files.word())),
        ("files", ("坏.pdf", b"%PDF-1.7 nothing")),
        ("files", ("海报.jpg", (FIXTURES / "poster-busy.jpg").read_bytes())),
        ("files", ("包.zip", files.archive({"a.txt": AD.encode(), "b.doc": b"\xd0\xcf\x11\xe0"}))),
    ]
    assert reviewer.post("/uploads", files=sent).status_code == 200
    documents = settle(state, 3)
    assert [d.name for d in documents] == ["文案.docx", "海报.jpg", "包.zip!a.txt"]
    page = reviewer.get("/uploads").text
    assert "坏.pdf: the PDF is broken" in page and "b.doc: is an old or encrypted" in page
    poster = reviewer.get(f"/documents/{documents[1].id}").text
    assert 'class="box' in poster and "<svg" in poster
    assert reviewer.get(f"/documents/{documents[1].id}/original").headers["content-type"] == "image/jpeg"
    assert "attachment" in reviewer.get(f"/documents/{documents[0].id}/original").headers["content-disposition"]


def test_a_page_of_a_pdf_is_shown_with_its_findings(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    broken = files.pdf([[AD]])
    reviewer.post(
        "/uploads", files=[("files", ("海报.pdf", files.pdf([[AD], ["第二页"]]))), ("files", ("a.txt", AD.encode()))]
    )
    document, plain = settle(state, 2)
    page = reviewer.get(f"/documents/{document.id}").text
    assert page.count(f'src="/documents/{document.id}/pages/') == 2
    answer = reviewer.get(f"/documents/{document.id}/pages/1")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "data:image/png;base64,iVBOR" in answer.text and answer.text.count("<rect") >= 1
    assert "<rect" not in reviewer.get(f"/documents/{document.id}/pages/2").text
    assert reviewer.get(f"/documents/{document.id}/pages/3").status_code == 404
    assert reviewer.get(f"/documents/{plain.id}/pages/1").status_code == 404
    with pytest.raises(UnreadableFileError):
        pagepicture.draw(broken[:200], 1)


def test_a_new_version_says_what_was_mended(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD + "什么病都赔。")
    (first,) = settle(state)
    reviewer.post("/uploads", text=AD, previous=first.id)
    second = settle(state, 2)[1]
    page = reviewer.get(f"/documents/{second.id}").text
    assert "已改正1处" in page and "<s>夸大保障“什么病都赔”</s>" in page


def test_every_action_of_the_log_has_a_name():
    found = set()
    for path in (ROOT / "nlp_compliance").rglob("*.py"):
        found |= set(re.findall(r'action="([a-z]+\.[a-z]+)"', path.read_text("utf-8")))
    found |= {f"finding.{a}" for a in decisions.ACTIONS} | {
        "rule.on",
        "rule.off",
        "document.approve",
        "document.reopen",
    }
    assert found == set(auditview.ACTIONS)


def test_exports_open_and_hold_the_findings(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD + "\x0b控制字符")
    (document,) = settle(state)
    word = docx.Document(io.BytesIO(reviewer.get(f"/documents/{document.id}/export.docx").content))
    whole = "\n".join(p.text for p in word.paragraphs)
    assert "政府承保或兜底" in whole and document.text_sha256 in whole
    marked = [r.text for p in word.paragraphs for r in p.runs if r.font.highlight_color]
    assert marked == ["政府兜底"]
    sheet = load_workbook(io.BytesIO(reviewer.get(f"/documents/{document.id}/export.xlsx").content))["问题清单"]
    assert "政府兜底" in [row[3].value for row in sheet.iter_rows()]
    assert reviewer.get(f"/documents/{document.id}/export.exe").status_code == 422


def test_search_filters_and_overview(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    for words in (AD, "今天天气晴，适合出游，记得带水。100%_好"):
        reviewer.post("/uploads", text=words)
    settle(state, 2)
    assert "共1篇" in reviewer.get("/?q=云溪 兜底").text and "共1篇" in reviewer.get("/?risk=none").text
    assert "共1篇" in reviewer.get("/?q=100%25_").text and "共0篇" in reviewer.get("/?q=' OR 1=1 --").text
    assert "共1篇" in reviewer.get("/?label=state_underwriting").text
    assert "政府承保或兜底" in reviewer.get("/overview").text
    assert "政府兜底" in reviewer.post("/rewrite", text="政府兜底").text


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        (None, "/documents/1", 200),
        ("钱看", "/people", 403),
        ("王审", "/people", 403),
        ("王审", "/audit", 403),
        ("李复", "/audit", 200),
        ("赵管", "/people", 200),
        ("王审", "/documents/999", 404),
    ],
)
def test_who_may_see_what(desk, who, path, status):
    app, _ = desk
    answer = Person(app, who).get(path)
    assert answer.status_code == status
    if who is None:
        assert "<h1>登录</h1>" in answer.text


def test_readers_change_nothing(desk):
    app, state = desk
    assert Person(app, "钱看").post("/uploads", text=AD).status_code == 403
    settle(state, 0)


def test_forged_forms_are_refused(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    assert reviewer.client.post("/uploads", data={"text": AD}).status_code == 403
    assert reviewer.client.post("/uploads", data={"text": AD, "csrftoken": "made up"}).status_code == 403
    assert TestClient(app).post("/login", data={"name": "王审", "password": PASSWORD}).status_code == 403
    settle(state, 0)


def test_repeated_failures_lock_the_account_and_say_the_same_for_unknown_names(desk):
    app, _ = desk
    wrong = [Person(app).post("/login", name="王审", password="wrong-password") for _ in range(5)]
    unknown = Person(app).post("/login", name="没有此人", password="wrong-password")
    locked = Person(app).post("/login", name="王审", password=PASSWORD)
    said = {re.search(r'role="alert">([^<]+)', a.text).group(1) for a in [*wrong, unknown, locked]}
    assert len(said) == 1 and locked.status_code == 401


def test_a_changed_password_ends_sessions_and_the_last_administrator_stays(desk):
    app, state = desk
    reviewer, admin = Person(app, "王审"), Person(app, "赵管")
    with state.database.transaction() as session:
        ids = {u.name: u.id for u in session.query(people.User)}
    admin.post(f"/people/{ids['王审']}", role="reviewer", active="1", password="another-pass-1")
    assert "<h1>登录</h1>" in reviewer.get("/").text
    assert "至少要保留一名" in admin.post(f"/people/{ids['赵管']}", role="viewer", active="1").text


NASTY = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_nothing_shown_can_run(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", files=[("files", (f"{NASTY}.txt", (AD + NASTY).encode()))])
    page = f"<html><title>{NASTY}</title><body><p>{AD}</p><script>alert(2)</script></body></html>"
    reviewer.post("/uploads", files=[("files", ("../../etc/passwd.html", page.encode()))])
    first, second = settle(state, 2)
    for path in ("/", f"/documents/{first.id}", f"/documents/{second.id}", f"/?q={NASTY}", "/uploads"):
        answer = reviewer.get(path)
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text
        assert (
            "script-src" in answer.headers["content-security-policy"]
            or "default-src 'self'" in answer.headers["content-security-policy"]
        )
    assert second.name == "passwd.html"
    assert 'name="next" value="/"' in TestClient(app).get("/login?next=//evil.example").text


def test_uploads_over_the_limit_are_refused(tmp_path):
    with running(tmp_path, max_upload_bytes=1_000) as (app, state):
        answer = Person(app, "王审").post("/uploads", files=[("files", ("a.txt", b"x" * 2_000))])
        assert answer.status_code == 413 and "max_upload_bytes" in answer.text
        settle(state, 0)


def test_any_change_of_the_log_is_found(desk):
    app, state = desk
    Person(app, "王审").post("/uploads", text=AD)
    settle(state)

    def faults(statement: str) -> list[str]:
        with state.database.transaction() as session:
            session.execute(sql(statement))
            found = audit.verify(session)[1]
            session.rollback()
        return found

    assert faults("SELECT 1") == []
    assert "内容被改动" in faults("UPDATE audit SET detail='{}' WHERE id=2")[0]
    assert "被删除" in faults("DELETE FROM audit WHERE id=3")[0]
    assert "末尾" in faults("DELETE FROM audit WHERE id=(SELECT MAX(id) FROM audit)")[0]
    with state.database.transaction() as session:
        session.execute(sql("UPDATE audit SET detail='no json' WHERE id=2"))
    page = Person(app, "李复").get("/audit")
    assert page.status_code == 200 and "第2条的内容被改动" in page.text and "no json" in page.text
    swap = "UPDATE audit SET id = CASE id WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE id END"
    assert faults(swap)


def test_what_a_killed_server_left_is_finished_exactly_once(tmp_path, database_url):
    with running(tmp_path, database_url=database_url) as (app, state):
        Person(app, "王审").post("/uploads", text=AD)
        settle(state)
        state.runner.stop()
        digest = state.files.put("第二份。".encode() + AD.encode())
        with state.database.transaction() as session:
            upload = repository.add_upload(session, name="b.txt", sha256=digest, size=9, by=None)
            claimed = repository.claim(session)
            assert claimed.id == upload.id
            lease = claimed.lease
            if database_url:
                # Beside SQLite's only server others may work; there the lease has to run out.
                claimed.leased_until = now()
    desk = open_desk(Settings(detectors=("lexical",), data_dir=tmp_path, database_url=database_url))
    with TestClient(create_app(desk.settings, desk=desk)):
        documents = settle(desk, 2)
        assert len(documents) == 2
        with desk.database.transaction() as session:
            # The worker that was thought dead comes back: its results are not kept a second time.
            assert not repository.finish(session, upload.id, lease, [], [])


def test_a_file_that_kills_its_worker_is_given_up(desk):
    _, state = desk
    state.runner.stop()
    with state.database.transaction() as session:
        repository.add_upload(session, name="x", sha256="0" * 64, size=1, by=None)
    for _ in range(4):
        with state.database.transaction() as session:
            repository.claim(session)
            repository.release_all(session)
    with state.database.transaction() as session:
        upload = session.query(Upload).one()
        assert upload.status == "failed" and "停止重试" in upload.error


def test_the_same_idempotency_key_is_one_upload(desk):
    _, state = desk
    state.runner.stop()
    with state.database.transaction() as session:
        one, two = (
            repository.add_upload(session, name="x", sha256="0" * 64, size=1, by=None, idempotency_key="k")
            for _ in range(2)
        )
        assert one.id == two.id


@pytest.mark.parametrize("asked", ["until=9999-12-31", "since=0001-01-01&until=0001-01-01", "since=yesterday"])
def test_any_day_may_be_asked_for(desk, asked):
    app, _ = desk
    assert Person(app, "钱看").get(f"/?{asked}").status_code == 200


def test_a_reason_is_kept_whole_or_refused(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    settle(state)
    long = "逐条核对了条款与宣传页。" * 175 + "此外须删去"
    for path, fields in (
        ("verdict", {"verdict": "return", "reason": long}),
        ("decisions", {"finding": 1, "action": "dismiss", "reason": long}),
        ("decisions", {"finding": 1, "action": "rewrite", "rewrite": long}),
    ):
        answer = reviewer.post(f"/documents/1/{path}", **fields)
        assert answer.status_code == 422 and f"共{len(long)}个字符，最多2000个" in answer.text, path
    # A page counts a line end once, and what nobody sees is no part of a reason.
    typed = "\x00".join(("长" * 1_000, "\r\n" + "句" * 999))
    reviewer.post("/documents/1/verdict", verdict="return", reason=typed)
    refused = Person(app, "李复").post("/documents/1/approval", agree="no", reason=long)
    assert refused.status_code == 422 and "最多2000个" in refused.text
    with state.database.reading() as session:
        document = session.get(StoredDocument, 1)
        assert document.verdict_reason == "长" * 1_000 + "\n" + "句" * 999 and document.state == "decided"
        assert decisions.decisions_of(session, 1) == []
    page = reviewer.get("/documents/1").text
    assert page.count('maxlength="2000"') == page.count('name="reason"') + page.count('name="rewrite"')


def test_a_verdict_holds_for_what_was_judged(desk):
    app, state = desk
    reviewer, approver = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text=AD)
    settle(state)
    hasty = reviewer.post("/documents/1/verdict", verdict="pass")
    assert hasty.status_code == 422 and re.search(r"还有\d+处问题没有处理", hasty.text)
    reviewer.post("/documents/1/verdict", verdict="pass", reason="均为旧稿，已另行修改")
    changed = reviewer.post("/documents/1/decisions", finding=1, action="dismiss", reason="引自条款")
    assert "原结论“通过”已撤回" in changed.text
    assert approver.post("/documents/1/approval", agree="yes").status_code == 422
    reviewer.post("/documents/1/verdict", verdict="return", reason="删去政府兜底")
    approver.post("/documents/1/approval", agree="no", reason="应当禁止发布")
    seen = reviewer.get("/documents/1").text
    assert "原结论“退回修改”已撤回" in seen and "应当禁止发布" in seen and "李复" in seen
    with state.database.reading() as session:
        document = session.get(StoredDocument, 1)
        assert (document.state, document.verdict, document.verdict_by) == ("open", None, None)


def test_an_added_finding_can_be_taken_back(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    settle(state)
    start = AD.index("扫码投保")
    place = {"start": start, "end": start + 4, "label": "false_urgency"}
    assert "撤回补充" in reviewer.post("/documents/1/decisions", action="add", reason="催促", **place).text
    assert "撤回补充 · 王审" in reviewer.post("/documents/1/decisions", action="withdraw", **place).text
    again = reviewer.post("/documents/1/decisions", action="withdraw", **place)
    assert again.status_code == 422 and "已经撤回" in again.text
    reviewer.post("/documents/1/verdict", verdict="return", reason="删去政府兜底")
    Person(app, "李复").post("/documents/1/approval", agree="yes")
    (row,) = map(json.loads, Person(app, "李复").get("/decisions.jsonl").text.splitlines())
    assert "false_urgency" not in {s["label"] for s in row["spans"]}


def test_a_title_is_no_path(desk):
    app, state = desk
    Person(app, "王审").post("/uploads", text=AD, title="培训 2026/11 初稿")
    (document,) = settle(state)
    assert document.name == "培训 2026／11 初稿.txt"


@pytest.mark.parametrize("to", ["999999999999999999999999", "-1", "2147483648"])
def test_a_document_is_assigned_only_to_somebody(desk, to):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    settle(state)
    answer = reviewer.post("/documents/1/assignment", to=to)
    assert answer.status_code == 422 and "负责人须是在用的人员" in answer.text


def test_a_login_leads_to_what_was_asked_for(desk):
    app, _ = desk
    asked = "/?risk=high&q=%E5%85%9C%E5%BA%95"
    form = Person(app).get(asked)
    assert form.url.path == "/login" and form.url.params["next"] == asked
    reviewer = Person(app)
    token = re.search(r'name="csrf" content="([^"]+)"', reviewer.get("/login").text).group(1)
    fields = {"csrftoken": token, "name": "王审", "password": PASSWORD, "next": asked}
    answer = reviewer.client.post("/login", data=fields, follow_redirects=False)
    assert answer.headers["location"] == asked
    foreign = Person(app).get("//evil.example/?next=//evil.example")
    assert 'name="next" value="//' not in foreign.text
