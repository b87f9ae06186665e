"""The company's own terms: proved, in force at once, switched off again, with a history; a bad one changes nothing."""

import pytest

from nlp_compliance.records import Document
from nlp_compliance.store import audit
from nlp_compliance.store.schema import OwnRule
from tests.web.acting import Person

SLOGAN = {
    "label": "absolute_claim",
    "kind": "violation",
    "terms": "沁河一哥、保 障 王",
    "bad": "买保险就找沁河一哥",
    "good": "沁河保欢迎咨询",
}


def labels(state, text: str) -> set[str]:
    return {f.label for f in state.live.current.check(Document("", text)).findings}


def test_a_term_is_in_force_at_once_and_can_be_switched_off_and_on(desk):
    app, state = desk
    approver = Person(app, "李复")
    before = state.rulebook.version
    text = "放心投保，认准沁河一哥"
    assert "absolute_claim" not in labels(state, text)
    page = approver.post("/rules", **SLOGAN).text
    assert "company.1" in page and "沁河一哥、保障王" in page
    assert "absolute_claim" in labels(state, text) and "absolute_claim" in labels(state, "我们是保|障|王")
    assert state.rulebook.version != before
    assert "沁河一哥" in approver.post("/rewrite", text=text).text
    approver.post("/rules/1", active="")
    assert "absolute_claim" not in labels(state, text) and state.rulebook.version == before
    page = approver.post("/rules/1", active="1").text
    assert "absolute_claim" in labels(state, text)
    assert page.count("李复 · 停用") == 1 and page.count("李复 · 启用") == 1
    with state.database.reading() as session:
        actions = [e.action for e in audit.entries(session) if e.action.startswith("rule.")]
    assert actions == ["rule.add", "rule.off", "rule.on"]


def test_another_server_takes_the_term_over(desk):
    app, state = desk
    approver = Person(app, "李复")
    from nlp_compliance.web.live import LiveChecker

    other = LiveChecker(state.live._base, state.settings, state.database)
    assert not other.refresh()
    approver.post("/rules", **SLOGAN)
    assert other.refresh() and not other.refresh()
    assert other.rulebook.version == state.rulebook.version


# fmt: off
BROKEN = [
    ("bad example is not hit",    {"bad": "买保险就找别人"},                      "不含所列词语"),
    ("good example is hit",       {"good": "沁河一哥也会来"},                     "会被误报"),
    ("bad example is denied",     {"bad": "我们并非沁河一哥"},                 "自检"),
    ("no label",                  {"label": "missing_term"},                    "请选择标签"),
    ("no kind",                   {"kind": "disclosure"},                       "请选择类型"),
    ("one character",             {"terms": "保"},                               "至少2个字"),
    ("only separators",           {"terms": "、、 "},                           "至少写一个词语"),
    ("too long",                  {"reason": "长" * 501},                       "最多500"),
    ("no character",              {"reason": "保\ufffe险"},                      "理由：U+FFFE"),
    ("control character",         {"exceptions": "沁河\x85餐厅"},                "例外：U+0085"),
    ("too many",                  {"terms": "\n".join(f"词{i}" for i in range(51)), "bad": "词1"}, "最多50"),
]
# fmt: on


@pytest.mark.parametrize(("change", "said"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_a_term_that_does_not_prove_itself_is_refused_and_changes_nothing(desk, change, said):
    app, state = desk
    before = state.rulebook.version
    answer = Person(app, "李复").post("/rules", **{**SLOGAN, **change})
    assert answer.status_code == 422 and said in answer.text
    assert change.get("bad", SLOGAN["bad"]) in answer.text
    assert state.rulebook.version == before


def test_an_exception_is_taken_literally(desk):
    app, state = desk
    rule = {**SLOGAN, "exceptions": "沁河一哥(餐厅)", "good": "沁河一哥(餐厅)开业"}
    assert Person(app, "李复").post("/rules", **rule).status_code == 200
    assert "absolute_claim" in labels(state, "保险认准沁河一哥")
    assert "absolute_claim" not in labels(state, "沁河一哥(餐厅)旁边有保险柜台")


def test_a_rule_that_cannot_be_loaded_any_more_is_named_and_stops_no_other(desk):
    """As after an upgrade that knows its label no more."""
    app, state = desk
    approver = Person(app, "李复")
    approver.post("/rules", **SLOGAN)
    approver.post("/rules", **{**SLOGAN, "terms": "汾河头牌", "bad": "买保险就找汾河头牌"})
    with state.database.transaction() as session:
        rule = session.get(OwnRule, 1)
        rule.body, rule.revision = {**rule.body, "label": "former_label"}, 3
    state.live.refresh()
    assert "absolute_claim" not in labels(state, "认准沁河一哥") and "absolute_claim" in labels(state, "认准汾河头牌")
    page = approver.get("/rules").text
    assert "规则company.1没有生效" in page and "former_label" in page and "规则company.2没有生效" not in page
    page = approver.post("/rules", **{**SLOGAN, "terms": "丹河之王", "bad": "买保险就找丹河之王"}).text
    assert "company.3" in page and "absolute_claim" in labels(state, "认准丹河之王")
    assert "没有生效" not in approver.post("/rules/1", active="").text


def test_only_approvers_change_rules(desk):
    app, _ = desk
    assert Person(app, "王审").post("/rules", **SLOGAN).status_code == 403
    assert "添加公司词语" not in Person(app, "钱看").get("/rules").text


def test_a_rule_that_is_not_there_is_named(desk):
    app, _ = desk
    number = "9" * 24
    answer = Person(app, "李复").post(f"/rules/{number}", active="1")
    assert answer.status_code == 404 and f"没有编号为{number}的自有规则" in answer.text
