"""EveryItem: RankNet over many items for many users gives RankNet's own logits, whatever the blocks."""

import pytest
import torch

from twotower.models.two_tower import full_scoring as every_item
from twotower.models.two_tower.full_scoring import EveryItem
from twotower.models.two_tower.rank_net import RankNet, WidePart

DIM, ITEMS, USERS = 6, 23, 5


def parts(interactions: bool) -> tuple[RankNet, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A RankNet whose weights all matter, unit vectors of items and users, and wide shares of both."""
    torch.manual_seed(1)
    net = RankNet(
        dim=DIM, wide=WidePart(static_sizes={}, profile_sizes={}, item_sizes={}), interactions=interactions
    ).eval()
    for weight in net.parameters():
        weight.data.normal_()
    items, users = (torch.nn.functional.normalize(torch.randn(n, DIM), dim=1) for n in (ITEMS, USERS))
    return net, items, users, torch.randn(ITEMS), torch.randn(USERS)


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("interactions", [False, True])
@torch.inference_mode()
def test_logits_are_those_of_rank_net(monkeypatch, interactions, block):
    monkeypatch.setattr(every_item, "BLOCK", block)
    net, items, users, wide_items, wide_users = parts(interactions)
    logits = EveryItem(net, items, wide_items).scores(users, wide_users)
    expected = net(users, items[None], wide_users[:, None] + wide_items)
    assert expected.std() > 1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(every_item, "BLOCK", 4)
    net, items, users, wide_items, wide_users = parts(interactions=True)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(EveryItem(net, items, wide_items).scores(users, wide_users))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])


@torch.inference_mode()
def test_elu_is_exact_far_from_zero():
    values = torch.tensor([-200.0, -88.0, -1.0, -1e-4, 0.0, 1e-4, 3.0, 1e6])
    expected = torch.nn.functional.elu(values.double()) + 1
    every_item._add_one_to_elu(values, torch.empty_like(values))
    torch.testing.assert_close(values.double(), expected, rtol=1e-6, atol=1e-7)


@torch.inference_mode()
def test_no_users_give_no_rows():
    net, items, users, wide_items, wide_users = parts(interactions=True)
    assert EveryItem(net, items, wide_items).scores(users[:0], wide_users[:0]).shape == (0, ITEMS)
