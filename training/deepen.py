"""A deeper encoder out of a trained one: after every layer a copy of it that at first changes nothing (Chen et al. 2016).

The copies' output projections are zero, so the deeper encoder begins as the function that the shallower one has learned
and fine-tuning goes on from there: `python -m training.deepen --out runs/deep`, then `training.finetune --base runs/deep`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from transformers import AutoModel, ModernBertModel

from training.finetune import ENCODER
from training.wordtable import FILE as WORDS

COPIED = ("tokenizer.json", "tokenizer_config.json", WORDS)


def deepen(encoder: ModernBertModel) -> ModernBertModel:
    """The encoder with twice the layers and, up to rounding, the same hidden states.

    Raises ValueError for other architectures than ModernBERT and where layers attend in different ways.
    """
    config = deepcopy(encoder.config)
    if config.model_type != "modernbert" or len(set(config.layer_types)) != 1:
        raise ValueError(f"a {config.model_type} cannot be deepened; only ModernBERT with one kind of attention")
    config.num_hidden_layers *= 2
    config.layer_types = config.layer_types * 2
    deep = ModernBertModel(config)
    weights = encoder.state_dict()
    grown = {name: w for name, w in weights.items() if not name.startswith("layers.")}
    for name, weight in weights.items():
        if name.startswith("layers."):
            index, _, rest = name.removeprefix("layers.").partition(".")
            grown[f"layers.{2 * int(index)}.{rest}"] = weight
            idle = rest in ("attn.Wo.weight", "mlp.Wo.weight")
            grown[f"layers.{2 * int(index) + 1}.{rest}"] = torch.zeros_like(weight) if idle else weight
    # Not strict: the first layer has no norm before its attention, its copy has one, which starts at one.
    deep.load_state_dict(grown, strict=False)
    return deep


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.deepen", description=__doc__.split("\n")[0])
    parser.add_argument("--base", type=Path, default=ENCODER, help="folder of an encoder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the deeper one")
    args = parser.parse_args(argv)
    deep = deepen(AutoModel.from_pretrained(args.base, dtype=torch.float32))
    deep.save_pretrained(args.out)
    for name in COPIED:
        if (args.base / name).is_file():
            shutil.copyfile(args.base / name, args.out / name)
    print(
        f"{args.out}: {deep.config.num_hidden_layers} layers, {sum(p.numel() for p in deep.parameters()):,} parameters"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
