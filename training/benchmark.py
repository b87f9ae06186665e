"""How strong an encoder is before it meets our task: accuracy on a public classification set, beside the same shape untrained.

A set is a folder with `train`, `dev` and `test`, each `.jsonl` or `.jsonl.xz` of objects with `text` and `label`. The
number of epochs is fixed beforehand; dev is printed to see the course, test is read once at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from nlp_compliance.inference.encode import CharacterTable, load_characters
from nlp_compliance.records import SPAN_LABELS
from training.dataset import Window, collate, empty_document_targets
from training.finetune import make_optimisers, rate_share, token_budget_batches
from training.model import SpanDocumentModel, start_model
from training.precision import mixed_precision
from training.pretrain import read_lines
from training.tokenizer import save_characters

_SCORED_TOKENS = 16_384


def read_split(
    folder: Path, split: str, table: CharacterTable, labels: dict[object, int], longest: int
) -> list[Window]:
    """One window for every text, cut to `longest`; its `owner` is the number of its label, new ones numbered in passing."""
    path = next(p for p in (folder / f"{split}.jsonl.xz", folder / f"{split}.jsonl") if p.is_file())
    rows = (json.loads(line) for line in read_lines(path))
    return [_window(table.encode(r["text"])[: longest - 2], labels.setdefault(r["label"], len(labels))) for r in rows]


def _window(ids: np.ndarray, label: int) -> Window:
    """As the corpus has them, without our own labels."""
    return Window(ids, np.zeros((len(ids), len(SPAN_LABELS)), dtype=np.int8), empty_document_targets(0.0), label)


def tensors(rows: Sequence[Window], table: CharacterTable) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and mask of shape (rows, longest), padded as `collate` does, and the labels."""
    arrays = collate(rows, table)
    return torch.from_numpy(arrays["ids"]), torch.from_numpy(arrays["mask"]), torch.tensor([r.owner for r in rows])


@torch.no_grad()
def accuracy(model: SpanDocumentModel, rows: Sequence[Window], table: CharacterTable) -> float:
    model.eval()
    right = 0
    for batch in token_budget_batches(rows, _SCORED_TOKENS, random.Random(0)):
        ids, mask, labels = tensors(batch, table)
        right += int((model(ids, mask)[1].argmax(-1) == labels).sum())
    return right / len(rows)


def run(args: argparse.Namespace) -> dict[str, object]:
    """Train on `train`; the accuracies and the seconds."""
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    save_characters(args.base, args.work)
    table = load_characters(args.work / "tokenizer.json")
    names: dict[object, int] = {}
    train, dev, test = (read_split(args.set, s, table, names, args.max_tokens) for s in ("train", "dev", "test"))
    model = start_model(args.base, dropout=0.1, without_pretraining=args.without_pretraining)
    model.document_head = nn.Linear(model.encoder.config.hidden_size, len(names))
    optimisers = make_optimisers(model, args)
    rng, started = random.Random(args.seed), time.perf_counter()
    for epoch in range(args.epochs):
        parts = list(token_budget_batches(train, args.batch_tokens, rng))
        model.train()
        for i, part in enumerate(tqdm(parts, desc=f"epoch {epoch + 1}", disable=args.quiet)):
            for group in (g for o in optimisers for g in o.param_groups):
                group["lr"] = group["peak"] * rate_share((epoch + i / len(parts)) / args.epochs)
            ids, mask, labels = tensors(part, table)
            model.zero_grad(set_to_none=True)
            with mixed_precision("cpu"):
                scores = model(ids, mask)[1]
            loss = nn.functional.cross_entropy(scores.float(), labels, label_smoothing=0.05)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in optimisers:
                optimiser.step()
        print(json.dumps({"epoch": epoch + 1, "dev": round(accuracy(model, dev, table), 4)}), flush=True)
    return {
        "set": args.set.name,
        "pretrained": not args.without_pretraining,
        "parameters": sum(p.numel() for p in model.encoder.parameters()),
        "dev": round(accuracy(model, dev, table), 4),
        "test": round(accuracy(model, test, table), 4),
        "test_documents": len(test),
        "seconds": round(time.perf_counter() - started),
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.benchmark", description=__doc__.split("\n")[0])
    parser.add_argument("--set", type=Path, required=True, help="folder of the set")
    parser.add_argument("--base", default="training/encoder", help="encoder by folder or hub name")
    parser.add_argument("--without-pretraining", action="store_true", help="the same shape with random weights")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--muon", type=float, default=1e-3)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--max-tokens", type=int, default=192)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    print(json.dumps(run(args)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
