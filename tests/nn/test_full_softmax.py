"""The chunked softmax equals the plain one: value, gradients, any number of positions."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from twotower.nn import full_softmax
from twotower.nn.full_softmax import CHUNK, full_softmax_loss

N_ITEMS, DIM = 37, 5


def random_inputs(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit users and items that ask for a gradient, and targets."""
    torch.manual_seed(n)
    users, items = (F.normalize(torch.randn(rows, DIM), dim=1).requires_grad_() for rows in (n, N_ITEMS))
    return users, items, torch.randint(N_ITEMS, (n,))


@pytest.mark.parametrize("n", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 77])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_value_and_gradients_are_those_of_the_plain_cross_entropy(n, temperature):
    users, items, target = random_inputs(n)
    ours = full_softmax_loss(users, items, target, temperature)
    plain = F.cross_entropy(users @ items.T / temperature, target)
    torch.testing.assert_close(ours, plain)
    ours_by, plain_by = (torch.autograd.grad(3 * loss, (users, items)) for loss in (ours, plain))  # 3: a weight on it
    torch.testing.assert_close(ours_by, plain_by, rtol=1e-4, atol=1e-6)


def test_logits_that_would_overflow_do_not():
    users, items, target = random_inputs(10)
    loss = full_softmax_loss(100 * users, 100 * items, target, 0.01)
    torch.testing.assert_close(loss, F.cross_entropy(users @ items.T * 1e6, target))


def test_the_chunk_size_changes_nothing(monkeypatch):
    users, items, target = random_inputs(50)
    whole = full_softmax_loss(users, items, target, 0.1)
    monkeypatch.setattr(full_softmax, "CHUNK", 7)
    torch.testing.assert_close(full_softmax_loss(users, items, target, 0.1), whole)


def test_inside_autocast_it_is_computed_in_float32():
    users, items, target = random_inputs(300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = full_softmax_loss(users, items, target, 0.1)
        loss.backward()
    assert loss.dtype == users.grad.dtype == torch.float32
    torch.testing.assert_close(loss, full_softmax_loss(users, items, target, 0.1), rtol=0, atol=0)
