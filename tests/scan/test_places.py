"""Input and output on any file system that fsspec knows: the same bytes as on this machine, and errors that help."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from nlp_compliance.cli import main
from nlp_compliance.errors import InputError, MissingExtraError
from nlp_compliance.ingest.places import below, place, whole
from nlp_compliance.ingest.reader import expand
from nlp_compliance.scan.local import in_this_process, scan_to_file
from nlp_compliance.scan.outputs import errors_path
from tests.scan.test_scan import AD, JOB, mixed


@pytest.fixture
def bucket():
    """An empty folder of fsspec's file system in memory."""
    folder = UPath("memory://bucket")
    yield folder
    if folder.exists():
        folder.fs.rm("/bucket", recursive=True)


def copied(folder: Path, bucket: UPath) -> UPath:
    bucket.fs.put(str(folder), "/bucket/in", recursive=True)
    return bucket / "in"


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def without_place(row: dict, folder: str) -> str:
    return json.dumps(row, ensure_ascii=False).replace(folder, "IN")


def test_a_far_folder_gives_the_rows_of_a_near_one(tmp_path, bucket):
    folder = mixed(tmp_path / "in", rows=20)
    table = pa.table({"text": [AD, AD + "转发"], "阅读": [7, 9]})
    (folder / "月份=2026-11").mkdir()
    pq.write_table(table, folder / "月份=2026-11" / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    far = copied(folder, bucket)
    scan_to_file([folder], tmp_path / "near.jsonl", JOB, engine=in_this_process)
    scan_to_file([far], bucket / "far.jsonl", JOB, engine=in_this_process, work=tmp_path)
    for path in (tmp_path / "near.jsonl", errors_path(tmp_path / "near.jsonl")):
        found = bucket / path.name.replace("near", "far")
        near = sorted(without_place(r, str(folder)) for r in rows(path))
        assert sorted(without_place(r, str(far)) for r in rows(found)) == near
    last = rows(bucket / "far.jsonl")[-1]
    assert not list(tmp_path.glob("*.part")) and "memory://bucket/in" in json.dumps(last)
    partitioned = [r for r in rows(bucket / "far.jsonl") if r.get("extra", {}).get("月份")]
    assert [(r["extra"]["月份"], r["extra"]["阅读"]) for r in partitioned] == [("2026-11", 7), ("2026-11", 9)]


def test_a_scan_to_a_far_place_goes_on(tmp_path, bucket, monkeypatch):
    folder = mixed(tmp_path / "in", rows=200)
    scan_to_file([folder], tmp_path / "whole.jsonl", JOB, engine=in_this_process)
    monkeypatch.chdir(tmp_path)

    def stopped(weight, documents):
        raise KeyboardInterrupt

    def unreachable(*_, **__):
        raise ConnectionError("no route")

    with pytest.raises(KeyboardInterrupt):
        scan_to_file([folder], bucket / "o.jsonl", JOB, engine=in_this_process, progress=stopped)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no route"):
        patch.setattr(type(bucket.fs), "put_file", unreachable)
        scan_to_file([folder], bucket / "o.jsonl", JOB, engine=in_this_process)
    # The work file lies here, and belongs to this address alone.
    assert (tmp_path / "o.jsonl.part").exists()
    with pytest.raises(InputError, match="--restart"):
        scan_to_file([folder], bucket / "other" / "o.jsonl", JOB, engine=in_this_process)
    scan_to_file([folder], bucket / "o.jsonl", JOB, engine=in_this_process)
    assert (bucket / "o.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_far_table_that_breaks_off_is_no_bad_row(tmp_path, bucket, monkeypatch):
    source = bucket / "in" / "a.jsonl"
    source.parent.mkdir(parents=True)
    source.write_text(json.dumps({"id": "1", "text": AD}), "utf-8")

    def broken(*_, **__):
        raise RuntimeError("credentials expired")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="credentials expired"):
        patch.setattr(type(source), "open", broken)
        scan_to_file([source], tmp_path / "o.jsonl", JOB, engine=in_this_process)
    assert scan_to_file([source], tmp_path / "o.jsonl", JOB, engine=in_this_process).documents == 1


def test_addresses(tmp_path, bucket):
    assert place("a/b.txt") == Path("a/b.txt") and place(f"file://{tmp_path}") == tmp_path
    with pytest.raises(InputError, match="no file system is called nowhere://"):
        place("nowhere://a")
    with pytest.raises(InputError, match="`check`"):
        place("https://mp.weixin.qq.com/s/x")
    for name in ("b.txt", "a/x.txt", "c.html"):
        with whole(bucket / name) as draft:
            draft.write_text("x")
    assert [p.name for p in expand([bucket])] == ["x.txt", "b.txt", "c.html"]
    assert [p.name for p in expand([place("memory://bucket/*.txt")])] == ["b.txt"]
    assert [p.name for p in below(bucket, "**/*.txt")] in (["x.txt", "b.txt"], ["b.txt", "x.txt"])
    assert [str(p) for p in expand([bucket], without=[bucket / "a"])] == [str(bucket / n) for n in ("b.txt", "c.html")]


def test_an_absent_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtraError, match="s3fs"):
        place("s3://bucket/articles")


def test_the_command_takes_addresses(tmp_path, capsys):
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    environment = {**os.environ, "NLP_COMPLIANCE_DETECTORS": "lexical"}
    command = [
        sys.executable,
        "-m",
        "nlp_compliance",
        "scan",
        f"file://{tmp_path}/a.txt",
        "-o",
        f"file://{tmp_path}/o/",
    ]
    done = subprocess.run([*command, "--partition-by", "risk"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "o" / "风险=高" / "part-000000.parquet").exists()
    assert main(["scan", "memory://nowhere/x", "-o", str(tmp_path / "x.jsonl")]) == 2
    assert main(["scan", str(tmp_path / "a.txt"), "-o", "memory://box/x.html"]) == 2
