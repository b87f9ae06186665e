"""The words are jieba's, whoever cuts them: trained weights hang on them."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_compliance.records import Document
from nlp_compliance.text.parse import parse
from nlp_compliance.text.words import words
from tests.detect.reference import jieba_tokenizer
from training.corpus import load_split

# fmt: off
CASES = [
    "最高报100万元", "每年99.9%的人", "1.5万", "a.com/b_c-d", "5g手机和t恤", "卡拉ok", "aa制", "报1", "张三丰100岁",
    "惠民保2026版", "vip-1号", "+86-10-123", "%", "&", "a&b公司", "0", "第1-3条", "x光片", "hpv疫苗9价",
    "", " ", "\n", "a\r\nb", "𠮷野家", "龦龧字", "…—·", "政府1兜2底3",
]
# fmt: on


@pytest.mark.parametrize("text", CASES)
def test_hard_cases(text):
    assert words(text) == jieba_tokenizer().lcut(text)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_corpus(split, request):
    texts = [parse(Document("", e.text)).normal for e in load_split(split)]
    if not request.config.getoption("--slow"):
        texts = random.Random(7).sample(texts, 40)
    for text in texts:
        assert words(text) == jieba_tokenizer().lcut(text)


SPOKEN = "的一是不了在人有我他这为之来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从保险政府兜底报销赔付免额既往症"


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.sampled_from(SPOKEN + "0123456789abcxyzok.%-_+#&，。 "), max_size=30))
def test_mixed_runs(text):
    assert words(text) == jieba_tokenizer().lcut(text)
    assert "".join(words(text)) == text


def test_several_threads_cut_at_once():
    texts = [f"第{i}次投保最高报{i}00万元，政府兜底{i}%" for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(words, texts)) == [words(t) for t in texts]
