"""The mean of runs is the mean of their weights, and runs of different networks are refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.average import average_runs, main


def write_run(folder, **weights):
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    for name in ("config.json", "tokenizer.json", "finetune.json"):
        (folder / name).write_text(f'{{"of": "{folder.name}"}}', "utf-8")
    return folder


def test_the_mean_by_shares(tmp_path):
    one = write_run(tmp_path / "one", w=torch.tensor([1.0, 2.0]), rows=torch.tensor([3, 4]))
    two = write_run(tmp_path / "two", w=torch.tensor([5.0, 6.0], dtype=torch.float16), rows=torch.tensor([3, 4]))
    assert main([f"{one}:3", str(two), "--out", str(tmp_path / "mean")]) == 0
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    assert mean["w"].tolist() == [2.0, 3.0] and mean["rows"].tolist() == [3, 4]
    assert (tmp_path / "mean" / "finetune.json").read_text("utf-8") == '{"of": "one"}'


def test_another_network_is_named(tmp_path):
    one = write_run(tmp_path / "one", w=torch.zeros(2))
    two = write_run(tmp_path / "two", w=torch.zeros(3))
    with pytest.raises(ValueError, match=r"two is not of the shape of .*one: they differ in w"):
        average_runs([one, two], [1.0, 1.0], tmp_path / "mean")
