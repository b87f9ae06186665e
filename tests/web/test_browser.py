"""End to end in headless Chromium: log in, upload, read, decide with the keyboard, approve, export, verify the chain."""

import io
import re
from pathlib import Path

import docx
import pytest

from nlp_compliance.store import audit, decisions
from tests.ingest import files
from tests.store import postgres
from tests.web.acting import AD, FIXTURES, running, settle
from tests.web.browser import FLAGS, chromium, log_in, served, shoot
from tests.web.test_rules_page import SLOGAN

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


@pytest.fixture(scope="module")
def browser():
    program = chromium()
    if program is None:
        postgres.skip_or_fail("chromium", "Chromium is not installed (Debian: chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        running_browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield running_browser
        running_browser.close()


@pytest.fixture
def site(tmp_path):
    with running(tmp_path) as (app, state), served(app) as url:
        yield url, state


@pytest.fixture
def people_pages(browser, site):
    """Opens a page for a person, and fails the test when a page had an error of its own."""
    url, _ = site
    contexts, faults = [], []

    def opened(name: str, **options):
        context = browser.new_context(locale="zh-CN", base_url=url, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        log_in(page, url, name)
        return page

    yield opened
    for context in contexts:
        context.close()
    # A refused form answers 4xx, which the browser also reports; what counts is scripts and the content policy.
    assert [f for f in faults if "status of 4" not in f] == []


def test_from_upload_to_approval(people_pages, site, tmp_path):
    _, state = site
    page = people_pages("王审")
    (tmp_path / "文案.docx").write_bytes(files.word())
    (tmp_path / "坏.pdf").write_bytes(b"%PDF-1.7 nothing")
    chosen = [tmp_path / "文案.docx", tmp_path / "坏.pdf", FIXTURES / "scan.pdf", FIXTURES / "poster-busy.jpg"]
    page.set_input_files("#files", chosen)
    upload(page)
    page.wait_for_selector(".uploads .failed, .uploads .done")
    settle(state, 3)
    page.reload()
    assert "未能读取" in page.inner_text("#uploads") and page.locator(".list tbody tr").count() == 3
    shoot(page, "list")
    page.get_by_role("link", name="poster-busy.jpg").first.click()
    assert page.locator("svg.picture rect.box").count() > 0
    assert page.evaluate("document.querySelector('svg.picture image').getBBox().width") > 100
    shoot(page, "poster")

    page.goto("/")
    page.get_by_text("或粘贴文字").click()
    page.get_by_label("标题").fill("秋季推文")
    page.get_by_label("文案").fill(AD + "什么病都赔。")
    upload(page)
    page.wait_for_selector(".list a:has-text('秋季推文')")
    page.locator(".list").get_by_role("link", name=re.compile("秋季推文")).click()
    _decide_by_keyboard(page)
    _add_by_selection(page)
    shoot(page, "document")
    page.get_by_label("结论理由").fill("删去政府兜底")
    page.get_by_role("button", name="退回修改").click()
    assert "等待另一人复核" in page.inner_text("#verdict")

    other = people_pages("李复")
    other.goto(page.url)
    other.get_by_role("button", name="同意结论").click()
    assert "已由李复复核" in other.inner_text("#verdict")
    for kind in ("Word", "PDF", "Excel", "JSON"):
        with other.expect_download() as download:
            other.locator(".links").get_by_role("link", name=kind, exact=True).click()
        assert Path(download.value.path()).stat().st_size > 500
    other.goto("/audit")
    assert "哈希链完整" in other.inner_text("main")
    shoot(other, "audit")
    with state.database.reading() as session:
        assert audit.verify(session)[1] == []


@pytest.mark.parametrize("typed", ["还没写完的文案", ""])
def test_finished_uploads_reload_the_page_unless_somebody_is_typing(people_pages, typed):
    page = people_pages("王审")
    loaded = []

    def with_a_running_upload(route):
        loaded.append(1)
        answer = route.fetch()
        row = '<li class="upload running">检查中</li>' if len(loaded) == 1 else ""
        body = re.sub('<ul [^>]*id="uploads"[^>]*>', lambda opening: opening[0] + row, answer.text())
        route.fulfill(response=answer, body=body)

    page.route("**/", with_a_running_upload)
    page.route("**/uploads/recent", lambda route: route.fulfill(body='<li class="upload done">完成</li>'))
    page.goto("/")
    page.get_by_text("或粘贴文字").click()
    page.get_by_label("文案").fill(typed)
    with page.expect_response("**/uploads/recent"):
        pass
    page.wait_for_timeout(500)
    page.wait_for_load_state()
    assert page.get_by_label("文案").input_value() == typed
    assert len(loaded) == (1 if typed else 2)


def upload(page) -> None:
    """Presses the button and waits until the page has come back."""
    with page.expect_navigation():
        page.get_by_role("button", name="上传并检查").click()


def _decide_by_keyboard(page) -> None:
    cards = page.locator(".finding")
    assert cards.count() >= 3
    page.keyboard.press("n")
    assert "current" in cards.nth(0).get_attribute("class")
    page.keyboard.press("a")
    page.wait_for_selector("#f1.accept")
    page.keyboard.press("n")
    page.keyboard.press("d")
    # A dismissal needs a reason: the field takes the focus, and Enter there dismisses.
    assert page.evaluate("document.activeElement.name") == "reason"
    page.keyboard.type("附页已说明")
    page.keyboard.press("Enter")
    page.wait_for_selector("#f2.dismiss")
    page.keyboard.press("p")
    assert "current" in cards.nth(0).get_attribute("class")


def test_a_text_with_line_ends_of_windows_gets_its_finding_where_it_was_selected(people_pages, site):
    _, state = site
    page = people_pages("王审")
    text = f"沁河保来了\r\n人人可投\r\n\r\n{AD}\r\n咨询客服"
    page.set_input_files("#files", {"name": "推文.txt", "mimeType": "text/plain", "buffer": text.encode()})
    upload(page)
    (document,) = settle(state)
    page.goto(f"/documents/{document.id}")
    _add_by_selection(page)
    with state.database.reading() as session:
        ((added, _),) = decisions.decisions_of(session, document.id)
    assert document.text[added.start : added.end] == "扫码投保"


def _add_by_selection(page) -> None:
    page.evaluate("""() => {
      const walker = document.createTreeWalker(document.getElementById('text'), NodeFilter.SHOW_TEXT);
      for (let node; (node = walker.nextNode());) {
        const at = node.data.indexOf('扫码投保');
        if (at >= 0) getSelection().setBaseAndExtent(node, at, node, at + 4);
      }
    }""")
    page.wait_for_selector("#add:not([hidden])")
    assert page.inner_text("#chosen") == "扫码投保"
    page.locator("#add").get_by_label("标签").select_option(label="虚假紧迫")
    page.locator("#add").get_by_label("理由").fill("催促")
    page.get_by_role("button", name="添加").click()
    page.wait_for_selector("text=补充为虚假紧迫")


def test_a_wording_is_checked_before_it_is_saved_and_becomes_the_next_version(people_pages, site):
    _, state = site
    page = people_pages("王审")
    page.get_by_text("或粘贴文字").click()
    page.get_by_label("文案").fill(AD)
    upload(page)
    (document,) = settle(state)
    page.goto(f"/documents/{document.id}")
    card = page.locator(".finding", has_text="“政府兜底”").first
    card.get_by_text("改写这一处").click()
    field = card.get_by_label("改写后的文字")
    field.fill("由国家财政兜底")
    card.get_by_role("button", name="检查并保存改写").click()
    card.locator(".checked .problem").first.wait_for()
    shoot(page, "rewrite")
    field.fill("由商业保险公司承保")
    card.get_by_role("button", name=re.compile("保存")).click()
    page.wait_for_selector("text=改写为：")
    assert "由商业保险公司承保，" in page.get_by_label("修改后的文字").input_value()
    with page.expect_navigation():
        page.get_by_role("button", name="提交修改稿").click()
    second = settle(state, 2)[1]
    page.goto(f"/documents/{second.id}")
    assert "已改正1处" in page.inner_text(".changes")
    shoot(page, "second-version")


def test_files_are_dropped_on_the_page(people_pages, site):
    _, state = site
    page = people_pages("王审")
    page.evaluate(
        """text => {
      const data = new DataTransfer();
      data.items.add(new File([text], '拖入.txt', { type: 'text/plain' }));
      data.items.add(new File([text + '二'], '拖入2.txt', { type: 'text/plain' }));
      document.querySelector('.dropzone').dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }""",
        AD,
    )
    page.wait_for_selector(".list a:has-text('拖入2.txt')")
    assert {d.name for d in settle(state, 2)} == {"拖入.txt", "拖入2.txt"}


def test_a_company_term_is_added_and_tried(people_pages, site):
    page = people_pages("李复")
    page.goto("/rules")
    page.get_by_label("标签").select_option(label="绝对化用语")
    page.get_by_label(re.compile("^词语")).fill(SLOGAN["terms"])
    page.get_by_label(re.compile("^反例")).fill(SLOGAN["bad"])
    page.get_by_label(re.compile("^正例")).fill(SLOGAN["good"])
    page.get_by_role("button", name="自检并启用").click()
    page.wait_for_selector("text=company.1")
    page.get_by_label("要试的句子").fill("认准沁河一哥")
    page.get_by_role("button", name="检查", exact=True).click()
    page.wait_for_selector("#rewritten .problem")
    shoot(page, "rules")


def test_pages_fit_a_narrow_screen(people_pages, site):
    _, state = site
    page = people_pages("赵管", viewport={"width": 390, "height": 844})
    page.set_input_files("#files", [SAMPLES / "wechat-qinhe.html", FIXTURES / "poster-busy.jpg"])
    upload(page)
    documents = settle(state, 2)
    paths = {"list": "/", "overview": "/overview", "rules": "/rules", "audit": "/audit", "people": "/people"}
    paths |= {"document": f"/documents/{documents[0].id}", "poster": f"/documents/{documents[1].id}"}
    for name, path in paths.items():
        page.goto(path)
        shoot(page, f"narrow-{name}")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} pixels wider than the screen"
    page.set_viewport_size({"width": 1320, "height": 900})
    for name, path in paths.items():
        page.goto(path)
        shoot(page, f"wide-{name}")
    page.context.clear_cookies()
    page.goto("/login")
    shoot(page, "login")


def test_the_description_of_the_interface_needs_no_network(people_pages, site):
    url, _ = site
    page = people_pages("钱看", viewport={"width": 1280, "height": 900})
    elsewhere = []
    page.on(
        "request", lambda request: elsewhere.append(request.url) if not request.url.startswith((url, "data:")) else None
    )
    for name, width in (("docs", 1280), ("narrow-docs", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/docs")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} pixels wider than the screen"
        # The stylesheet is in force: it came through the content policy.
        assert page.evaluate("getComputedStyle(document.querySelector('.verb')).color") == "rgb(255, 255, 255)"
        shoot(page, name)
    page.get_by_role("navigation").get_by_role("link", name="Errors").click()
    assert page.url.endswith("#errors") and elsewhere == []


NASTY = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


def test_nothing_that_was_uploaded_runs(people_pages, site, tmp_path):
    _, state = site
    page = people_pages("王审")
    html = f"<html><title>{NASTY}</title><body onload='window.hacked=1'><p>{AD}</p>{NASTY}<svg onload='window.hacked=1'></body></html>"
    (tmp_path / "文章.html").write_text(html, "utf-8")
    word = docx.Document(io.BytesIO(files.word()))
    word.core_properties.title = word.core_properties.author = NASTY
    word.save(str(tmp_path / "元.docx"))
    (tmp_path / "&quot;onmouseover=alert(1) x=&quot;.txt").write_text(AD + NASTY, "utf-8")
    page.set_input_files(
        "#files", sorted(tmp_path.glob("*.html")) + sorted(tmp_path.glob("*.docx")) + sorted(tmp_path.glob("*.txt"))
    )
    upload(page)
    documents = settle(state, 3)
    for path in ("/", f"/?q={NASTY}", *(f"/documents/{d.id}" for d in documents)):
        page.goto(path)
        page.wait_for_timeout(100)
        assert page.evaluate("window.hacked") is None, path
        assert page.locator("main img").count() == 0
    with page.expect_download():
        page.evaluate(f"location.assign('/documents/{documents[0].id}/original')")
