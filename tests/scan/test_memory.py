"""The memory benchmark runs from end to end at a small size, into a file and into a dataset."""

import csv

import pytest

from benchmarks.memory import main, rows_done


@pytest.mark.parametrize("more", [[], ["--dataset"]])
def test_it_draws_a_curve(tmp_path, capsys, more):
    main(["--rows", "3000", "--distinct", "3000", "--out", str(tmp_path), *more])
    assert capsys.readouterr().out.startswith("3000 rows in ")
    with (tmp_path / "memory.csv").open() as stream:
        points = [(int(row["rows"]), float(row["mb"])) for row in csv.DictReader(stream)]
    assert points == sorted(points, key=lambda p: p[0]) and points[-1][0] <= 3_000
    assert max(mb for _, mb in points) > 20 and "<polyline" in (tmp_path / "memory.svg").read_text("utf-8")


def test_the_last_mark_counts(tmp_path):
    part = tmp_path / "o.part"
    assert rows_done(part) == 0
    part.write_bytes(b'h{}\nr{"id":"1"}\nm["in,3.jsonl",64]\nr{"id":"2"}\nm["in,3.jsonl",128]\ns{}\nr{"id"')
    assert rows_done(part) == 128
