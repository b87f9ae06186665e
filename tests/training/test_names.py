"""Names of the corpus and names of the world change sides, labels stay where they were."""

import random

from training.corpus import Example, LabelledSpan
from training.names import INSURERS, Names, invented_names, real_places, with_invented_names, with_real_names

TEXT = "甪江惠民保来了！甪江市民都能参保，由淠溪财险承保，淠溪路上的甪江人看过来。"
NAMES = Names(frozenset({"甪江", "淠溪"}), frozenset({"淠溪"}))


def example(text=TEXT, run="淠溪财险"):
    start = text.index(run)
    span = LabelledSpan(start, start + len(run), "disclosed_insurer")
    return Example("a", text, "moments", True, (span,), (), "a", "train")


def test_what_stands_before_plans_offices_and_insurers_is_a_name_unless_it_is_a_word():
    texts = [
        TEXT,
        "甪江医保局的通知",
        "淠溪养老在线客服，北京市民，健康保险",
        "这座城市民众都在问，隔壁市民也在问，隔壁市的",
    ]
    names = invented_names([example(t, t[:2]) for t in texts])
    assert names == Names(frozenset({"甪江"}), frozenset({"淠溪"}))


def test_real_names_stand_in_one_for_one_and_spans_move_along():
    changed = with_real_names(example(), NAMES, random.Random(4))
    place = changed.text.split("惠民保")[0]
    assert place in real_places() and changed.text.count(place) == 3 and "甪江" not in changed.text
    (span,) = changed.spans
    insurer = changed.text[span.start : span.end]
    assert insurer.removesuffix("财险") in INSURERS and insurer.endswith("财险")
    assert "淠溪" not in changed.text


def test_another_text_stays_as_it_is():
    assert with_real_names(example(), Names(frozenset(), frozenset()), random.Random(4)).text == TEXT


def test_invented_names_stand_in_for_real_places_and_insurers():
    changed = with_invented_names("上海市民可以到平安财险咨询，上海话也行", NAMES, random.Random(4))
    place = changed[:2]
    assert place in NAMES.places
    assert changed == f"{place}市民可以到淠溪财险咨询，{place}话也行"


def test_words_that_insurers_chose_as_names_are_still_words():
    assert with_invented_names("一路平安，阳光很好", NAMES, random.Random(4)) == "一路平安，阳光很好"
