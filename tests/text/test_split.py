"""Sentences survive lists, tables and missing punctuation."""

import pytest

from nlp_compliance.text.split import LONGEST_CHARS, sentences
from nlp_compliance.text.words import word_bounds, words


def cut(text: str) -> list[str]:
    return [text[s.start : s.end] for s in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("住院能报。门诊不报！", ["住院能报。", "门诊不报！"]),
        ("他说：“都能报。”我不信。", ["他说：“都能报。”", "我不信。"]),
        ("免赔额1.6万元。", ["免赔额1.6万元。"]),
        ("1. 保什么\n2. 不保什么", ["1. 保什么", "2. 不保什么"]),
        ("免赔额 | 1.6万 | 60%", ["免赔额 |", "1.6万 |", "60%"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_borders(text, expected):
    assert cut(text) == expected


def test_text_without_punctuation_is_cut_softly():
    text = "今天给大家讲一下这个惠民保啊它一年就一百块钱" * 20
    assert all(len(s) <= LONGEST_CHARS for s in cut(text))
    assert "".join(cut(text)) == text


def test_domain_words_stay_whole():
    assert "既往症" in words("特定既往症按三成赔") or "特定既往症" in words("特定既往症按三成赔")
    assert {0, 3} <= word_bounds("惠民保来了")


def test_other_users_of_jieba_are_not_disturbed():
    import jieba

    words("惠民保")
    assert jieba.dt.FREQ.get("城惠保") is None
