"""The whole way of one document, on rules and on the shipped model."""

from datetime import UTC, date, datetime

import pytest

from nlp_compliance.checker import build_checker
from nlp_compliance.errors import BundleError, EmptyTextError, TextEncodingError, TextTooLongError
from nlp_compliance.records import Document, Report, Source
from nlp_compliance.settings import Settings

AD = "沁河保相当于医保升级版，政府兜底，住院自费最高报100万，99元一年，扫码投保"
LONG = "沁河保今年又来了，大家可以先看看自己的医保有没有正常缴费。\n" * 60


def labels(report: Report) -> set[str]:
    return {f.label for f in report.findings if f.verdict == "violation"}


@pytest.mark.parametrize("text", ["", "   \n\t", "\u3000", "\u200b\ufeff\u2060", "\0\0\0"])
def test_empty_text_is_refused(rules_checker, text):
    with pytest.raises(EmptyTextError):
        rules_checker.check(Document("", text))


@pytest.mark.parametrize("text", ["👍", "！！……", "？"])
def test_signs_alone_are_a_text_without_findings(rules_checker, text):
    assert rules_checker.check(Document("", text)).findings == ()


def test_too_long_and_broken_texts_fail_alone(rules_checker):
    results = rules_checker.check_many([Document("a", "保" * 200_001), Document("b", AD), Document("c", "\udc00")])
    assert isinstance(results[0], TextTooLongError) and isinstance(results[2], TextEncodingError)
    assert isinstance(results[1], Report) and results[1].id == "b"


def test_evidence_is_the_original_text(checker):
    report = checker.check(Document("", AD))
    assert {"state_underwriting", "social_insurance_confusion"} <= labels(report)
    for finding in report.findings:
        if finding.start is not None:
            assert AD[finding.start : finding.end] == finding.text
    for disclosure in report.disclosures:
        assert AD[disclosure.start : disclosure.end] == disclosure.text


def test_a_report_can_be_repeated(checker):
    batch = [Document("a", AD), Document("b", LONG + AD), Document("c", "今天天气不错")]
    assert checker.check_many(batch) == checker.check_many(batch)
    assert checker.check(batch[0]) == checker.check_many(batch)[0]


def test_the_day_decides_the_law(rules_checker):
    published = Document("", AD, source=Source(published=date(2024, 3, 5)))
    assert rules_checker.check(published).as_of == date(2024, 3, 5)
    assert rules_checker.check(published, as_of=date(2026, 1, 1)).as_of == date(2026, 1, 1)
    laws = {b.law for f in rules_checker.check(published).findings for b in f.basis}
    assert "金融产品网络营销管理办法" not in laws


def test_without_a_day_the_law_is_that_of_today_in_beijing(rules_checker, monkeypatch):
    moment = datetime(2026, 9, 29, 16, 30, tzinfo=UTC)  # half past midnight of the 30th in Beijing

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return moment.astimezone(tz)

    monkeypatch.setattr("nlp_compliance.checker.datetime", Clock)
    assert rules_checker.check(Document("", AD)).as_of == date(2026, 9, 30)


@pytest.mark.parametrize(
    "text",
    [
        "本产品并非政府承保，由禾安财险承保，保险期间一年。",
        "关于防范销售误导的风险提示：有人宣称“国家兜底”“什么病都赔”，均不属实，请警惕。",
    ],
)
def test_denial_and_warning_are_no_government_violation(checker, text):
    found = labels(checker.check(Document("", text)))
    assert not found & {"state_underwriting", "government_endorsement", "social_insurance_confusion"}


def test_exclusions_in_the_last_line_count(checker):
    body = AD.replace("政府兜底，", "").replace("相当于医保升级版，", "") + "\n" + LONG
    last = "以下费用不赔：特需病房、国际部、牙科、美容整形费用。"
    assert "missing_exclusions" in labels(checker.check(Document("", body)))
    assert "missing_exclusions" not in labels(checker.check(Document("", body + last)))


def test_a_pointer_alone_does_not_disclose(checker):
    report = checker.check(Document("", "沁河保住院自费最高报100万，99元一年，扫码投保。详见保险条款。"))
    (finding,) = [f for f in report.findings if f.label == "missing_exclusions"]
    assert finding.pointer_only and finding.severity == "medium"


def test_no_detector_is_an_error():
    with pytest.raises(BundleError, match="no detector"):
        build_checker(Settings(detectors=()))


def test_a_bundle_that_was_named_and_is_not_there_is_no_smaller_product(tmp_path):
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        build_checker(Settings(bundle=tmp_path))
