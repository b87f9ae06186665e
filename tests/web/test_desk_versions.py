"""What one person did while another looked at an older page, and what became of the copies made from one version."""

from __future__ import annotations

import re

from tests.web.acting import AD, Person, settle


def _shown(person: Person, document: int) -> str:
    """The state that the forms of the document's page carry."""
    (state,) = set(re.findall(r'name="seen" value="([^"]+)"', person.get(f"/documents/{document}").text))
    return state


def test_nobody_approves_a_verdict_that_was_not_on_the_page(desk):
    app, state = desk
    reviewer, approver = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text=AD)
    settle(state)
    reviewer.post("/documents/1/verdict", verdict="block", reason="政府兜底", seen=_shown(reviewer, 1))
    looked_at = _shown(approver, 1)
    reviewer.post("/documents/1/verdict", verdict="pass", reason="另行修改", seen=_shown(reviewer, 1))
    refused = approver.post("/documents/1/approval", agree="yes", seen=looked_at)
    assert refused.status_code == 422 and "看过现在的处理和结论" in refused.text
    agreed = approver.post("/documents/1/approval", agree="yes", seen=_shown(approver, 1))
    assert "已由李复复核" in agreed.text


def test_a_verdict_covers_only_the_decisions_that_were_on_the_page(desk):
    app, state = desk
    reviewer, other = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text=AD)
    settle(state)
    looked_at = _shown(reviewer, 1)
    added = {"action": "add", "start": 0, "end": 3, "label": "false_urgency", "reason": "催促"}
    other.post("/documents/1/decisions", **added)
    refused = reviewer.post("/documents/1/verdict", verdict="pass", reason="均为旧稿", seen=looked_at)
    assert refused.status_code == 422 and "看过现在的处理和结论" in refused.text
    # A new person in charge or an export changes nothing that a verdict covers.
    looked_at = _shown(reviewer, 1)
    other.post("/documents/1/assignment", to=0)
    assert reviewer.post("/documents/1/verdict", verdict="pass", reason="均为旧稿", seen=looked_at).status_code == 200


def test_every_copy_made_from_a_version_is_found_from_every_other(desk):
    app, state = desk
    reviewer, other = Person(app, "王审"), Person(app, "李复")
    reviewer.post("/uploads", text=AD)
    settle(state)
    reviewer.post("/uploads", text=AD + "欢迎咨询。", previous=1)
    settle(state, 2)
    other.post("/uploads", text=AD + "详见条款。", previous=1)
    settle(state, 3)
    for own in (1, 2, 3):
        page = reviewer.get(f"/documents/{own}").text
        assert f'<b aria-current="page">第{own}版</b>' in page
        assert all(f'<a href="/documents/{n}">第{n}版</a>' in page for n in {1, 2, 3} - {own})
    # The third was made from the first, not from the second.
    assert '与<a href="/documents/1">第1版</a>相比' in reviewer.get("/documents/3").text


def test_a_claim_repeated_in_the_new_version_counts_as_often_as_it_stands_there(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text=AD)
    settle(state)
    reviewer.post("/uploads", text=AD + "再说一遍，政府兜底，真的政府兜底。", previous=1)
    settle(state, 2)
    reviewer.post("/uploads", text=AD, previous=2)
    settle(state, 3)
    more, fewer = (reviewer.get(f"/documents/{n}").text for n in (2, 3))
    assert "新增2处" in more and "政府承保或兜底“政府兜底”</span>×2" in more
    assert "已改正2处" in fewer and "<s>政府承保或兜底“政府兜底”</s></span>×2" in fewer


def test_a_wording_that_found_no_place_in_the_draft_is_named(desk):
    app, state = desk
    reviewer = Person(app, "王审")
    reviewer.post("/uploads", text="云溪保，百分百赔付，扫码投保。")
    (document,) = settle(state)
    # Two labels on the same words.
    first, second = [n for n, f in enumerate(document.report["findings"], 1) if f["text"] == "百分百赔付"]
    url = "/documents/1/decisions"
    reviewer.post(url, finding=first, action="rewrite", rewrite="按条款赔付")
    page = reviewer.post(url, finding=second, action="rewrite", rewrite="依约赔付").text
    assert ">云溪保，按条款赔付，扫码投保。</textarea>" in page
    assert f"第{second}条的改写与前面的改写重叠，没有填入" in page
    # The same wording for both loses nothing.
    assert "没有填入" not in reviewer.post(url, finding=second, action="rewrite", rewrite="按条款赔付").text
