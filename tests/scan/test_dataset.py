"""A folder of Parquet files as output: written part by part, resumed after a kill at any step, never overwritten."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from upath import UPath

from nlp_compliance.errors import InputError
from nlp_compliance.scan import local
from nlp_compliance.scan.dataset import Dataset
from nlp_compliance.scan.journal import Journal
from nlp_compliance.scan.local import in_this_process, scan_to_file
from tests.scan.test_scan import AD, JOB

ROWS = 400


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    # A part after nearly every task.
    monkeypatch.setattr(local, "PART_BYTES", 200_000)
    rows = [
        {"id": str(i), "text": f"第{i}条：{AD if i % 3 else '今天天气晴'}", "account": f"号/{i % 4}", "阅读": i}
        | ({"published": f"2026-11-{1 + i % 28:02}"} if i % 5 else {})
        for i in range(ROWS)
    ]
    (tmp_path / "in.jsonl").write_text("{broken\n" + "\n".join(json.dumps(r) for r in rows), "utf-8")
    return tmp_path / "in.jsonl"


def scanned(source: Path, out: Path, **how):
    return scan_to_file([source], out, JOB, engine=in_this_process, **how)


def held(folder: Path) -> dict[str, dict]:
    """Rows by id, each of which must stand once."""
    rows = ds.dataset(folder, partitioning="hive").to_table().to_pylist()
    assert max(Counter(r["编号"] for r in rows).values()) == 1
    return {r["编号"]: r for r in rows}


def test_accounts_that_begin_alike_do_not_replace_each_other(tmp_path):
    address = "https://mp.weixin.qq.com/mp/profile_ext?action=home&__biz=MzA4"
    accounts = [f"{address}{i}" for i in range(3)] + ["号" * 60, "号" * 61]
    rows = [{"id": str(i), "text": AD, "account": account} for i, account in enumerate(accounts)]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(json.dumps(r) for r in rows), "utf-8")
    scanned(source, tmp_path / "out", partition_by="account")
    rows = held(tmp_path / "out")
    assert len(rows) == 5 and len({row["公众号"] for row in rows.values()}) == 5
    assert [json.loads(rows[str(i)]["report"])["source"]["account"] for i in range(5)] == accounts
    assert rows["3"]["公众号"] == "号" * 60 and all(len(row["公众号"].encode()) < 240 for row in rows.values())


@pytest.mark.parametrize(("by", "folders"), [("none", 0), ("risk", 2), ("account", 4), ("week", 6)])
def test_partitions_hold_every_row_once(source, tmp_path, by, folders):
    summary = scanned(source, tmp_path / "one.jsonl")
    out = tmp_path / "out.parquet"
    assert scanned(source, out, partition_by=by) == summary and summary.failed == 1
    rows = held(out)
    assert {r["report"] for r in rows.values()} == set((tmp_path / "one.jsonl").read_text("utf-8").splitlines())
    assert len([p for p in out.iterdir() if p.is_dir()]) == folders
    assert len(list(out.rglob("part-*.parquet"))) > max(folders, 1) and not list(out.rglob("*.draft"))
    row = rows["7"]
    assert (row["公众号"], row["周"], row["风险"]) == ("号/3", "2026-W45", "高") and json.loads(row["原表"]) == {
        "阅读": 7
    }
    assert json.loads((tmp_path / "out.parquet.errors.jsonl").read_text("utf-8"))["id"].endswith("#1")


@pytest.mark.parametrize("moment", [(Journal, "add"), (Journal, "cut"), (Journal, "remove"), (Dataset, "_write")])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_it_goes_on(source, tmp_path, monkeypatch, moment, after):
    home, name = moment
    real, out = getattr(home, name), tmp_path / "out.parquet"

    def killed(self, *arguments):
        calls.append(name)
        if after:
            real(self, *arguments)
        if len(calls) == 2 or name == "remove":
            raise KeyboardInterrupt
        return None if after else real(self, *arguments)

    for _ in range(2):
        calls: list[str] = []
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(home, name, killed)
            scanned(source, out, partition_by="week")
        if name == "remove" and after:
            break
    else:
        summary = scanned(source, out, partition_by="week")
        assert (summary.documents, summary.failed) == (ROWS, 1)
    assert len(held(out)) == ROWS and not list(out.rglob("*.draft"))


def test_a_finished_dataset_is_replaced_only_when_told(source, tmp_path):
    out = tmp_path / "out.parquet"
    scanned(source, out, partition_by="risk")
    with pytest.raises(InputError, match="--restart"):
        scanned(source, out, partition_by="risk")
    scanned(source, out, partition_by="none", restart=True)
    assert len(held(out)) == ROWS
    with pytest.raises(InputError, match="week"):
        scanned(source, tmp_path / "other", partition_by="label")


def test_a_scan_does_not_read_its_own_dataset(source, tmp_path):
    for restart in (False, True):
        summary = scan_to_file(
            [tmp_path], tmp_path / "out", JOB, engine=in_this_process, partition_by="none", restart=restart
        )
        assert summary.documents == ROWS


def test_a_far_dataset(source, tmp_path):
    out = UPath("memory://warehouse/out.parquet")
    scanned(source, out, partition_by="account", work=tmp_path)
    out.fs.get("/warehouse/out.parquet", str(tmp_path / "copy"), recursive=True)
    assert len(held(tmp_path / "copy")) == ROWS
    with pytest.raises(InputError, match="--restart"):
        scanned(source, out, partition_by="account", work=tmp_path)
    out.fs.rm("/warehouse", recursive=True)
