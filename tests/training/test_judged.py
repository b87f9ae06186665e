"""The figures of the evaluation against counts by hand, on texts that the rules alone read predictably."""

import pytest

from training.corpus import Example, LabelledSpan
from training.evaluate import checker_for, main, system_table
from training.judged import (
    ContrastGroups,
    contrast_groups,
    disguise_recall,
    exactly_right,
    figures,
    judge,
    series_rows,
)

CERTAIN = "政府兜底"
HINT = "上头那口锅替咱端着"
HIDDEN = "正付兜抵"


def example(name: str, text: str, span: str = "", disguise: str = "") -> Example:
    start = text.find(span)
    spans = (LabelledSpan(start, start + len(span), "state_underwriting"),) if span else ()
    return Example(name, text, "moments", True, spans, (), name.partition("-")[0], "test", disguise=disguise)


EXAMPLES = [
    example("right-1", f"沁河保{CERTAIN}，家人们放心报", CERTAIN),
    example("right-2", "沁河保由沁河财险承保，自愿投保，盈亏由公司自负"),
    example("half-1", f"咱沁河保{CERTAIN}，年年都在", CERTAIN),
    example("half-2", f"报沁河保吧，{HINT}", HINT),
    example("alone-1", f"沁河保今年又开始报名了，{HINT}", HINT),
    example("twin-1", f"沁河保{CERTAIN}，报上踏实", CERTAIN),
    example("twin-2", f"沁河保，{HIDDEN}，报上踏实", HIDDEN, disguise="homophone"),
]


@pytest.fixture(scope="module")
def judged():
    return judge(checker_for(("lexical",)), EXAMPLES)


def test_a_group_is_right_only_with_all_its_members_and_one_document_is_no_group(judged):
    assert [exactly_right(j) for j in judged] == [True, True, True, False, False, True, False]
    assert contrast_groups(judged) == ContrastGroups(right=1, groups=3)
    assert contrast_groups(judged[4:5]) is None


def test_the_interval_of_the_share_is_that_of_wilson():
    low, high = ContrastGroups(right=81, groups=263).interval  # Newcombe 1998, table I
    assert low == pytest.approx(0.2553, abs=1e-4) and high == pytest.approx(0.3662, abs=1e-4)


def test_recall_under_a_disguise_is_set_beside_the_plain_twin_only(judged):
    assert disguise_recall(judged) == (1.0, 0.0)


def test_every_writer_has_a_row_with_the_groups_that_are_right(judged):
    rows = {r.series: r for r in series_rows(judged)}
    assert list(rows) == ["alone", "half", "right", "twin"] and rows["right"].documents == 2
    assert rows["right"].contrast == ContrastGroups(1, 1) and rows["half"].contrast == ContrastGroups(0, 1)
    assert rows["alone"].contrast is None and rows["alone"].alarms is None and rows["right"].alarms == 0.0


def test_a_series_that_is_not_there_is_named_with_those_that_are(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--series", "zzz"])
    assert ended.value.code == 2 and "no zzz in test; there are apt, blind" in capsys.readouterr().err


def test_the_table_says_how_many_groups_stand_behind_the_share(judged):
    table = "\n".join(system_table({"rules": figures(judged)}))
    assert "| contrast groups fully right | 0.333 |" in table and "| … groups | 1 of 3 |" in table
    assert "| false alarms, not promotional | – |" in table
