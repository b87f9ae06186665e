"""Rules on sentences that look alike: who says it, how, and about what."""

import pytest

from nlp_compliance.detect.lexical import LexicalDetector
from nlp_compliance.records import VIOLATION_LABELS, Document
from nlp_compliance.rulebook import load_rulebook
from nlp_compliance.text.parse import parse


@pytest.fixture(scope="module")
def detector(rulebook):
    return LexicalDetector(rulebook)


def labels(detector, text):
    (hits,) = detector.detect([parse(Document("", text))])
    return {h.label for h in hits if h.verdict == "violation" and h.label in VIOLATION_LABELS}


# fmt: off
CASES = [
    ("政府兜底，放心买",                                   {"state_underwriting"}),
    ("政 府 兜 底，放心买",                                {"state_underwriting"}),
    ("本产品并非政府承保",                                  set()),
    ("请勿相信“政府兜底”的说法",                            set()),
    ("风险提示：近期有人宣称“国家兜底”，请警惕",              set()),
    ("惠民保是政府承保的吗？不是，由岭松财险承保",            set()),
    ("政府都给咱兜底了，还不买？",                          {"state_underwriting"}),
    ("由市医保局指导，禾安财险承保",                         set()),
    ("最高赔付200万元",                                    set()),
    ("额度全国最高，最高赔付200万元",                        {"absolute_claim"}),
    ("国家级博物馆今天免费开放",                            set()),
    ("国家级保障，值得信赖",                               {"absolute_claim"}),
    ("第一季度参保人数公布",                               set()),
    ("什么病都赔",                                        {"coverage_exaggeration"}),
    ("并不是什么病都赔",                                   set()),
    ("不保证续保",                                        set()),
    ("放心，保证续保",                                     {"guarantee_promise"}),
    ("错过再等一年",                                      {"false_urgency"}),
    ("参保时间为11月1日至12月31日",                         set()),
    ("首月1元享600万",                                    {"misleading_price"}),
    ("没出险保费全退",                                    {"investment_return"}),
    ("千万不要错过政府兜底",                               {"state_underwriting"}),
    ("没有比政府兜底更放心的",                             {"state_underwriting"}),
]
# fmt: on


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[c[0] for c in CASES])
def test_violations(detector, text, expected):
    assert labels(detector, text) == expected


def test_hits_stand_on_original_characters(detector):
    text = "放心买！政·府·兜·底，99元一年"
    (hits,) = detector.detect([parse(Document("", text))])
    hit = next(h for h in hits if h.label == "state_underwriting")
    assert text[hit.span.start : hit.span.end] == "政·府·兜·底"


def test_a_pointer_is_no_disclosure(detector):
    (hits,) = detector.detect([parse(Document("", "责任免除详见保险条款"))])
    assert {h.label for h in hits} == {"pointer"}


def test_order_is_fixed_and_empty_text_is_silent(detector):
    document = parse(Document("", "史上最强保障，什么病都赔，政府兜底，手慢无"))
    first, second = detector.detect([document]), detector.detect([document])
    assert first == second and first[0] == sorted(first[0], key=lambda h: (h.span.start, h.span.end, h.label))
    assert detector.detect([parse(Document("", ""))]) == [[]]


def test_advisory_rules_are_off_by_default(rulebook, detector):
    document = parse(Document("", "保费低至49元"))
    assert detector.detect([document]) == [[]]
    (hits,) = LexicalDetector(rulebook, advisory=True).detect([document])
    assert {h.verdict for h in hits} == {"advisory"}


WRITTEN_AS_PEOPLE_DO = """
rules:
  - id: company.slogan
    label: absolute_claim
    kind: violation
    terms: [NO.1 沁河, 沁河稱王, ＴＯＰ沁河]
    exceptions: [沁河稱王杯, 'ＴＯＰ沁河(醫院|[一-龥]校)']
    bad: [认准NO.1 沁河, 沁河称王, 沁河稱王, TOP沁河]
    good: [沁河称王杯开赛, TOP沁河医院开诊, TOP沁河學校开学]
"""


def test_terms_and_exceptions_count_in_any_spelling(tmp_path):
    (tmp_path / "own.yaml").write_text(WRITTEN_AS_PEOPLE_DO, encoding="utf-8")
    own = LexicalDetector(load_rulebook([tmp_path]))
    assert labels(own, "放心，No.1 沁河") == {"absolute_claim"} and labels(own, "沁河稱王盃") == set()
