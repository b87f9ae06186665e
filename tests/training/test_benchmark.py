"""The public-set benchmark on a set small enough to be learned: what it prints must follow from the texts."""

import json
import random

import torch
from transformers import ModernBertConfig, ModernBertModel

from training import benchmark
from training.tokenizer import build_tokenizer, save_tokenizer


def small_encoder(folder):
    tokenizer = build_tokenizer("好坏吃住快慢的很也不店")
    save_tokenizer(tokenizer, folder)
    torch.manual_seed(1)
    ModernBertModel(
        ModernBertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=48,
            pad_token_id=0,
        )
    ).save_pretrained(folder)


def write_set(folder, count):
    rng = random.Random(5)
    folder.mkdir()
    for split in ("train", "dev", "test"):
        rows = []
        for _ in range(count):
            label = rng.randint(0, 1)
            filler = "".join(rng.choices("吃住快慢的很也不店", k=rng.randint(3, 12)))
            place = rng.randint(0, len(filler))
            rows.append({"text": filler[:place] + "坏好"[label] + filler[place:], "label": label})
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def test_a_rule_in_the_texts_is_learned_and_measured_on_unseen_ones(tmp_path, capsys):
    small_encoder(tmp_path / "encoder")
    write_set(tmp_path / "set", 160)
    command = ["--set", str(tmp_path / "set"), "--base", str(tmp_path / "encoder"), "--work", str(tmp_path / "work")]
    command += ["--epochs", "12", "--rate", "3e-3", "--batch-tokens", "256", "--threads", "1", "--quiet"]
    assert benchmark.main([*command, "--without-pretraining"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["test"] > 0.8 and result["test_documents"] == 160 and not result["pretrained"]
