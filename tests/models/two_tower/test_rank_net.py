"""RankNet: its first layer in parts equals one layer on the concatenation; untrained it orders by cosine."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twotower.features.encoded import EncodedTable
from twotower.models.two_tower.rank_net import RankNet, WidePart
from twotower.nn.losses import preference_softmax
from twotower.nn.tensors import FeatureTensors

P, C, DIM = 5, 7, 6


def scorer(**options) -> RankNet:
    torch.manual_seed(0)
    wide = WidePart(static_sizes={"city": 3}, profile_sizes={"make": 4}, item_sizes={"make": 4})
    return RankNet(**{"dim": DIM, "wide": wide, "dropout": 0.0} | options).eval()


@pytest.fixture
def towers() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    users, items = F.normalize(torch.randn(P, DIM), dim=-1), F.normalize(torch.randn(P, C, DIM), dim=-1)
    return users, items, torch.zeros(P, C)


@pytest.mark.parametrize(("dim", "first"), [(6, 16), (8, 16), (64, 128), (78, 256)])
def test_widths_are_those_of_the_reference(dim, first):
    net = RankNet(dim=dim, wide=scorer().wide)
    assert net.user_layer.out_features == first  # 2^⌈log2(2 · dim)⌉
    linear = [layer for layer in net.rest if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [first // 2, first // 4]
    assert net.deep.in_features == first // 4


def test_dropout_is_on_the_second_layer():
    kinds = [type(layer).__name__ for layer in scorer(dropout=0.5).rest]
    assert kinds == ["Linear", "ELU", "FairDropout", "Linear"]


@pytest.mark.parametrize("interactions", [True, False])
def test_the_split_first_layer_equals_one_layer_on_the_concatenation(interactions, towers):
    net = scorer(interactions=interactions)
    nn.init.normal_(net.deep.weight)
    users, items, wide = towers
    scale = DIM**0.5
    parts, weights = [(users * scale)[:, None].expand(-1, C, -1), items * scale], [net.user_layer, net.item_layer]
    cosine = (users[:, None] * items).sum(-1)
    if interactions:
        parts += [users[:, None] * items * DIM, cosine[..., None]]
        weights.append(net.cross_layer)
    weight = torch.cat([layer.weight for layer in weights], dim=1)
    hidden = F.elu(F.linear(torch.cat(parts, dim=-1), weight, net.user_layer.bias))
    expected = net.deep(F.elu(net.rest(hidden)))[..., 0] + (10 * cosine if interactions else 0)
    torch.testing.assert_close(net(users, items, wide), expected)


def test_untrained_it_orders_as_the_cosine_does(towers):
    users, items, wide = towers
    cosine = (users[:, None] * items).sum(-1)
    torch.testing.assert_close(scorer(temperature=0.05)(users, items, wide), cosine / 0.05)


def test_the_published_network_has_neither_product_nor_direct_path():
    net = scorer(interactions=False)
    assert net.cross_layer is None
    assert net.direct is None
    assert net.deep.weight.abs().sum() > 0


def test_the_wide_sum_is_added_to_the_logit(towers):
    users, items, _ = towers
    net, wide = scorer(), torch.randn(P, C)
    torch.testing.assert_close(net(users, items, wide), net(users, items, torch.zeros(P, C)) + wide)


def test_the_same_candidates_may_be_given_once_for_all_rows(towers):
    users, items, wide = towers
    shared = items[:1]
    torch.testing.assert_close(scorer()(users, shared, wide), scorer()(users, shared.expand(P, -1, -1), wide))


def test_after_one_step_the_deep_part_has_gradients_everywhere(towers):
    net = scorer().train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

    def backward() -> set[str]:
        optimizer.zero_grad()
        logits = net(*towers)
        preference_softmax(logits[:, 0], logits[:, 1:]).backward()
        return {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 1e-6}

    assert backward() == {"deep.weight", "direct"}  # the deep part starts silent
    optimizer.step()
    layers = ("user_layer", "item_layer", "cross_layer", "rest.0", "rest.3", "deep")
    assert {f"{layer}.weight" for layer in layers} <= backward()


def test_training_adds_what_the_cosine_misses():
    """One item suits nobody although all vectors say so: RankNet learns it from e_v alone, whatever the cosine."""
    torch.manual_seed(2)
    users, items = F.normalize(torch.randn(64, DIM), dim=-1), F.normalize(torch.randn(9, DIM), dim=-1)
    net = copy.deepcopy(scorer()).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    others = items[torch.randint(1, 9, (64, 1))]
    for _ in range(60):
        optimizer.zero_grad()
        logits = net(users, torch.cat([others, items[:1].expand(64, 1, -1)], dim=1), torch.zeros(64, 2))
        preference_softmax(logits[:, 0], logits[:, 1:]).backward()
        optimizer.step()
    scores = net.eval()(users, items[None], torch.zeros(64, 9))
    assert (scores[:, 0] < scores[:, 1:].mean(1)).float().mean() > 0.95


def test_the_wide_part_adds_a_weight_per_value_on_either_side():
    wide = scorer().wide
    wide.static.tables[0].data[:, 0] = torch.tensor([0.0, 1.0, 2.0])
    wide.profile.tables[0].data[:, 0] = torch.tensor([0.0, 10.0, 20.0, 30.0])
    wide.item.tables[0].data[:, 0] = torch.tensor([0.0, 0.1, 0.2, 0.3])

    def rows(name: str, size: int, codes: list[int]) -> FeatureTensors:
        table = EncodedTable({name: size}, {name: np.array(codes, np.int32)}, np.zeros((len(codes), 0), np.float32), ())
        return FeatureTensors.of(table, torch.device("cpu"))

    assert wide.users(rows("city", 3, [1, 2]), rows("make", 4, [3, 1])).tolist() == [31, 12]
    assert wide.items(rows("make", 4, [2, 0])).tolist() == pytest.approx([0.2, 0])
