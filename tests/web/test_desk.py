"""The review desk over HTTP: login, roles, uploads, decisions, four eyes, audit chain, exports, and what must not work."""

import io
import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from types import SimpleNamespace

import docx
import pytest
from openpyxl import load_workbook
from sqlalchemy import text as sql
from starlette.testclient import TestClient

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.records import Promotional, Report
from nlp_compliance.report.terminal import DOUBTFUL
from nlp_compliance.settings import Settings
from nlp_compliance.store import audit, decisions, people, repository
from nlp_compliance.store.schema import ReadFailure, StoredDocument, Upload, now
from nlp_compliance.web.app import create_app
from nlp_compliance.web.desk import auditview, jobs, pagepicture
from nlp_compliance.web.desk.app import open_desk, setup_link
from nlp_compliance.web.intake import accept
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
    assert "PDF已损坏；请重新导出" in page and "包.zip!b.doc：是旧版或加密的Office文件" in page and "broken" not in page
    poster = reviewer.get(f"/documents/{documents[1].id}").text
    assert 'class="box' in poster and "<svg" in poster
    assert reviewer.get(f"/documents/{documents[1].id}/original").headers["content-type"] == "image/jpeg"
    assert "attachment" in reviewer.get(f"/documents/{documents[0].id}/original").headers["content-disposition"]


def test_a_page_of_a_pdf_is_shown_with_its_findings(desk, monkeypatch):
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
    # A picture that was drawn is shown again without its file being read.
    with monkeypatch.context() as patch:
        patch.delattr(state.files.__class__, "get")
        assert reviewer.get(f"/documents/{document.id}/pages/1").status_code == 200
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
            assert not repository.keep(session, upload.id, lease, [], [])
            assert not repository.finish(session, upload.id, lease)


def test_a_file_that_kills_its_worker_is_given_up(desk):
    app, state = desk
    state.runner.stop()
    with state.database.transaction() as session:
        repository.add_upload(session, name="x", sha256="0" * 64, size=1, by=None)
    for _ in range(4):
        with state.database.transaction() as session:
            repository.claim(session)
            repository.release_all(session)
    with state.database.transaction() as session:
        upload = session.query(Upload).one()
        assert upload.status == "failed" and "broke off 3 times" in upload.error
    assert "处理时3次中断，已停止重试" in Person(app, "王审").get("/uploads").text
    assert "处理时3次中断" in Person(app, "李复").get("/audit").text


def test_the_same_idempotency_key_is_one_upload(desk):
    _, state = desk
    state.runner.stop()
    with state.database.transaction() as session:
        one, two = (
            repository.add_upload(session, name="x", sha256="0" * 64, size=1, by=None, idempotency_key="k")
            for _ in range(2)
        )
        assert one.id == two.id


def rows(count: int, words: str) -> bytes:
    return ("正文\n" + "".join(f"第{number}行，{words}\n" for number in range(count))).encode()


def test_a_short_upload_overtakes_a_long_one(desk, monkeypatch):
    _, state = desk
    monkeypatch.setattr(jobs, "_TURN_ITEMS", 8)
    judge, short = state.runner.judge.check_many, AD.encode()

    def while_the_long_one_is_read(documents):
        # One more upload of the same key would be the same upload.
        accept(state.database, state.files, name="短.txt", data=short, idempotency_key="short")
        return judge(documents)

    state.runner.judge = jobs.Judge(while_the_long_one_is_read)
    accept(state.database, state.files, name="长.csv", data=rows(120, AD))
    state.wake()
    names = [d.name for d in settle(state, 121)]
    assert names.index("短.txt") <= 16 and len(names) == 121


@pytest.mark.parametrize("ending", ["killed", "stopped"])
def test_a_long_upload_goes_on_where_it_was(tmp_path, database_url, monkeypatch, ending):
    monkeypatch.setattr(jobs, "_TURN_ITEMS", 8)
    with running(tmp_path, database_url=database_url) as (_, state):
        state.runner.stop()
        upload = accept(state.database, state.files, name="长.csv", data=rows(40, AD) + b'"open')
        runner = jobs.JobRunner(state.database, state.files, state.runner.judge, state.runner.new_reader)
        for _ in range(3):
            assert runner._work()
        if ending == "stopped":
            runner._put_back()
        with state.database.transaction() as session:
            kept = session.get(Upload, upload.id)
            assert repository.kept(session, upload.id) == (24, 0)
            assert (kept.status, kept.attempts) == (("queued", 0) if ending == "stopped" else ("running", 1))
            if ending == "killed":
                kept.leased_until = now()
    desk = open_desk(Settings(detectors=("lexical",), data_dir=tmp_path, database_url=database_url))
    with TestClient(create_app(desk.settings, desk=desk)):
        documents = settle(desk, 40)
        assert [d.ordinal for d in documents] == list(range(40)) and len({d.text for d in documents}) == 40
        with desk.database.reading() as session:
            assert repository.kept(session, upload.id) == (40, 1)
            assert session.get(Upload, upload.id).status == "done"


def test_what_could_not_be_read_stays_in_sight(desk):
    app, state = desk
    with state.database.transaction() as session:
        for number in range(40):
            upload = Upload(name=f"海报{number:02}.pdf", sha256="0" * 64, size=1, status="failed")
            session.add(upload)
            session.flush()
            for row in range(40 if number == 0 else 1):
                says = f"line {row} is no JSON object: x"
                session.add(ReadFailure(upload_id=upload.id, name=f"{row}", code="record_invalid", message=says))
        session.add(Upload(name="好.txt", sha256="0" * 64, size=1, status="done"))
        first = upload.id - 39
    reader = Person(app, "钱看")
    assert "共41次上传" in reader.get("/uploads").text and "好.txt" in reader.get("/uploads").text
    page = reader.get("/uploads?unread=1").text
    assert "共40次上传" in page and "海报39.pdf" in page and "好.txt" not in page and "unread=1&amp;page=2" in page
    page = reader.get("/uploads?unread=1&page=2").text
    assert "海报00.pdf" in page and f'<a href="/uploads/{first}">共40处未能读取</a>' in page
    whole = reader.get(f"/uploads/{first}").text + reader.get(f"/uploads/{first}?page=2").text
    assert all(f"第{row}行不是JSON" in whole for row in range(40))
    assert reader.get("/uploads/999999").status_code == 404
    assert "海报39.pdf" in reader.get("/uploads/recent").text


def test_what_remains_after_decisions_stands_beside_the_programs_risk(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    risk = '机器判定 <span class="badge high">高风险</span> · 人工处理后 '
    assert f'{risk}<span class="soft">尚未处理</span>' in reviewer.get("/documents/1").text
    assert "处理后 <span" not in reviewer.get("/").text
    for number in range(1, len(document.report["findings"]) + 1):
        page = reviewer.post("/documents/1/decisions", finding=number, action="dismiss", reason="引自条款").text
    assert f'{risk}<span class="badge none">无风险</span>' in page
    listed = reviewer.get("/").text.partition('class="list"')[2]
    assert 'badge high">高</span>' in listed and '处理后 <span class="badge none">无</span>' in listed
    assert "均已排除" in listed and "政府承保或兜底</span>" not in listed
    start = AD.index("扫码投保")
    place = {"start": start, "end": start + 4, "label": "false_urgency"}
    page = reviewer.post("/documents/1/decisions", action="add", reason="催促", **place).text
    left = state.rulebook.label("false_urgency").severity
    assert f'{risk}<span class="badge {left}">' in page
    sheet = load_workbook(io.BytesIO(reviewer.get("/documents/1/export.xlsx").content))["概况"]
    assert any("机器判定高，人工处理后" in str(row[0].value) for row in sheet.iter_rows())


def test_a_changed_label_brings_its_own_explanation(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    number = next(i for i, f in enumerate(document.report["findings"], 1) if f["text"] == "政府兜底")
    fields = {"finding": number, "action": "relabel", "label": "absolute_claim", "reason": "非承保"}
    reviewer.post("/documents/1/decisions", **fields)
    page = reviewer.post("/documents/1/decisions", finding=number, action="accept").text
    card = page.partition(f'id="f{number}"')[2].partition("</article>")[0]
    old, new = state.rulebook.label("state_underwriting"), state.rulebook.label("absolute_claim")
    assert f"<h2>{number}. {new.name} <s" in card and f"机器原标签：{old.name}</s>" in card
    assert new.reason in card and old.reason not in card and f'badge {new.severity}">' in card
    word = docx.Document(io.BytesIO(reviewer.get("/documents/1/export.docx").content))
    said = [p.text for p in word.paragraphs]
    assert f"提示：机器原标签：{old.name}" in said and any(s.startswith(f"{number}. {new.name}") for s in said)
    reviewer.post("/documents/1/verdict", verdict="return", reason="删去")
    Person(app, "李复").post("/documents/1/approval", agree="yes")
    (row,) = map(json.loads, Person(app, "李复").get("/decisions.jsonl").text.splitlines())
    labels = {s["label"] for s in row["spans"] if row["text"][s["start"] : s["end"]] == "政府兜底"}
    assert labels == {"absolute_claim"}


def test_the_json_export_holds_the_decisions(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    (document,) = settle(state)
    reviewer.post("/documents/1/decisions", finding=1, action="rewrite", rewrite="商业保险公司承保")
    reviewer.post("/documents/1/decisions", action="add", start=0, end=3, label="false_urgency", reason="催促")
    reviewer.post("/documents/1/verdict", verdict="return", reason="删去政府兜底")
    exported = json.loads(reviewer.get("/documents/1/export.json").content)
    review = exported.pop("review")
    assert exported == document.report
    assert (review["state"], review["verdict"], review["by"], review["approved_by"]) == (
        "decided",
        "return",
        "王审",
        None,
    )
    first, added = review["decisions"]
    assert (first["finding"], first["action"], first["rewrite"], first["by"]) == (
        1,
        "rewrite",
        "商业保险公司承保",
        "王审",
    )
    assert (added["finding"], added["label"], added["start"], added["end"]) == (None, "false_urgency", 0, 3)
    assert review["remaining_risk"] == "high" and added["at"].endswith("+00:00")


def test_a_doubtful_stance_is_said_in_one_sentence(desk):
    app, state = desk
    doubtful = Report(
        "", Promotional(False, 0.4, review=True), "none", (), (), (), {}, state.checker.version, date(2026, 11, 1)
    )
    state.live._current = SimpleNamespace(
        rulebook=state.rulebook, check=lambda _: doubtful, check_many=lambda texts: [doubtful for _ in texts]
    )
    reviewer = Person(app, "王审")
    assert reviewer.post("/rewrite", text=AD).json()["clean"] == f"{DOUBTFUL}；未发现问题"
    reviewer.post("/uploads", text=AD)
    settle(state)
    assert reviewer.get("/documents/1").text.count(DOUBTFUL) == 2
    written = [p for p in (ROOT / "nlp_compliance").rglob("*.*") if p.suffix in (".py", ".html", ".js")]
    assert [p.name for p in written if "是否属于保险宣传" in p.read_text("utf-8")] == ["terminal.py"]


def test_a_limit_of_payment_is_said_to_discharge_the_duty_of_the_ratio(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD + "年限额100万元。")
    settle(state)
    page = reviewer.get("/documents/1").text
    row = page.partition("<td>赔付比例<div")[2].partition("</tr>")[0]
    assert "赔付比例或者限额" in row and "已披露" in row and "最高保障300万元" in page


def test_a_sentence_that_cannot_be_checked_says_why_in_chinese(tmp_path):
    with running(tmp_path, max_text_chars=50) as (app, _):
        answer = Person(app, "王审").post("/rewrite", text="长" * 51)
        assert answer.status_code == 422 and "文字有51个字符，最多50个字符" in answer.text


def test_pictures_of_pages_wait_for_each_other_and_start_light(monkeypatch):
    code = "import sys, nlp_compliance.web.desk.pagepicture; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == b"False\n"
    at_once, most = 0, 0
    lock = threading.Lock()

    def drawn(*_, **__):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)
        with lock:
            at_once -= 1
        return SimpleNamespace(stdout=b"10 20\npng")

    monkeypatch.setattr(pagepicture.subprocess, "run", drawn)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda number: pagepicture.draw(b"%PDF-light", number), range(8)))
    assert most == 2 and {p.height for p in pictures} == {20.0}


def test_all_documents_of_a_large_upload_are_a_link_away(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    pack = files.archive({f"{n}.txt": f"{AD}第{n}期".encode() for n in range(7)})
    reviewer.post("/uploads", files=[("files", ("包.zip", pack))])
    reviewer.post("/uploads", text="别处来的文案")
    settle(state, 8)
    (link,) = re.findall(r'<a href="(/\?upload=\d+)">全部7篇</a>', reviewer.get("/uploads/recent").text)
    listed = reviewer.get(link).text
    assert "一次上传得出的材料，共7篇" in listed and "别处来的" not in listed.partition('class="list"')[2]
    narrowed = reviewer.get(f"{link}&q=第3期").text
    assert "共1篇" in narrowed and f'name="upload" value="{link.partition("=")[2]}"' in narrowed
    assert "共8篇" in reviewer.get("/?upload=包").text


def test_a_long_pdf_says_how_many_of_its_pages_are_drawn(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    long = files.pdf([[AD], *([f"第{n}页"] for n in range(2, 43))])
    reviewer.post("/uploads", files=[("files", ("手册.pdf", long))])
    (document,) = settle(state)
    page = reviewer.get(f"/documents/{document.id}").text
    assert "原页面（前40页，共42页）" in page
    assert page.count(f'src="/documents/{document.id}/pages/') == 40


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


def test_two_labels_added_to_the_same_words_both_reach_the_training_data(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    settle(state)
    start = AD.index("扫码投保")
    for label in ("false_urgency", "improper_inducement"):
        place = {"start": start, "end": start + 4, "label": label}
        reviewer.post("/documents/1/decisions", action="add", reason="两处问题", **place)
    reviewer.post("/documents/1/verdict", verdict="return", reason="删去政府兜底")
    Person(app, "李复").post("/documents/1/approval", agree="yes")
    (row,) = map(json.loads, Person(app, "李复").get("/decisions.jsonl").text.splitlines())
    assert {"false_urgency", "improper_inducement"} <= {s["label"] for s in row["spans"] if s["start"] == start}


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
