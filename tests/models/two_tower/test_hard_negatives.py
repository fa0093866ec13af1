"""Hard negatives: the best wrong items, of the whole of a small catalogue or of a random part of a large one."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twotower.models.two_tower import hard_negatives as module
from twotower.models.two_tower.hard_negatives import hard_negatives, log_draw_rate
from twotower.types import Ragged

P, N, DIM = 20, 60, 6


@pytest.fixture
def vectors():
    torch.manual_seed(0)
    return F.normalize(torch.randn(P, DIM), dim=1), F.normalize(torch.randn(N, DIM), dim=1)


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    return Ragged.from_lists([np.sort(rng.choice(N, rng.integers(0, 30), replace=False)) for _ in range(P)])


def ranks(vectors, known) -> np.ndarray:
    """Rank of every item among a user's wrong ones, 0 the best; N for known ones. Shape [P, N]."""
    scores = (vectors[0] @ vectors[1].T).numpy()
    found = np.full((P, N), N)
    for p in range(P):
        wrong = np.setdiff1d(np.arange(N), known[p])
        found[p, wrong[np.argsort(-scores[p, wrong])]] = np.arange(len(wrong))
    return found


def test_all_are_among_the_best_wrong_items_and_none_twice(vectors, known):
    items = hard_negatives(*vectors, known, n=5, n_hard=8, rng=np.random.default_rng(0))[0]
    assert (np.take_along_axis(ranks(vectors, known), items, 1) < 8).all()
    assert all(len(set(row)) == 5 for row in items)


def test_as_many_as_there_are_hard_ones_are_exactly_those(vectors, known):
    items = hard_negatives(*vectors, known, n=8, n_hard=3, rng=np.random.default_rng(0))[0]
    np.testing.assert_array_equal(np.sort(np.take_along_axis(ranks(vectors, known), items, 1)), [np.arange(8)] * P)


def test_of_a_large_catalogue_a_part_is_searched_and_known_items_still_do_not_come(vectors, known, monkeypatch):
    monkeypatch.setattr(module, "POOL", 30)
    drawn = [hard_negatives(*vectors, known, n=3, n_hard=20, rng=np.random.default_rng(seed))[0] for seed in range(200)]
    found = np.stack([np.take_along_axis(ranks(vectors, known), items, 1) for items in drawn])
    assert found.max() < N  # no known one
    assert np.median(found) < 20  # the best 10 of half the catalogue are about the best 20 of all
    assert len(np.unique(np.stack(drawn))) == N  # the part changes


def test_users_who_know_nothing_are_served(vectors):
    items = hard_negatives(*vectors, Ragged.empty(P), n=2, n_hard=2, rng=np.random.default_rng(0))[0]
    assert items.shape == (P, 2)


def test_draw_rates_add_up_both_ways_of_being_drawn():
    # 1,000 items, the 50 best are hard: 8 hard and 4 uniform negatives a position.
    cosine = torch.tensor([[0.9, 0.2]])
    rate = log_draw_rate(cosine, torch.tensor([0.5]), n_hard=50, drawn_hard=8, n_items=1000, drawn_uniform=4).exp()
    assert rate.tolist() == [[pytest.approx(8 / 50 + 4 / 1000), pytest.approx(4 / 1000)]]


def test_the_border_is_the_cosine_of_the_last_hard_item(vectors, known):
    users, index = vectors
    border = hard_negatives(users, index, Ragged.empty(len(users)), n=1, n_hard=3, rng=np.random.default_rng(0))[1]
    assert torch.equal(border, (users @ index.T).topk(3, dim=1).values[:, -1])


def test_an_item_on_the_border_counts_as_hard_whatever_its_rounding(vectors, known):
    """The border comes out of one matrix product, the cosine that is compared with it out of sums of products."""
    users, index = vectors
    items, border = hard_negatives(users, index, known, n=4, n_hard=4, rng=np.random.default_rng(0))
    cosine = (users[:, None] * index[torch.as_tensor(items)]).sum(-1)
    rate = log_draw_rate(cosine, border, n_hard=4, drawn_hard=4, n_items=N, drawn_uniform=6).exp()
    torch.testing.assert_close(rate, torch.full((P, 4), 4 / 4 + 6 / N))


def test_inside_autocast_the_border_is_still_exact(vectors, known):
    plain = hard_negatives(*vectors, known, n=4, n_hard=8, rng=np.random.default_rng(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = hard_negatives(*vectors, known, n=4, n_hard=8, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(plain[0], cast[0])
    torch.testing.assert_close(plain[1], cast[1])
