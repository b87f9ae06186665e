"""Identical texts are scored once in a whole scan, near copies are grouped among all documents."""

import json
import random
from collections import deque

import pyarrow.dataset as ds
import pytest

from nlp_compliance.report.copies import Sketches
from nlp_compliance.report.monitor import gather
from nlp_compliance.scan import reposts
from nlp_compliance.scan.local import in_processes, in_this_process, scan_to_file
from nlp_compliance.scan.tasks import Task
from nlp_compliance.scan.worker import Worker, minhash
from tests.scan.test_scan import AD, JOB


def table(tmp_path, rows=640):
    """Ten texts that come again and again, from several accounts and days, a bad line and a text that is refused."""
    lines = [
        json.dumps(
            {"id": f"r{i}", "text": f"第{i % 10}条：{AD}", "account": f"号{i % 7}", "阅读": i}
            | ({"published": "2026-11-01"} if i % 2 else {})
        )
        for i in range(rows)
    ]
    lines[70] = "{broken"
    lines[71] = lines[300] = json.dumps({"text": ""})
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path / "in.jsonl"


@pytest.mark.parametrize("remembered", [3, 16_384])
def test_workers_share_what_was_scored(tmp_path, monkeypatch, remembered):
    monkeypatch.setattr(reposts, "_REMEMBERED", remembered)
    source, scored = table(tmp_path), []

    def two_workers(job, tasks):
        """Two workers in turn with tasks in flight, as the engines have them."""
        workers, waiting = [Worker(job), Worker(job)], deque()
        for number, task in enumerate(tasks):
            scored.extend(item for item in task.items if hasattr(item, "text"))
            waiting.append((task, number % 2))
            if len(waiting) == 6:
                task, worker = waiting.popleft()
                yield task, workers[worker].run(task)
        for task, worker in waiting:
            yield task, workers[worker].run(task)

    scan_to_file([source], tmp_path / "two.jsonl", JOB, engine=two_workers)
    assert (tmp_path / "two.jsonl").read_bytes() == b"".join(row + b"\n" for row in one_by_one(source))
    # Every text once; the empty ones fail where they are read.
    assert (len(scored) == 10) == (remembered > 10)


def one_by_one(source):
    """The rows of a scan without any memory."""
    worker = Worker(JOB)
    for item in JOB.reader().read_path(source):
        worker._known.clear()
        for row in worker.run(Task(("", 0), items=(item,))):
            if not row.failed:
                yield row.line


def test_processes_give_the_bytes_of_one(tmp_path):
    source = table(tmp_path)
    for name, engine in (("one", in_this_process), ("two", in_processes(2))):
        scan_to_file([source], tmp_path / name, JOB, engine=engine, partition_by="none")
    read = [ds.dataset(tmp_path / name).to_table().to_pylist() for name in ("one", "two")]
    assert read[0] == read[1] and len(read[0]) == 640 - 3


def near(rng: random.Random, text: str) -> str:
    """The text with one character in 250 replaced."""
    return "".join(rng.choice("的一是在不了有和人这") if rng.random() < 0.004 else c for c in text)


def test_near_copies_are_found_among_many(tmp_path):
    rng, sketches, origin = random.Random(5), Sketches(), []
    for number in range(60):
        text = "".join(rng.choice("保险惠民医疗责任免赔额城市参加年度费用报销药品住院") for _ in range(400))
        for copy in range(1 + number % 3):
            origin.append(number)
            assert sketches.add(minhash(near(rng, text) if copy else text))
    assert not sketches.add("") and len(sketches) == len(origin)
    groups = sketches.groups()
    assert all(len({origin[m] for m in group}) == 1 and group == sorted(group) for group in groups)
    # Of 40 texts with copies nearly all are found.
    assert len(groups) >= 38 and Sketches().groups() == []


def test_copies_without_findings_are_grouped_too(tmp_path):
    story = "".join(f"{i}号服务点今天上午{i % 12}点开门，" for i in range(40))
    texts = {"a": story, "b": story + "转发", "c": "今天天气晴，适合出游，记得带水。", "d": story + AD}
    rows = [{"id": k, "text": v, "account": f"{k}号"} for k, v in texts.items()]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    scan_to_file([tmp_path / "in.jsonl"], tmp_path / "o.jsonl", JOB, engine=in_this_process)
    monitor = gather(tmp_path / "o.jsonl")
    (copies,) = monitor.copies
    assert [c.id for c in copies.cases] == ["a", "b", "d"] and copies.accounts == ("a号", "b号", "d号")
    assert monitor.groups == 1 and copies.documents == 3 and copies.flagged >= 1
