"""The benchmark says what it measured: ratios within rounds, every section, and a mix that stays the same."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from benchmarks import arithmetic, growth, operators, page, processes, readers, served
from benchmarks.measure import Timing, in_turn, table
from benchmarks.run import PARTS, main
from benchmarks.texts import MIX, mixed, text_of
from nlp_compliance.settings import Settings


def test_ways_take_turns_after_one_warm_up():
    calls = []
    ways = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    timings = in_turn(ways, characters=10, documents=1, repeat=2)
    assert calls == list("ababab") and [len(t.seconds) for t in timings] == [2, 2]


def test_shares_compare_rounds_with_themselves():
    """One slow minute hits both ways and moves no ratio."""
    limit = Timing("limit", (1.0, 10.0, 1.0), 100, 1)
    product = Timing("product", (2.0, 20.0, 2.0), 100, 1)
    assert product.share_of(limit) == 0.5 and limit.share_of(product) == 2.0
    assert product.rate == 50.0 and product.spread == pytest.approx(4.5)


def test_the_mix_is_fixed_and_scales():
    small = mixed(0.2)
    assert [d.text for d in small] == [d.text for d in mixed(0.2)]
    assert {len(d.text) for d in small} == {size for _, size in MIX}
    assert max(len(d.text) for d in mixed(0.2, longest=2_000)) == 2_000
    assert text_of(5, "abc", 1) == "bcabc"


def test_every_section_says_whether_the_promise_is_kept(tmp_path):
    timings = [Timing(readers.LIMIT, (1.0, 1.0), 100, 2), Timing(readers.PRODUCT, (1.1, 1.1), 100, 2)]
    assert "**Kept**: the product reaches 91%" in page.throughput(timings)
    slow = [timings[0], Timing(readers.PRODUCT, (2.0, 2.0), 100, 2)]
    assert "**Not kept**: the product reaches 50%" in page.throughput(slow)
    steps = [growth.Step(1_000, 50.0, 1.0, 200.0), growth.Step(10_000, 55.0, 1.0, 210.0)]
    assert growth.unevenness(steps) == pytest.approx(0.1)
    assert "**Kept**" in page.growth(steps, steps)
    load = served.Load("/v1/score", 8, 4, 400, 2.0, (0.1, 0.2, 0.3, 0.4), 1, (150.0, 250.0))
    assert load.rate == 200.0 and load.spread == 0.25
    assert "| 250 | 397 | 1 |" in page.served([load], 200.0, 600.0, timings[0])
    assert "**Not kept**: the server holds 200 MB" in page.served([load], 200.0, 600.0, timings[0])
    start = processes.Start("check", 1.5, 0.1, 180.0)
    assert "**Kept**" in page.starts([start], {"numpy": 20.0, "nlp-compliance": 18.0})
    assert page.scans(timings).count("\n|") == 4
    assert "2 rows of JSONL of 50 characters" in page.engines(timings)
    page.draw_growth(steps, tmp_path)
    page.draw_throughput(timings, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"growth.png", "throughput.png"}


def test_what_serving_needs_is_counted_once_and_without_training():
    sizes = processes.installed_sizes()
    assert {"numpy", "onnxruntime", "nlp-compliance"} <= set(sizes) and not {"torch", "transformers"} & set(sizes)
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


def test_a_table_puts_numbers_right():
    assert table(["a", "b"], [["x", 1]]) == "| a | b |\n|---|--:|\n| x | 1 |"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "scale"),
    [
        ("throughput", 0.05),
        ("cleared", 0.02),
        ("scans", 0.025),
        ("engines", 0.01),
        ("served", 0.05),
        ("growth", 0.003),
        ("starts", 0.1),
    ],
)
def test_every_part_runs(part, scale, tmp_path):
    page_path = tmp_path / "page.md"
    assert main(["--parts", part, "--scale", str(scale), "--repeat", "1", "--out", str(page_path)]) == 0
    text = page_path.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks") and "\n## " in text and "nan" not in text


def test_no_part_is_left_untried():
    marks = next(m for m in test_every_part_runs.pytestmark if m.name == "parametrize")
    assert [part for part, _ in marks.args[1]] == list(PARTS)


def test_the_runtime_tells_its_operators(capsys):
    assert operators.main(["--tokens", "32", "--runs", "2"]) == 0
    said = capsys.readouterr().out
    assert "MultiHeadAttention" in said and "MatMul" in said and "ms a window" in said


def test_both_kinds_of_matrix_give_the_same_product():
    """Else the ratio would compare two different things."""
    found = dict(arithmetic.shapes(Settings().bundle / "model.onnx"))
    assert min(found.values()) > 0 and (384, 1024) in found
    x = np.random.default_rng(1).normal(0, 1, (8, 384)).astype(np.float32)
    real = arithmetic.float_session(384, 64).run(None, {"x": x})[0]
    whole = arithmetic.int8_session(384, 64).run(None, {"x": x})[0]
    assert real.shape == (8, 64) and np.abs(real - whole).max() < 0.05 * np.abs(real).max()
