"""Scanning to a file: every format of output, failures, reposts, resumption after kills at random moments."""

import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from nlp_compliance.cli import main
from nlp_compliance.errors import InputError
from nlp_compliance.scan.journal import Journal
from nlp_compliance.scan.local import in_processes, in_this_process, scan_to_file
from nlp_compliance.scan.outputs import errors_path, workbook_bytes
from nlp_compliance.scan.tasks import Done, plan
from nlp_compliance.scan.worker import Job, Row, Worker, minhash
from nlp_compliance.settings import Settings
from tests.ingest import files

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
# The rules alone are quick to load and enough to tell rows apart.
JOB = Job(Settings(detectors=("lexical",)))
AD = "云溪保由政府兜底，最高保障300万元，99元一年。"


def mixed(folder: Path, *, rows: int = 150) -> Path:
    """A folder with tables, texts, pages, an archive and broken files."""
    shutil.copytree(SAMPLES, folder / "samples")
    lines = [json.dumps({"id": f"r{i}", "text": f"第{i}条：{AD}", "account": f"号{i % 3}"}) for i in range(rows)]
    lines[7] = "{broken"
    (folder / "table.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 nothing")
    (folder / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "pack.zip").write_bytes(
        files.archive({"in.txt": AD.encode(), "in.xlsx": files.workbook([["正文"], [AD]])})
    )
    for i in range(40):
        (folder / f"note-{i:02}.txt").write_text(f"{i} {AD}", "utf-8")
    return folder


def lines(path: Path) -> list[str]:
    return sorted(path.read_text("utf-8").splitlines())


def test_every_failure_is_named_and_everything_else_is_judged(tmp_path):
    folder = mixed(tmp_path / "in")
    out = tmp_path / "out.jsonl"
    summary = scan_to_file([folder], out, JOB, engine=in_this_process)
    errors = [json.loads(line) for line in lines(errors_path(out))]
    assert {Path(e["id"]).name for e in errors} == {"bad.pdf", "old.doc", "table.jsonl#8"} and summary.failed == 3
    rows = [json.loads(line) for line in lines(out)]
    assert len(rows) == summary.documents == 149 + 40 + 2 + 10
    assert len({r["id"] for r in rows}) == len(rows) and not list(tmp_path.glob("*.part"))


def test_the_errors_file_tells_table_and_row_of_a_record_with_its_own_id(tmp_path):
    (tmp_path / "a.csv").write_text(f"id,正文\n1,{AD}\n2,{AD}\n", "utf-8")
    (tmp_path / "b.csv").write_text(f"id,正文\n1,甲：{AD}\n2,\n3,\n", "utf-8")
    out = tmp_path / "out.jsonl"
    scan_to_file([tmp_path / "a.csv", tmp_path / "b.csv"], out, JOB, engine=in_this_process)
    errors = [json.loads(line) for line in lines(errors_path(out))]
    assert [e["id"] for e in errors] == ["2", "3"]
    assert [e["error"]["message"].partition(": ")[0] for e in errors] == [f"{tmp_path / 'b.csv'}#{n}" for n in (2, 3)]


def test_several_processes_give_the_same_bytes(tmp_path):
    folder = mixed(tmp_path / "in", rows=300)
    scan_to_file([folder], tmp_path / "one.jsonl", JOB, engine=in_this_process)
    scan_to_file([folder], tmp_path / "two.jsonl", JOB, engine=in_processes(2))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_a_second_scan_into_the_same_output_is_refused_and_harms_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number in range(40):
        (tmp_path / "in" / f"{number:02}.txt").write_text(f"{number} {AD}", "utf-8")
    command = ["scan", str(tmp_path / "in"), "-o", str(tmp_path / "out.jsonl")]
    codes = []

    def start_another(weight: int, documents: int) -> None:
        codes.append(main([*command, "--restart"]))

    scan_to_file([tmp_path / "in"], tmp_path / "out.jsonl", JOB, engine=in_this_process, progress=start_another)
    said = capsys.readouterr().err.splitlines()
    assert len(codes) > 1 and set(codes) == {2} and len(said) == len(codes)
    assert f"process {os.getpid()} on {socket.gethostname()}" in said[0] and "out.jsonl" in said[0]
    assert len(lines(tmp_path / "out.jsonl")) == 40
    assert {p.name for p in tmp_path.iterdir()} == {"in", "out.jsonl"}


def test_the_lock_of_a_killed_scan_does_not_stand_in_the_way(tmp_path):
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    held = "from nlp_compliance.scan.lock import alone; from pathlib import Path; import os, sys\n"
    held += "with alone(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", held, str(tmp_path / "o.jsonl.part")], check=False)
    assert "process" in (tmp_path / ".o.jsonl.part.lock").read_text("utf-8")
    scan_to_file([tmp_path], tmp_path / "o.jsonl", JOB, engine=in_this_process)
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", "o.jsonl"}


def test_tables_for_people(tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "=1+1", "text": AD, "account": "云溪生活"}), "utf-8")
    for suffix in ("csv", "xlsx", "parquet"):
        scan_to_file([tmp_path / "in.jsonl"], tmp_path / f"o.{suffix}", JOB, engine=in_this_process)
    with (tmp_path / "o.csv").open(encoding="utf-8-sig") as stream:
        (row,) = csv.DictReader(stream)
    assert row["编号"] == "'=1+1" and row["风险"] == "高" and "【政府承保或兜底】政府兜底" in row["证据"]
    sheet = load_workbook(tmp_path / "o.xlsx").active
    assert sheet["A2"].value == "=1+1" and sheet["A2"].data_type == "s" and sheet["C2"].value == "云溪生活"
    (record,) = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert json.loads(record["report"])["risk"] == "high" and record["公众号"] == "云溪生活"


def test_identical_texts_are_scored_once(tmp_path, monkeypatch):
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps({"id": str(i), "text": AD}) for i in range(200)), "utf-8")
    scored = []
    real = Worker.__init__

    def counting(self, *args, **kwargs):
        real(self, *args, **kwargs)
        check = self.checker.check_many
        self.checker.check_many = lambda docs, **k: scored.extend(docs) or check(docs, **k)

    monkeypatch.setattr(Worker, "__init__", counting)
    scan_to_file([source], tmp_path / "o.jsonl", JOB, engine=in_this_process)
    rows = [json.loads(line) for line in lines(tmp_path / "o.jsonl")]
    assert len(scored) == 1 and [r["id"] for r in rows] == sorted(map(str, range(200)))


@pytest.mark.parametrize(
    ("characters", "sizes"),
    [(20, [64, 64, 22]), (6_000, [3] * 50), (40_000, [1] * 150)],
    ids=["short rows by number", "articles by length", "a long row alone"],
)
def test_a_table_is_cut_by_rows_and_by_characters_and_goes_on_where_it_was(tmp_path, characters, sizes):
    table = tmp_path / "table.jsonl"
    table.write_text("\n".join(json.dumps({"id": str(i), "text": "保" * characters}) for i in range(150)), "utf-8")
    tasks = list(plan([table], JOB.reader(), Done.nothing()))
    assert [len(t.items) for t in tasks] == sizes
    assert [i.id for t in tasks for i in t.items] == [str(i) for i in range(150)]
    rest = list(plan([table], JOB.reader(), Done(set(), {str(table): (tasks[1].key[1], tasks[1].state)})))
    assert [t.key for t in rest] == [t.key for t in tasks[2:]]


def test_a_scan_does_not_go_on_in_a_table_that_was_written_anew(tmp_path):
    source, out = tmp_path / "week.jsonl", tmp_path / "out.jsonl"

    def write(week: str) -> None:
        rows = [json.dumps({"id": f"{week}-{i}", "text": f"{week}第{i}条：{AD}"}) for i in range(100)]
        source.write_text("\n".join(rows), "utf-8")

    def killed(job, tasks):
        yield next(in_this_process(job, tasks))
        raise KeyboardInterrupt

    write("w41")
    with pytest.raises(KeyboardInterrupt):
        scan_to_file([source], out, JOB, engine=killed)
    write("w42")
    with pytest.raises(InputError, match=r"week\.jsonl has changed .* 64 rows .*--restart"):
        scan_to_file([source], out, JOB, engine=in_this_process)
    assert not out.exists()
    scan_to_file([source], out, JOB, engine=in_this_process, restart=True)
    assert [json.loads(line)["id"] for line in out.read_bytes().splitlines()] == [f"w42-{i}" for i in range(100)]


def test_near_copies_share_most_of_their_marks():
    text = (SAMPLES / "notice-jianguan.txt").read_text("utf-8")

    def share(a: str, b: str) -> float:
        pairs = [(a[i : i + 8], b[i : i + 8]) for i in range(0, len(a), 8)]
        return sum(x == y for x, y in pairs) / len(pairs)

    assert share(minhash(text), minhash(text.replace("近期", "最近") + "转发")) > 0.7
    assert share(minhash(text), minhash(AD * 5)) < 0.2


def test_retry_does_only_what_failed(tmp_path):
    folder = mixed(tmp_path / "in")
    out = tmp_path / "out.jsonl"
    scan_to_file([folder], out, JOB, engine=in_this_process)
    before = lines(out)
    (folder / "bad.pdf").write_bytes(files.pdf([[AD]]))
    summary = scan_to_file([folder], out, JOB, engine=in_this_process, retry_errors=True)
    assert summary.failed == 2 and len(lines(out)) == len(before) + 1 and set(before) < set(lines(out))
    with pytest.raises(InputError, match="earlier scan"):
        scan_to_file([folder], tmp_path / "never.jsonl", JOB, engine=in_this_process, retry_errors=True)


def test_retry_leaves_rows_of_other_tables_alone_that_have_the_same_id(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "a.csv").write_text(f"id,正文\n1,甲：{AD}\n2,乙：{AD}\n", "utf-8")
    (folder / "b.csv").write_text(f"id,正文\n1,丙：{AD}\n2,\n", "utf-8")
    assert scan_to_file([folder], out, JOB, engine=in_this_process).failed == 1
    assert scan_to_file([folder], out, JOB, engine=in_this_process, retry_errors=True).failed == 1
    (folder / "b.csv").write_text(f"id,正文\n1,丙：{AD}\n2,丁：{AD}\n", "utf-8")
    scan_to_file([folder], out, JOB, engine=in_this_process, retry_errors=True)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert sorted(r["id"] for r in rows) == ["1", "1", "2", "2"] and len({r["copy"]["sha256"] for r in rows}) == 4


def test_retry_judges_a_mended_row_under_its_own_id_and_keeps_what_it_did_not_meet(tmp_path):
    source, gone, out = tmp_path / "a.jsonl", tmp_path / "gone.pdf", tmp_path / "out.jsonl"
    long = json.dumps({"id": "3", "text": AD * 9})
    source.write_text("\n".join([json.dumps({"id": "1", "text": AD}), "{broken", long]), "utf-8")
    gone.write_bytes(b"%PDF-1.7 nothing")
    job = Job(Settings(detectors=("lexical",), max_text_chars=100))
    assert scan_to_file([tmp_path], out, job, engine=in_this_process).failed == 3
    errors = [json.loads(line) for line in lines(errors_path(out))]
    places = {e["place"]: e["id"] for e in errors}
    assert places == {f"{source}#2": f"{source}#2", f"{source}#3": "3", str(gone): str(gone)}
    source.write_text("\n".join([json.dumps({"id": str(i), "text": f"{i}{AD}"}) for i in (1, 2, 3)]), "utf-8")
    gone.unlink()
    summary = scan_to_file([tmp_path], out, job, engine=in_this_process, retry_errors=True)
    assert [json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()] == ["1", "2", "3"]
    assert summary.failed == 1 and json.loads(errors_path(out).read_bytes())["place"] == str(gone)


def test_retry_of_a_table_that_broke_off_adds_only_what_is_new(tmp_path):
    source, out = tmp_path / "a.csv", tmp_path / "out.jsonl"
    whole = "\n".join(["正文", *(f'"第{n}条：{AD}{"保" * 500}"' for n in range(1, 71))]).encode()
    place = whole.index("第65条".encode())
    source.write_bytes(whole[:place] + b"\xff" + whole[place:])
    first = scan_to_file([source], out, JOB, engine=in_this_process)
    assert first.failed == 1 and 50 <= first.documents < 65
    source.write_bytes(whole)
    assert scan_to_file([source], out, JOB, engine=in_this_process, retry_errors=True).failed == 0
    ids = [json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()]
    assert ids == [f"{source}#{n}" for n in range(1, 71)] and not errors_path(out).exists()


def test_a_work_file_of_another_command_is_left_alone(tmp_path):
    journal = Journal(tmp_path / "o.jsonl.part", {"paths": ["elsewhere"]})
    journal.add(("elsewhere", 0), [Row(False, b"{}", "elsewhere")])
    journal.close()
    with pytest.raises(InputError, match="--restart"):
        scan_to_file([SAMPLES], tmp_path / "o.jsonl", JOB, engine=in_this_process)
    assert scan_to_file([SAMPLES], tmp_path / "o.jsonl", JOB, engine=in_this_process, restart=True).documents == 10


def test_a_full_disk_keeps_what_is_done(tmp_path, monkeypatch):
    folder = mixed(tmp_path / "in")
    out = tmp_path / "out.jsonl"
    real, written = Journal.add, []

    def full(self, key, rows, met=(), state=""):
        if len(written) == 2:
            # Half a task reaches the disk before it is full.
            self._file.write(b"r" + rows[0].line[:20])
            self._file.flush()
            raise OSError(28, "No space left on device")
        written.append(key)
        real(self, key, rows, met, state)

    monkeypatch.setattr(Journal, "add", full)
    with pytest.raises(OSError, match="No space"):
        scan_to_file([folder], out, JOB, engine=in_this_process)
    monkeypatch.setattr(Journal, "add", real)
    scan_to_file([folder], out, JOB, engine=in_this_process)
    scan_to_file([folder], tmp_path / "whole.jsonl", JOB, engine=in_this_process)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_killed_at_random_moments_nothing_is_lost_or_done_twice(tmp_path, pytestconfig):
    slow = pytestconfig.getoption("--slow")
    folder = mixed(tmp_path / "in", rows=30_000 if slow else 2_000)
    shares = (0.04, 0.12) if slow else (0.3, 1.0)
    environment = {**os.environ, "NLP_COMPLIANCE_DETECTORS": "lexical"}

    def command(out: Path, workers: int) -> list[str]:
        program = [sys.executable, "-m", "nlp_compliance", "scan", str(folder), "-o", str(out)]
        return [*program, "--workers", str(workers), "--no-progress"]

    started = time.monotonic()
    subprocess.run(command(tmp_path / "whole.jsonl", 1), env=environment, check=True, capture_output=True)
    whole = time.monotonic() - started
    rng = random.Random(3)
    kills = 0
    for attempt in range(40 if slow else 14):
        running = subprocess.Popen(
            command(tmp_path / "out.jsonl", 1 + attempt % 2),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        seconds = rng.uniform(*shares) * whole
        try:
            running.wait(timeout=seconds)
            break
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            kills += 1
            print(f"kill {kills}: {1 + attempt % 2} processes, after {seconds:.2f} s of {whole:.2f} s")
    subprocess.run(command(tmp_path / "out.jsonl", 1), env=environment, check=True, capture_output=True)
    assert kills >= 1
    assert lines(tmp_path / "out.jsonl") == lines(tmp_path / "whole.jsonl")
    assert lines(errors_path(tmp_path / "out.jsonl")) == lines(errors_path(tmp_path / "whole.jsonl"))


def test_a_cell_too_long_for_a_workbook_says_so_at_its_end():
    long = "沁河保，" * 10_000
    (heading, row) = load_workbook(io.BytesIO(workbook_bytes([("页", ["正文", "短"], [[long, AD]])]))).active.values
    assert heading == ("正文", "短") and row[1] == AD
    assert len(row[0]) == 32_767 and row[0].startswith("沁河保，") and "全文40000字" in row[0][-50:]
