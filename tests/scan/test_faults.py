"""A scan that is interrupted, runs out of disk, or is killed while it retries goes on to the same result."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import load_workbook

from nlp_compliance.rulebook import load_rulebook
from nlp_compliance.scan.journal import Journal
from nlp_compliance.scan.local import in_this_process, scan_to_file
from nlp_compliance.scan.outputs import errors_path
from nlp_compliance.scan.summary import Summary, summary_text
from tests.ingest import files
from tests.scan.test_scan import AD, JOB, lines, mixed

ENVIRONMENT = {**os.environ, "NLP_COMPLIANCE_DETECTORS": "lexical"}


def command(folder: Path, out: Path, workers: int = 1) -> list[str]:
    program = [sys.executable, "-m", "nlp_compliance", "scan", str(folder), "-o", str(out)]
    return [*program, "--workers", str(workers), "--no-progress"]


def run(folder: Path, out: Path, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(folder, out), env=ENVIRONMENT, capture_output=True, preexec_fn=before, check=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_says_how_to_go_on(tmp_path, workers):
    folder, out = mixed(tmp_path / "in", rows=3_000), tmp_path / "out.jsonl"
    running = subprocess.Popen(
        command(folder, out, workers),
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell that runs the tests in the background hands down an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part = out.with_name("out.jsonl.part")
    while running.poll() is None and not (part.exists() and part.stat().st_size > 5_000):
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130 and part.exists()
    assert "已中断" in said.decode() and "Traceback" not in said.decode()
    assert run(folder, out).returncode == 0
    scan_to_file([folder], tmp_path / "whole.jsonl", JOB, engine=in_this_process)
    assert lines(out) == lines(tmp_path / "whole.jsonl")


def test_a_disk_that_takes_no_more_stops_the_scan_and_loses_nothing(tmp_path):
    folder, out = mixed(tmp_path / "in", rows=600), tmp_path / "out.jsonl"

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    stopped = run(folder, out, small)
    assert stopped.returncode == 2 and "读写失败" in stopped.stderr.decode() and not out.exists()
    assert run(folder, out).returncode == 0
    scan_to_file([folder], tmp_path / "whole.jsonl", JOB, engine=in_this_process)
    assert lines(out) == lines(tmp_path / "whole.jsonl")


@pytest.mark.parametrize("moment", ["add", "remove"])
def test_a_retry_that_was_killed_goes_on(tmp_path, monkeypatch, moment):
    folder, out = mixed(tmp_path / "in"), tmp_path / "out.jsonl"
    scan_to_file([folder], out, JOB, engine=in_this_process)
    before = lines(out)
    (folder / "bad.pdf").write_bytes(files.pdf([[AD]]))
    real, calls = getattr(Journal, moment), []

    def killed(self, *arguments):
        calls.append(arguments)
        if moment == "remove" or len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, moment, killed)
        scan_to_file([folder], out, JOB, engine=in_this_process, retry_errors=True)
    summary = scan_to_file([folder], out, JOB, engine=in_this_process, retry_errors=True)
    assert summary.failed == 2 and set(before) < set(lines(out)) and len(lines(out)) == len(before) + 1
    assert not list(tmp_path.glob("*.part"))


def test_workers_end_with_a_scan_that_is_killed(tmp_path):
    folder, out = mixed(tmp_path / "in", rows=3_000), tmp_path / "out.jsonl"
    running = subprocess.Popen(command(folder, out, 2), env=ENVIRONMENT, start_new_session=True)
    part = out.with_name("out.jsonl.part")
    while running.poll() is None and not (part.exists() and part.stat().st_size > 5_000):
        time.sleep(0.02)
    running.kill()
    running.wait()
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and lives(running.pid):
            time.sleep(0.1)
        assert not lives(running.pid)
    finally:
        if lives(running.pid):
            os.killpg(running.pid, signal.SIGKILL)


def lives(group: int) -> bool:
    """Whether any process of the group runs; those that ended and wait to be collected do not."""
    stats = (p.read_text().rpartition(")")[2].split() for p in Path("/proc").glob("[0-9]*/stat") if p.exists())
    return any(int(own) == group and state not in "ZX" for state, _, own, *_ in stats)


def test_a_name_with_a_line_feed_is_not_done_twice(tmp_path, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "a\nb.txt").write_text(AD, "utf-8")
    (folder / "c.pdf").write_bytes(b"%PDF-1.7 nothing")

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "remove", killed)
        scan_to_file([folder], out, JOB, engine=in_this_process)
    assert scan_to_file([folder], out, JOB, engine=in_this_process).documents == 1


def test_a_name_that_is_no_utf8_is_read_and_shown(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    name = os.fsencode(folder) + b"/\xb9\xe3.txt"
    try:
        Path(os.fsdecode(name)).write_text(AD, "utf-8")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    (folder / "b.csv").write_text(f"id,正文\n1,{AD}\n", "utf-8")
    assert scan_to_file([folder], out, JOB, engine=in_this_process).documents == 2
    assert f"{folder}/\\xb9\\xe3.txt" in {json.loads(line)["id"] for line in lines(out)}


def test_a_scan_does_not_read_what_it_writes(tmp_path):
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 nothing")
    for _ in range(2):
        summary = scan_to_file([tmp_path], tmp_path / "out.jsonl", JOB, engine=in_this_process)
        assert summary.documents == 1 and summary.failed == 1 and errors_path(tmp_path / "out.jsonl").exists()


def test_a_scan_does_not_read_what_it_writes_under_another_name(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        summary = scan_to_file([tmp_path], Path("out.jsonl"), JOB, engine=in_this_process)
        assert summary.documents == 1 and summary.failed == 0


def test_tables_carry_the_columns_of_the_input(tmp_path):
    import csv

    import pyarrow.parquet as pq
    from openpyxl import load_workbook

    rows = [
        {"id": "1", "text": AD, "阅读": 210, "风险": "客户自评", "风险（原表）": "旧", "tags": ["a"]},
        {"id": "2", "text": "你好"},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    for suffix in ("csv", "xlsx", "parquet"):
        scan_to_file([tmp_path / "in.jsonl"], tmp_path / f"o.{suffix}", JOB, engine=in_this_process)
    with (tmp_path / "o.csv").open(encoding="utf-8-sig") as stream:
        first, second = csv.DictReader(stream)
    assert (first["阅读"], first["风险"], first["tags"]) == ("210", "高", '["a"]')
    # The input has a column of its own that is called as ours would be.
    assert (first["风险（原表）（原表）"], first["风险（原表）"]) == ("客户自评", "旧")
    assert second["阅读"] == ""
    heading, line, _ = load_workbook(tmp_path / "o.xlsx").active.iter_rows(values_only=True)
    assert dict(zip(heading, line, strict=True))["阅读"] == 210
    record, _ = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert record["阅读"] == "210" and record["风险（原表）（原表）"] == "客户自评"


def test_long_numbers_of_the_input_keep_all_digits_in_a_workbook(tmp_path):
    source, number = tmp_path / "in.jsonl", 1234567890123456789
    row = {"id": "1", "text": AD, "文章号": number, "负": -number, "阅读": 999_999_999_999_999}
    source.write_text(json.dumps(row), "utf-8")
    scan_to_file([source], tmp_path / "out.xlsx", JOB, engine=in_this_process)
    heading, cells = load_workbook(tmp_path / "out.xlsx").active.iter_rows(values_only=True)
    held = dict(zip(heading, cells, strict=True))
    assert (held["文章号"], held["负"], held["阅读"]) == (str(number), str(-number), 999_999_999_999_999)


def test_the_end_names_risks_labels_and_accounts():
    summary = Summary(failed=2, partly_read=1)
    summary.count("high", {"state_underwriting", "absolute_claim"}, "甲号", complete=True)
    summary.count("high", {"state_underwriting"}, "乙号", complete=False)
    summary.count("none", (), "丙号", complete=True)
    first, labels, accounts = summary_text(summary, load_rulebook()).split("\n")
    assert first == "共3篇：高风险2，中风险0，低风险0，无风险1；未能读取2，未完整读取2"
    assert labels.startswith("问题：政府承保或兜底 2篇，") and accounts == "有风险的账号：乙号 1篇，甲号 1篇"
