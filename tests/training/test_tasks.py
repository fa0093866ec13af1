"""The usual tasks: every event once an epoch, the same draws after a resume, and shares that add up to the batch."""

import numpy as np
import pytest
import torch
from torch import nn

from twotower.nn.distributed import Workers
from twotower.training.negatives import UniformNegatives
from twotower.training.tasks import PositivesWithNegatives, ValuedPairs


@pytest.fixture
def events(split):
    return split.train.unique_pairs()


def task_of(events, kind: str, rank: int = 0, size: int = 1, batch_size: int = 32):
    """A task that keeps what its loss is given in `seen`."""
    torch.manual_seed(0)
    module = nn.Embedding(events.n_users, events.n_items)
    usual = {
        "module": module, "optimizers": [], "events": events, "batch_size": batch_size, "seed": 5,
        "workers": Workers(rank, size),
    }  # fmt: skip
    seen = []

    def value_loss(users, items, values):
        seen.append((users, items, values))
        return (module.weight[users, items] - values).square().mean()

    def contrast_loss(users, positives, negatives):
        seen.append((users, positives, negatives))
        behind = module.weight[users[:, None], negatives] - module.weight[users, positives][:, None]
        return nn.functional.softplus(behind).mean()

    if kind == "values":
        return ValuedPairs(**usual, loss=value_loss), seen
    sampler = UniformNegatives(events)
    return PositivesWithNegatives(**usual, loss=contrast_loss, sampler=sampler, n_negatives=3), seen


def run(task, epoch: int, start: int = 0) -> list[float]:
    return [step()[0].item() for _, step in task.batches(epoch, start)]


@pytest.mark.parametrize("kind", ["values", "contrasts"])
def test_every_event_comes_once_an_epoch_in_another_order_each_time(events, kind):
    task, seen = task_of(events, kind)
    orders = []
    for epoch in (0, 1):
        seen.clear()
        assert len(run(task, epoch)) == task.n_batches(epoch) == -(-len(events) // 32)
        keys = torch.cat([users * events.n_items + items for users, items, _ in seen])
        np.testing.assert_array_equal(np.sort(keys), np.sort(events.pair_keys()))
        orders.append(keys.tolist())
    assert orders[0] != orders[1]
    assert sum(n for n, _ in task.batches(0, 0)) == len(events)


def test_values_stay_with_their_pairs(events):
    valued = type(events).of(
        events.user, events.item, events.time, value=events.pair_keys() % 97, n_users=events.n_users,
        n_items=events.n_items,
    )  # fmt: skip
    task, seen = task_of(valued, "values")
    run(task, 0)
    for users, items, values in seen:
        torch.testing.assert_close(values, ((users * events.n_items + items) % 97).float())


def test_negatives_are_unknown_to_the_user_and_new_in_each_epoch(events):
    task, seen = task_of(events, "contrasts", batch_size=10_000)
    known = set(events.pair_keys().tolist())
    run(task, 0)
    run(task, 1)
    for users, _, negatives in seen:
        assert negatives.shape == (len(events), 3)
        assert not known & set((users[:, None] * events.n_items + negatives).flatten().tolist())
    by_user = [sorted(zip(users.tolist(), negatives.tolist(), strict=True)) for users, _, negatives in seen]
    assert by_user[0] != by_user[1]


@pytest.mark.parametrize("kind", ["values", "contrasts"])
def test_from_any_batch_on_an_epoch_goes_on_as_it_would_have(events, kind):
    task, _ = task_of(events, kind)
    whole = run(task, 2)
    assert [run(task, 2, start) for start in (1, 4)] == [whole[1:], whole[4:]]


@pytest.mark.parametrize("kind", ["values", "contrasts"])
@pytest.mark.parametrize(("size", "batch_size"), [(2, 32), (3, 32), (5, 2)])
def test_what_processes_find_for_their_shares_adds_up_to_what_one_finds(events, kind, size, batch_size):
    """Losses and gradients; of a batch of 2, three of five processes have nothing."""
    few = events.where(np.arange(len(events)) < 50)

    def losses_and_gradient(rank: int, of: int):
        task, _ = task_of(few, kind, rank, of, batch_size)
        losses = [step()[0] for _, step in task.batches(0, 0)]
        torch.stack(losses).sum().backward()
        return torch.stack(losses).detach(), task.module.weight.grad

    alone = losses_and_gradient(0, 1)
    shares = [losses_and_gradient(rank, size) for rank in range(size)]
    for whole, parts in zip(alone, zip(*shares, strict=True), strict=True):
        torch.testing.assert_close(torch.stack(parts).sum(0), whole)
