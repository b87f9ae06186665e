"""Evasions are undone, and every normal character leads back to what was really written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_compliance.errors import TextEncodingError
from nlp_compliance.records import Document
from nlp_compliance.text.normalise import _ENTITY, _fold, _folded, normalise
from nlp_compliance.text.parse import parse

# fmt: off
CASES = [
    ("separated by blanks",        "政 府 兜 底",             "政府兜底"),
    ("separated by dots",          "政·府·兜·底",             "政府兜底"),
    ("separated by bars",          "政|府|兜|底",             "政府兜底"),
    ("emoji inside",               "政府👉兜底",              "政府兜底"),
    ("emoji for a word",           "🏥用的💊都报",             "医院用的药都报"),
    ("emoji for a denial",         "政府❌兜底",              "政府不兜底"),
    ("emoji of two signs",         "🇨🇳出钱，👨\u200d⚕️推荐",   "国家出钱，医生推荐"),
    ("word emoji as separator",    "政💰府💰兜💰底",          "政府兜底"),
    ("key caps",                   "3️⃣0️⃣元",                "30元"),
    ("written downwards",          "看\n全\n额\n报\n销\n99元", "看全额报销\n99元"),
    ("short lines stay",           "是\n否\n无",             "是\n否\n无"),
    ("zero width",                 "政\u200b府\u2060兜底",    "政府兜底"),
    ("variation selector",         "政府❤\ufe0f兜底",         "政府兜底"),
    ("traditional",                "醫保局推出，全額報銷",      "医保局推出，全额报销"),
    ("full width digits",          "１００％报销",             "100%报销"),
    ("upper case",                 "ZF兜底",                  "zf兜底"),
    ("radical",                    "⺟亲⼈",                  "母亲人"),
    ("gloss with tones",           "报销(bào xiāo)比例",       "报销比例"),
    ("gloss without tones",        "既往症（ji wang zheng）",  "既往症"),
    ("doubled comma",              "住院,,门诊",              "住院，门诊"),
    ("comma before stop",          "都能报，。",              "都能报。"),
    ("entity",                     "惠民保&nbsp;99元",         "惠民保 99元"),
    ("blanks collapse",            "保费   99元",             "保费 99元"),
    ("middle dot",                 "约翰・李",                "约翰·李"),
    ("slash between two words",    "医保/社保",               "医保/社保"),
    ("decimal stays",              "1.5万元",                 "1.5万元"),
    ("latin brackets stay",        "使用(app)投保",           "使用（app）投保"),
    ("table cells stay",           "免赔额 | 1.6万",          "免赔额 | 1.6万"),
]
# fmt: on


@pytest.mark.parametrize(("raw", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_normal_form(raw, expected):
    assert normalise(raw).text == expected


def test_a_span_covers_the_separators_inside_the_run():
    raw = "放心，政 府 兜 底！"
    normal = normalise(raw)
    start = normal.text.index("政府兜底")
    assert raw[normal.starts[start] : normal.ends[start + 3]] == "政 府 兜 底"


def test_every_character_of_a_word_leads_back_to_its_pictograph():
    raw = "住🏥报八成"
    normal = normalise(raw)
    start = normal.text.index("医院")
    assert [(int(normal.starts[i]), int(normal.ends[i])) for i in (start, start + 1)] == [(1, 2), (1, 2)]


@pytest.mark.parametrize("text", ["政府兜底。\n", "\n\n政府兜底。", " 政府兜底。 \u3000\r\n", "\ufeff政府兜底。"])
def test_blanks_around_a_text_are_no_part_of_it(text):
    normal = normalise(text)
    assert normal.text == "政府兜底。" and text[normal.starts[0] : normal.ends[3]] == "政府兜底"


def test_a_lone_surrogate_is_named_with_its_place():
    with pytest.raises(TextEncodingError, match=r"character 2 .*U\+D800"):
        parse(Document("", "保险\ud800"))


CHARS = st.text(
    alphabet=st.one_of(
        st.sampled_from(
            list(
                "政府兜底医保报销,，。.!！ \n\t|/·-_()（）“”0123456789.%ＡａＺ１醫報銷險👉✨🏥🏛🇨🇳💰\u200b\ufe0f&nbsp;#x20;"
            )
        ),
        st.characters(blacklist_categories=("Cs",)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(CHARS)
def test_every_span_comes_back_to_original_characters(text):
    parsed = parse(Document("", text))
    size = len(parsed.normal)
    assert len(parsed.starts) == len(parsed.ends) == size
    previous = 0
    for i in range(size):
        assert 0 <= parsed.starts[i] < parsed.ends[i] <= len(text)
        assert parsed.starts[i] >= previous
        previous = parsed.starts[i]
    last = 0
    for sentence in parsed.sentences:
        assert last <= sentence.start < sentence.end <= size
        last = sentence.end
        span = parsed.original(sentence.start, sentence.end)
        assert 0 <= span.start < span.end <= len(text)


@settings(max_examples=200, deadline=None)
@given(CHARS)
def test_sentences_cover_everything_that_is_not_blank(text):
    parsed = parse(Document("", text))
    covered = "".join(parsed.normal[s.start : s.end] for s in parsed.sentences)
    assert "".join(covered.split()) == "".join(parsed.normal.split())


@settings(max_examples=100, deadline=None)
@given(CHARS)
def test_normalising_is_deterministic(text):
    assert normalise(text).text == normalise(text).text


@settings(max_examples=200, deadline=None)
@given(CHARS)
def test_folding_a_whole_text_is_folding_every_character(text):
    """The way for texts in which every character stays one gives what the way for all texts gives."""
    with_entity = _folded(text + "&amp;")
    whole = _folded(text)
    size = len(whole.text)
    assert with_entity.text == whole.text + "&"
    assert with_entity.starts[:size].tolist() == whole.starts.tolist()
    assert with_entity.ends[:size].tolist() == whole.ends.tolist()
    assert _ENTITY.search(text) or whole.text == "".join(map(_fold, text))
