"""A local two-actor cluster gives the bytes of the local engine, also when an actor is killed in the middle."""

import os
import signal
from pathlib import Path

import pytest

from nlp_compliance.scan.cluster import in_cluster
from nlp_compliance.scan.local import in_this_process, scan_to_file
from tests.scan.test_scan import JOB, mixed

ray = pytest.importorskip("ray")


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
