"""Every change keeps spans inside the text, keeps labels in step with `missing`, and is repeatable."""

import random

import pytest

from nlp_compliance.records import missing_labels
from training.augment import (
    CHANGES,
    Edit,
    apply_edits,
    augment_example,
    clauses,
    crowd,
    donors,
    pictographs,
    pinyin,
    separators,
    with_donor,
    without_disclosure,
)
from training.corpus import BankSentence, Example, LabelledSpan, load_split


def make(text: str, *spans: tuple[str, str], promotional: bool = True) -> Example:
    located = tuple(LabelledSpan(text.index(run), text.index(run) + len(run), label) for run, label in spans)
    return Example(
        "a", text, "sms", promotional, located, missing_labels(promotional, {s.label for s in located}), "g", "train"
    )


AD = make(
    "政府兜底，放心买。住院自付超过1.6万元的部分报七成。牙科、整形不赔。",
    ("政府兜底", "state_underwriting"),
    ("住院自付超过1.6万元的部分报七成", "benefit_claim"),
    ("超过1.6万元", "disclosed_deductible"),
    ("七成", "disclosed_ratio"),
    ("牙科、整形不赔", "disclosed_exclusions"),
)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return load_split("train")[::7]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_changes_keep_spans_and_labels_in_step(change, examples):
    for number, example in enumerate(examples):
        changed = change(example, random.Random(number))
        check(changed)
        assert change(example, random.Random(number)) == changed


def check(example: Example) -> None:
    for span in example.spans:
        assert 0 <= span.start < span.end <= len(example.text)
    assert example.missing == missing_labels(example.promotional, {s.label for s in example.spans})


def test_whole_augmentation_is_sound_on_real_documents(examples):
    pool = donors(examples, [])
    for number, example in enumerate(examples):
        check(augment_example(example, random.Random(number), pool))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (Edit(0, 0, "前言"), "政府兜底"),
        (Edit(4, 5, ","), "政府兜底"),
        (Edit(4, 4, "哦"), "政府兜底"),
        (Edit(1, 2, "俯"), "政俯兜底"),
        (Edit(2, 2, "·"), "政府·兜底"),
        (Edit(0, 2, "zf"), "zf兜底"),
    ],
)
def test_first_span_follows_an_edit(edit, expected):
    changed = apply_edits(AD, [edit])
    first = next(s for s in changed.spans if s.label == "state_underwriting")
    assert changed.text[first.start : first.end] == expected


def test_words_are_spelled_or_drawn_inside_the_span():
    spelled = {first_violation(pinyin(AD, random.Random(n))) for n in range(20)}
    assert {"zhengfudou底", "zheng府doudi"} <= spelled
    assert "🏛兜底" in {first_violation(pictographs(AD, random.Random(n))) for n in range(20)}


def first_violation(example: Example) -> str:
    span = next(s for s in example.spans if s.label == "state_underwriting")
    return example.text[span.start : span.end]


def test_a_crowd_marks_what_its_clauses_marked():
    bank = [
        BankSentence("b", "每天不到三毛", "misleading_price", True, (LabelledSpan(0, 6, "misleading_price"),), "agent")
    ]
    violating, others = clauses([AD], bank)
    assert [d.text for d in violating] == ["政府兜底"]  # a daily price is judged by the rest of the text
    assert {d.text for d in others} == {"住院自付超过1.6万元的部分报七成"}  # the list of exclusions is no single clause
    for number in range(20):
        text, spans = crowd((violating, others), random.Random(number))
        for span in spans:
            assert text[span.start : span.end] in {"政府兜底", "住院自付超过1.6万元的部分报七成", "超过1.6万元", "七成"}
        assert sum(s.label == "state_underwriting" for s in spans) == text.count("政府兜底")


def test_separators_stand_inside_the_span():
    changed = separators(AD, random.Random(1))
    span = next(s for s in changed.spans if s.label == "state_underwriting")
    run = changed.text[span.start : span.end]
    assert run[0] == "政" and run[-1] == "底" and len(run) > 4


def test_taking_a_disclosure_out_makes_it_missing():
    only_exclusions = make(
        "住院可报。牙科、整形不赔。", ("住院可报", "benefit_claim"), ("牙科、整形不赔", "disclosed_exclusions")
    )
    changed = without_disclosure(only_exclusions, random.Random(0))
    assert "missing_exclusions" not in only_exclusions.missing
    assert "missing_exclusions" in changed.missing and "整形" not in changed.text


NEAR_MISS = BankSentence("b", "不是政府兜底哈", "state_underwriting", False, (), "")


def test_a_violating_sentence_is_moved_with_its_span():
    clean = make("住院可报。请看条款。", ("住院可报", "benefit_claim"))
    changed = with_donor(clean, random.Random(3), donors([AD], []))
    span = next(s for s in changed.spans if s.label == "state_underwriting")
    assert changed.text[span.start : span.end] == "政府兜底"
    kept = next(s for s in changed.spans if s.label == "benefit_claim" and changed.text[s.start : s.end] == "住院可报")
    assert kept


def test_only_near_misses_are_moved_into_a_text_that_does_not_sell():
    news = make("记者昨天到窗口看了看。", promotional=False)
    assert with_donor(news, random.Random(3), donors([AD], [])) == news
    assert "不是政府兜底哈" in with_donor(news, random.Random(3), donors([], [NEAR_MISS])).text
