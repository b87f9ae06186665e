"""Muon (Jordan et al. 2024): momentum updates of weight matrices made orthogonal before they are applied.

`torch.optim.Muon` does the orthogonalisation in bfloat16 everywhere, which made a whole training step about six times
slower on a processor without bfloat16 units; here it is bfloat16 only where there are some.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from training.precision import mixed_precision

# Coefficients of the quintic Newton-Schulz iteration, tuned by its author for slope at zero.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrix: torch.Tensor, *, steps: int = 5) -> torch.Tensor:
    """The nearest half-orthogonal matrix of the same shape, singular values within about 0.7 to 1.2."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled so that the root mean square of an update is like Adam's.

    `lr` per step, `momentum` and `weight_decay` without unit. Only two-dimensional parameters are allowed.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon takes matrices only; give vectors and embeddings to AdamW")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                velocity = state["velocity"].lerp_(parameter.grad, 1 - group["momentum"])
                with mixed_precision(parameter.device.type):
                    update = orthogonalised(parameter.grad.lerp(velocity, group["momentum"]))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                # 0.2 times the root of the longer side gives the update Adam's usual size (Liu et al. 2025).
                parameter.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(parameter.shape)))
