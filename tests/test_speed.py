"""The product costs little more than the model it runs, and a character costs the same in a long text as in a short.

Processor time of one thread, and bounds with room: other programs on the machine must not make this fail.
"""

import pytest

from benchmarks.stages import MODEL, WHOLE, stages
from benchmarks.texts import mixed, stock, text_of
from nlp_compliance.records import Document

CHARACTERS = 6_000


@pytest.fixture(scope="module")
def measured(checker):
    return stages(checker, mixed(0.04, longest=1_000), repeat=2)


def test_the_product_takes_little_more_than_the_model(measured):
    print({name: f"{seconds / measured[MODEL]:.3f}" for name, seconds in measured.items()})
    assert measured[MODEL] / measured[WHOLE] > 0.75


def test_everything_beside_the_encoder_is_small(measured):
    beside = [s for name, s in measured.items() if name not in (MODEL, WHOLE, "encoder")]
    assert sum(beside) < 0.3 * measured[MODEL]


def test_a_character_costs_the_same_in_a_long_text(checker):
    source = stock()
    long = stages(checker, [Document("", text_of(CHARACTERS, source))], repeat=2)[WHOLE]
    short = stages(checker, [Document("", text_of(1_000, source, 1_000 * i)) for i in range(CHARACTERS // 1_000)], 2)
    assert 0.7 < long / short[WHOLE] < 1.4
