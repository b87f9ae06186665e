"""The mean of the weights of several runs that began at the same weights (Wortsman et al. 2022, "Model soups")."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training.model import SETTINGS, WEIGHTS


def average_runs(runs: Sequence[Path], shares: Sequence[float], out: Path) -> None:
    """Write the run whose weights are the mean of `runs`, weighted by `shares`; settings and tokenizer are the first one's.

    Raises ValueError where the runs differ in shape: only runs of one network can be averaged.
    """
    loaded = [load_file(run / WEIGHTS) for run in runs]
    shapes = [{name: tuple(w.shape) for name, w in weights.items()} for weights in loaded]
    for run, own in zip(runs[1:], shapes[1:], strict=True):
        if own != shapes[0]:
            odd = sorted(n for n in own.keys() | shapes[0].keys() if own.get(n) != shapes[0].get(n))
            raise ValueError(f"{run} is not of the shape of {runs[0]}: they differ in {', '.join(odd[:3])}")
    total = sum(shares)
    mean = {name: _mean([w[name] for w in loaded], [s / total for s in shares]) for name in loaded[0]}
    out.mkdir(parents=True, exist_ok=True)
    save_file(mean, out / WEIGHTS)
    for name in ("config.json", "tokenizer.json", SETTINGS):
        shutil.copyfile(runs[0] / name, out / name)


def _mean(weights: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    if not weights[0].is_floating_point():
        return weights[0]
    return sum((w.float() * s for w, s in zip(weights, shares, strict=True)), torch.zeros(())).contiguous()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.average", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN[:SHARE]", help="run folder and its share of the mean, 1 if none"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run")
    args = parser.parse_args(argv)
    pairs = [(run.rpartition(":") if ":" in run else (run, ":", "1")) for run in args.runs]
    average_runs([Path(p[0]) for p in pairs], [float(p[2]) for p in pairs], args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
