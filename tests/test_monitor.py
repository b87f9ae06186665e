"""The monitoring report: ranks, weeks, copies, what is new; nothing in it may run."""

import json
from pathlib import Path

import pytest
from openpyxl import load_workbook

from nlp_compliance.errors import InputError
from nlp_compliance.report.monitor import gather, write_monitor
from nlp_compliance.rulebook import load_rulebook
from nlp_compliance.scan.local import in_this_process, scan_to_file
from tests.scan.test_scan import JOB

STORY = "云溪保由政府兜底，最高保障300万元，99元一年。本市居民凭医保卡即可参加，" * 3
ROWS = [
    {"id": "1", "text": STORY, "account": "甲号", "published": "2026-10-12", "url": "https://example.com/1"},
    {
        "id": "2",
        "text": STORY + "转发自甲号",
        "account": "乙号",
        "published": "2026-10-20",
        "url": "javascript:alert(1)",
    },
    {"id": "3", "text": "今天天气晴，适合出游，记得带水。", "account": "乙号", "published": "2026-10-20"},
    {"id": "4", "text": "=cmd 溪山保政府兜底<script>alert(1)</script>", "title": "=<b>x</b>", "account": "丙号"},
]


@pytest.fixture
def results(tmp_path) -> Path:
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(r) for r in ROWS), "utf-8")
    scan_to_file([source], tmp_path / "out.jsonl", JOB, engine=in_this_process)
    return tmp_path / "out.jsonl"


def test_what_is_gathered(results):
    monitor = gather(results)
    assert monitor.documents == 4 and monitor.risks["high"] == 3
    assert monitor.weeks["2026年第42周"]["state_underwriting"] == 1
    (copies,) = monitor.copies
    assert copies.accounts == ("甲号", "乙号") and [c.id for c in copies.cases] == ["1", "2"]
    assert {a.name: a.documents for a in monitor.ranked_accounts} == {"甲号": 1, "乙号": 2, "丙号": 1}


def test_new_against_an_earlier_scan(results, tmp_path):
    earlier = tmp_path / "earlier.jsonl"
    lines = results.read_bytes().splitlines()
    gone = json.loads(lines[0]) | {"id": "0"}
    earlier.write_bytes(b"\n".join([lines[0], json.dumps(gone).encode()]))
    monitor = gather(results, earlier)
    assert [c.id for c in monitor.cases if c.is_new] == ["2", "4"] and monitor.gone == 1


def test_tables_that_number_their_rows_alike_are_told_apart(tmp_path):
    calm = "今天天气晴，适合出游，记得带水。"

    def scan_of(week: str, **tables: list[str]) -> Path:
        paths = []
        for name, texts in tables.items():
            paths.append(tmp_path / f"{name}.jsonl")
            paths[-1].write_text("\n".join(json.dumps({"id": str(i), "text": t}) for i, t in enumerate(texts)), "utf-8")
        scan_to_file(paths, tmp_path / f"{week}.result.jsonl", JOB, engine=in_this_process)
        return tmp_path / f"{week}.result.jsonl"

    def new(results: Path, previous: Path) -> tuple[list[tuple[str, str]], int]:
        monitor = gather(results, previous)
        return [(c.id, c.title) for c in monitor.cases if c.is_new], monitor.gone

    first = scan_of("w1", a=[STORY, STORY], b=[calm, calm])
    assert new(first, first) == ([], 0)
    # The second row of `a` was mended, that of `b` became bad; each stands under the id of the other.
    assert new(scan_of("w2", a=[STORY, calm], b=[calm, STORY]), first) == ([("1", "1")], 0)
    # The second row of `a` is gone, though `b` has a row of the same id.
    assert new(scan_of("w3", a=[STORY], b=[calm, calm]), first) == ([], 1)
    # A table with a name of its own every week is compared by id.
    assert new(scan_of("w5", c=[STORY, STORY]), scan_of("w4", d=[STORY, calm])) == ([("1", "1")], 0)


def test_the_pages_show_text_and_run_nothing(results, tmp_path):
    for name in ("r.html", "r.xlsx"):
        write_monitor(tmp_path / name, gather(results), load_rulebook())
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<script" not in page and "javascript:" not in page and "&lt;b&gt;x" in page
    assert "https://example.com/1" in page and "政府兜底" in page
    sheet = load_workbook(tmp_path / "r.xlsx")["明细"]
    titles = {cell.value: cell.data_type for cell in sheet["C"]}
    assert titles["=<b>x</b>"] == "s"


def test_what_could_not_be_read_is_counted(results, tmp_path):
    assert gather(results).unread == 0
    (tmp_path / "坏.pdf").write_bytes(b"%PDF-1.7 cut off")
    (tmp_path / "好.txt").write_text(STORY, "utf-8")
    scan_to_file([tmp_path / "坏.pdf", tmp_path / "好.txt"], tmp_path / "b.jsonl", JOB, engine=in_this_process)
    monitor = gather(tmp_path / "b.jsonl")
    assert (monitor.documents, monitor.unread) == (1, 1)
    for name in ("b.html", "b.xlsx"):
        write_monitor(tmp_path / name, monitor, load_rulebook())
    assert "1 处未能读取" in (tmp_path / "b.html").read_text("utf-8")
    figures = load_workbook(tmp_path / "b.xlsx")["概况"].iter_rows(values_only=True)
    assert ("未能读取", 1) in {row[:2] for row in figures}


def test_wrong_input_says_so(results, tmp_path):
    (tmp_path / "no.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(InputError, match="line 1"):
        gather(tmp_path / "no.jsonl")
    with pytest.raises(InputError, match="allowed"):
        write_monitor(tmp_path / "x.pdf", gather(results), load_rulebook())


def test_a_workbook_that_cannot_be_written_is_a_fault_of_the_file_system(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("", "utf-8")
    (tmp_path / "m.xlsx").mkdir()
    with pytest.raises(OSError, match=r"m\.xlsx"):
        write_monitor(tmp_path / "m.xlsx", gather(rows), load_rulebook())
