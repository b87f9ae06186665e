"""Muon (Jordan et al. 2024): momentum updates of weight matrices made orthogonal before they are applied.

`torch.optim.Muon` does the orthogonalisation in bfloat16 everywhere, which made a whole training step about six times
slower on a processor without bfloat16 units; here it is bfloat16 only where there are some, and then from end to end:
with every product cast to and fro an update of the shipped shape took three times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from training.precision import has_bfloat16

# Coefficients of the quintic Newton-Schulz iteration, tuned by its author for slope at zero.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrices: torch.Tensor, *, steps: int = 5) -> torch.Tensor:
    """The nearest half-orthogonal matrices to `matrices` of shape (n, rows, columns), singular values within about 0.7 to 1.2."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices
    wide = (wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)).contiguous()
    if has_bfloat16(matrices.device.type):
        wide = wide.bfloat16()
    for _ in range(steps):
        gram = wide @ wide.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        wide = torch.baddbmm(wide, polynomial, wide, beta=_A)
    return (wide.mT if tall else wide).to(matrices.dtype)


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
            for parameters in _by_shape(p for p in group["params"] if p.grad is not None):
                self._update(parameters, **{k: group[k] for k in ("lr", "momentum", "weight_decay")})

    def _update(self, parameters: list[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        """Matrices of one shape at a time: on a GPU the many small products would otherwise take as long as the network."""
        gradients = [p.grad for p in parameters]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["velocity"] = torch.zeros_like(parameter)
        velocities = [self.state[p]["velocity"] for p in parameters]
        torch._foreach_lerp_(velocities, gradients, 1 - momentum)
        updates = orthogonalised(torch.stack(torch._foreach_lerp(gradients, velocities, momentum)))
        torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        # 0.2 times the root of the longer side gives the update Adam's usual size (Liu et al. 2025).
        scale = lr * 0.2 * math.sqrt(max(parameters[0].shape))
        torch._foreach_add_(parameters, list(updates.unbind()), alpha=-scale)


def _by_shape(parameters: Iterable[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    groups: dict[torch.Size, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(parameter.shape, []).append(parameter)
    return groups.values()
