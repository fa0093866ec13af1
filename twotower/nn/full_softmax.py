"""Softmax over a whole catalogue without ever holding all of its logits: exact, in chunks of positions."""

from typing import Any

import torch
from torch import Tensor

CHUNK = 256
"""Positions per chunk: 256 × 4,000 items of float32 are 4 MB and stay in cache."""


def full_softmax_loss(users: Tensor, items: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Mean negative log-probability of the target under softmax(users · items / temperature).

    Equals `retrieval_softmax(scale_by_temperature(users @ items.T, temperature), target)`, value and gradients, but
    the [P, N] logits exist for one chunk of positions at a time, and their gradient is formed in the forward pass while
    they are at hand. Memory: CHUNK × N instead of about three times P × N. Always in float32: sums over a catalogue
    lose too much in the bfloat16 of an autocast region.

    Source: the fused linear cross-entropy of Hsu et al., "Liger Kernel", 2024, section 3.2, in plain torch.

    Args:
        users: one vector per position. Shape [P, D].
        items: the whole catalogue. Shape [N, D].
        target: item of each position. Shape [P].
        temperature: divides the dot products.
    """
    with torch.autocast(users.device.type, enabled=False):
        vectors = users.float(), items.float()
        loss: Tensor = _FullSoftmax.apply(*vectors, target, temperature)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, target: Tensor, temperature: float) -> Tensor:
        n = len(users)
        scaled = users / temperature
        user_grad, item_grad = torch.empty_like(users), torch.zeros_like(items)
        loss = users.new_zeros((), dtype=torch.float32)
        for low in range(0, n, CHUNK):
            high = min(low + CHUNK, n)
            logits = scaled[low:high] @ items.T
            logits -= logits.amax(dim=1, keepdim=True)
            own = logits.gather(1, target[low:high, None])
            shares = logits.exp_()
            total = shares.sum(dim=1, keepdim=True)
            loss += (total.log() - own).float().sum()
            shares /= total  # p
            shares.scatter_add_(1, target[low:high, None], torch.full_like(own, -1.0))  # p - 1 at the target
            torch.mm(shares, items, out=user_grad[low:high])
            item_grad.addmm_(shares.T, scaled[low:high])
        ctx.save_for_backward(user_grad.div_(n * temperature), item_grad.div_(n))
        return loss / n

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        user_grad, item_grad = ctx.saved_tensors
        return user_grad * outputs[0], item_grad * outputs[0], None, None
