"""History networks: no position sees a later item; mean and attention by NumPy."""

import numpy as np
import pytest
import torch

from twotower.errors import BadConfig
from twotower.nn.histories import AttentionHistory, MeanHistory, history_net

KINDS = ("mean", "attention", "transformer")
B, H, D = 3, 9, 8


def network(kind: str) -> torch.nn.Module:
    torch.manual_seed(1)
    return history_net(kind, dim=D, length=H, layers=2, heads=2, dropout=0.1).eval()


@pytest.fixture
def vectors() -> torch.Tensor:
    return torch.randn(B, H, D, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_changing_an_item_changes_no_earlier_position_and_its_own(kind, vectors):
    net = network(kind)
    before = net(vectors)
    for t in range(H):
        changed = vectors.clone()
        changed[:, t] += 1
        after = net(changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=0)
        assert (after[:, t] != before[:, t]).any(dim=-1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_history_gives_the_same_as_the_beginning_of_a_longer_one(kind, vectors):
    net = network(kind)
    torch.testing.assert_close(net(vectors[:, :4]), net(vectors)[:, :4])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_see_each_other(kind, vectors):
    net = network(kind)
    torch.testing.assert_close(net(vectors[1:2]), net(vectors)[1:2])


def test_mean_is_the_mean_so_far(vectors):
    x = vectors.numpy()
    expected = np.stack([x[:, : t + 1].mean(axis=1) for t in range(H)], axis=1)
    np.testing.assert_allclose(MeanHistory()(vectors).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_attention_is_the_softmax_weighted_mean_so_far(vectors):
    torch.manual_seed(2)
    net = AttentionHistory(dim=D)
    x = vectors.double().numpy()
    weight, bias = net.hidden.weight.detach().double().numpy(), net.hidden.bias.detach().double().numpy()
    scores = np.tanh(x @ weight.T + bias) @ net.score.weight.detach().double().numpy()[0]  # [B, H]
    expected = np.empty_like(x)
    for t in range(H):
        shares = np.exp(scores[:, : t + 1])
        shares /= shares.sum(axis=1, keepdims=True)
        expected[:, t] = (shares[:, :, None] * x[:, : t + 1]).sum(axis=1)
    np.testing.assert_allclose(net(vectors).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_transformer_tells_orders_apart_and_the_mean_does_not(vectors):
    swapped = vectors[:, [1, 0, *range(2, H)]]
    assert not torch.allclose(network("transformer")(swapped)[:, -1], network("transformer")(vectors)[:, -1])
    torch.testing.assert_close(network("mean")(swapped)[:, -1], network("mean")(vectors)[:, -1])


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(BadConfig, match=r"history='gru' is unknown; use mean"):
        network("gru")


def test_a_dimension_that_the_heads_do_not_divide_is_refused():
    with pytest.raises(BadConfig, match=r"dim=9 must be a multiple of history_heads=2"):
        history_net("transformer", dim=9, length=4, layers=1, heads=2, dropout=0)
