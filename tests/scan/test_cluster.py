"""A local two-actor cluster gives the bytes of the local engine, also when an actor is killed in the middle."""

import os
import signal
import sys
from pathlib import Path

import pytest

from nlp_compliance.cli import main
from nlp_compliance.scan.cluster import in_cluster
from nlp_compliance.scan.local import in_this_process, scan_to_file
from tests.scan.test_scan import AD, JOB, mixed

ray = pytest.importorskip("ray")


def test_without_ray_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    assert main(["scan", str(tmp_path / "a.txt"), "-o", str(tmp_path / "o.jsonl"), "--engine", "ray"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "nlp-compliance[cluster]" in said and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("address", [None, "ray-head:6379"])
def test_a_cluster_that_does_not_start_is_one_line_and_two(tmp_path, monkeypatch, capsys, address):
    def fails(**_: object) -> None:
        raise RuntimeError("The current node timed out during startup.\nThis may happen because of …")

    monkeypatch.setattr(ray, "init", fails)
    (tmp_path / "a.txt").write_text(AD, "utf-8")
    there = ["--ray-address", address] if address else []
    assert main(["scan", str(tmp_path / "a.txt"), "-o", str(tmp_path / "o.jsonl"), "--engine", "ray", *there]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "timed out during startup" in said and "--workers" in said and (address or "this machine") in said


def actor_pids() -> list[int]:
    """Processes that Ray has titled as our actor."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::Worker"):
                found.append(int(entry.name))
    return found


# Ray forks helpers and leaves sockets to its own shutdown.
@pytest.mark.filterwarnings("ignore")
def test_cluster_equals_local_even_when_an_actor_dies(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = mixed(tmp_path / "in", rows=1_500)
    scan_to_file([folder], tmp_path / "local.jsonl", JOB, engine=in_this_process)
    killed = []

    def kill_one(weight: int, documents: int) -> None:
        if not killed:
            pid = actor_pids()[0]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    scan_to_file([folder], tmp_path / "ray.jsonl", JOB, engine=in_cluster(2), progress=kill_one)
    assert killed and (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
