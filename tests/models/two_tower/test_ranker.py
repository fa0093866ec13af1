"""RankNetRanker: the same candidates in RankNet's order, in blocks, padding last."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from twotower.errors import BadConfig
from twotower.models.two_tower import ranker as module
from twotower.models.two_tower.rank_net import RankNet, WidePart
from twotower.models.two_tower.ranker import RankNetRanker
from twotower.types import NO_ITEM, Queries, Ragged, TopK

B, N, DIM = 6, 9, 4


class Towers:
    """Fixed vectors for B queries and N items."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.items = torch.randn(N, DIM)
        self.states = SimpleNamespace(vectors=torch.randn(B, DIM), wide=torch.randn(B))

    def encode(self, queries):
        return self.states


class Dot(torch.nn.Module):
    """Minus the dot product, plus the wide sum; remembers how many queries it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def forward(self, users, items, wide):
        self.asked.append(len(users))
        return wide - (users[:, None] * items).sum(-1)


@pytest.fixture
def towers():
    return Towers()


@pytest.fixture
def wide_items():
    return torch.linspace(-1, 1, N)


@pytest.fixture
def candidates():
    """Five of nine items per query, in some order; the last query has three."""
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(N)[:5] for _ in range(B)])
    scores = -np.sort(-rng.random((B, 5)).astype(np.float32))
    items[-1, 3:], scores[-1, 3:] = NO_ITEM, -np.inf
    return TopK(items, scores)


QUERIES = Queries.of(np.arange(B), Ragged.empty(B))


def expected_scores(towers, wide_items, items: np.ndarray) -> np.ndarray:
    u, v = towers.states.vectors.numpy(), towers.items.numpy()
    return towers.states.wide.numpy()[:, None] + wide_items.numpy()[items] - np.einsum("bd,bcd->bc", u, v[items])


def test_candidates_are_put_in_the_order_of_the_new_scores(towers, wide_items, candidates):
    ranked = RankNetRanker(Dot(), towers, wide_items).rank(QUERIES, candidates)
    for b in range(B):
        real = candidates.items[b][candidates.items[b] != NO_ITEM]
        scores = expected_scores(towers, wide_items, np.tile(real, (B, 1)))[b]
        order = np.argsort(-scores)
        np.testing.assert_array_equal(ranked.items[b, : len(real)], real[order])
        np.testing.assert_allclose(ranked.scores[b, : len(real)], scores[order], rtol=1e-5)


def test_padding_stays_last(towers, wide_items, candidates):
    ranked = RankNetRanker(Dot(), towers, wide_items).rank(QUERIES, candidates)
    assert ranked.items[-1, 3:].tolist() == [NO_ITEM, NO_ITEM]
    assert np.isneginf(ranked.scores[-1, 3:]).all()


@pytest.mark.parametrize("pairs", [1, 10, 12])
def test_blocks_change_nothing_but_their_size(towers, wide_items, candidates, pairs, monkeypatch):
    whole = RankNetRanker(Dot(), towers, wide_items).scores(QUERIES, candidates)
    monkeypatch.setattr(module, "PAIRS", pairs)
    net = Dot()
    np.testing.assert_allclose(RankNetRanker(net, towers, wide_items).scores(QUERIES, candidates), whole, rtol=1e-6)
    assert max(net.asked) <= max(1, pairs // 5)
    assert sum(net.asked) == B


def test_no_queries_and_no_candidates_are_answered(towers, wide_items):
    ranker = RankNetRanker(Dot(), towers, wide_items)
    none = Queries.of(np.empty(0, int))
    assert ranker.rank(none, TopK(np.empty((0, 5), np.int64), np.empty((0, 5), np.float32))).items.shape == (0, 5)


def test_equal_scores_are_ordered_by_item(towers):
    class Same(torch.nn.Module):
        def forward(self, users, items, wide):
            return torch.zeros(len(users), items.shape[1])

    items = np.array([[4, 2, 7]] * B)
    ranked = RankNetRanker(Same(), towers, torch.zeros(N)).rank(QUERIES, TopK(items, np.zeros((B, 3), np.float32)))
    assert ranked.items[0].tolist() == [2, 4, 7]


def test_every_item_gets_the_logit_that_it_gets_as_a_candidate(towers, wide_items):
    net = RankNet(dim=DIM, wide=WidePart(static_sizes={}, profile_sizes={}, item_sizes={})).eval()
    torch.nn.init.normal_(net.deep.weight)
    ranker, items = RankNetRanker(net, towers, wide_items), np.array([1, 4, 5, 8])
    every = TopK(np.tile(items, (B, 1)), np.zeros((B, 4), np.float32))
    np.testing.assert_allclose(
        ranker.scores_everywhere(QUERIES, items), ranker.scores(QUERIES, every), rtol=1e-4, atol=1e-5
    )


def test_a_scorer_that_is_no_rank_net_cannot_score_every_item(towers, wide_items):
    with pytest.raises(BadConfig, match="not a Dot"):
        RankNetRanker(Dot(), towers, wide_items).scores_everywhere(QUERIES, np.arange(N))
