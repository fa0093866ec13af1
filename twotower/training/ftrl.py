"""FTRL-Proximal, the optimiser of the wide part."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

from twotower.errors import BadConfig


class FTRL(torch.optim.Optimizer):
    """Follow the regularised leader with per-coordinate learning rates; l1 makes weights exactly zero.

    Source: McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013, algorithm 1.

    Args:
        params: parameters to optimise.
        lr: α of the paper.
        beta: β of the paper, smooths early steps.
        l1: λ1, strength of sparsity.
        l2: λ2, strength of shrinkage.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.05, beta: float = 1.0, l1: float = 0.0, l2: float = 0.0
    ) -> None:
        if lr <= 0 or beta < 0 or l1 < 0 or l2 < 0:
            raise BadConfig(f"FTRL: lr={lr} must be above 0; beta={beta}, l1={l1}, l2={l2} must not be negative")
        super().__init__(params, {"lr": lr, "beta": beta, "l1": l1, "l2": l2})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if moved:
                self._update_all(moved, group)
        return loss

    def _update_all(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Updates many small tables as one vector: coordinates do not know of each other."""
        for weight in parameters:
            if not self.state[weight]:
                # z starts so that the first weight is the given one, not zero (the paper starts from zero).
                z = -weight * (group["beta"] / group["lr"] + group["l2"])
                self.state[weight] = {"z": z, "n": torch.zeros_like(weight)}
        moved = [parameters, *([self.state[weight][name] for weight in parameters] for name in ("z", "n"))]
        flat = [_joined(tensors) for tensors in moved]
        self._update(flat[0], _joined([w.grad for w in parameters if w.grad is not None]), flat[1], flat[2], group)
        for tensors, updated in zip(moved, flat, strict=True):
            parts = torch.split(updated, [t.numel() for t in tensors])
            torch._foreach_copy_(tensors, [part.view_as(t) for part, t in zip(parts, tensors, strict=True)])

    def _update(self, weight: Tensor, gradient: Tensor, z: Tensor, n: Tensor, group: dict[str, Any]) -> None:
        """Algorithm 1 on every coordinate, in place."""
        grown = n + gradient.square()
        sigma = (grown.sqrt() - n.sqrt()) / group["lr"]
        z.add_(gradient - sigma * weight)
        n.copy_(grown)
        rate = (group["beta"] + n.sqrt()) / group["lr"] + group["l2"]
        shrunk = (z.abs() - group["l1"]).clamp_min(0)
        weight.copy_(-z.sign() * shrunk / rate)


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])
