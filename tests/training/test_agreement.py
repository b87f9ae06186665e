"""The second reading: a blind sample, texts that may not change, and figures that know agreement from chance."""

import pytest

from training.agreement import blind_id, disagreements, kappa, read_readings, sample, table, write_todo
from training.corpus import Example, LabelledSpan

TEXT = "  沁河保政府兜底\n住院报七成"


def example(number: int = 1) -> Example:
    start = TEXT.index("政府兜底")
    spans = (LabelledSpan(start, start + 4, "state_underwriting"),)
    return Example(f"vio-{number}", TEXT, "sms", True, spans, (), f"g{number}", "train")


def second(tmp_path, marked: str, promotional: str = "yes"):
    record = f"id: {blind_id('vio-1')}\npromotional: {promotional}\n\n{marked}\n"
    (tmp_path / "read-01.txt").write_text(record, encoding="utf-8")
    return read_readings(tmp_path, {blind_id("vio-1"): TEXT})


def test_the_sample_takes_one_of_a_group_and_tells_nothing(tmp_path):
    documents = [example(n % 10) for n in range(40)]
    drawn = sample(documents, 0.2, 1)
    assert len(drawn) == 8 and len({e.group for e in drawn}) == 8
    (first, *_) = write_todo(drawn, tmp_path, size=3)
    written = first.read_text("utf-8")
    assert written.count("===") == 2 and "vio" not in written and "[[" not in written


def test_a_reading_comes_back_with_its_offsets(tmp_path):
    (reading,), complaints = second(tmp_path, "  沁河保[[state_underwriting|政府兜底]]\n住院报七成")
    assert not complaints and reading.spans == example().spans
    assert "| violations | 1.00 |" in table([(example(), reading)])
    assert not disagreements([(example(), reading)])


def test_a_changed_text_is_a_complaint_and_no_reading(tmp_path):
    readings, (complaint,) = second(tmp_path, "沁河保政府托底\n住院报七成")
    assert not readings and "differs" in complaint
    readings, (complaint,) = second(tmp_path, TEXT, promotional="?")
    assert not readings and "no head" in complaint


@pytest.mark.parametrize(
    ("first", "second_", "value"),
    [
        ([True, True, False, False], [True, True, False, False], 1.0),
        ([True, True, False, False], [True, False, True, False], 0.0),
        ([True, False, False, False], [False, False, False, False], 0.0),
        ([False, False], [False, False], 1.0),
    ],
)
def test_kappa_against_hand_counts(first, second_, value):
    assert kappa(first, second_) == pytest.approx(value)
