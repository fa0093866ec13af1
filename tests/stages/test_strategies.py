"""The three strategies: what is asked of the index, how places are shared among cells, that no list comes out short."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.cells import Cells
from twotower.ann.exact import ExactIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.ann.vectors import unit
from twotower.errors import BadConfig
from twotower.models.two_tower.ranker import RankNetCells, RankNetRanker
from twotower.stages.cluster_retriever import ClusterRetriever, completed, quotas
from twotower.stages.pseudo_encoder import PseudoEncoder
from twotower.stages.retriever import Retriever
from twotower.stages.strategies import retriever_for
from twotower.types import NO_ITEM, Queries, Ragged

N, D, N_CELLS = 240, 8, 12
RNG = np.random.default_rng(4)
VECTORS = unit(RNG.normal(size=(N, D)).astype(np.float32))
USERS = unit(RNG.normal(size=(5, D)).astype(np.float32))
INDEX = KMeansIndex(cells=N_CELLS, nprobe=2).build(VECTORS)


class Towers:
    """The vector of user u is row u of a table."""

    items = torch.as_tensor(VECTORS)

    def user_vectors(self, queries):
        return USERS[queries.users]


class FixedScores:
    """The same scores of the cells for every query."""

    def __init__(self, scores):
        self.fixed = np.asarray(scores, np.float32)

    def scores(self, queries):
        return np.tile(self.fixed, (len(queries), 1))


def asked(*histories, exclusions=None):
    rows = Ragged.from_lists(histories)
    return Queries(np.arange(len(rows)), rows, Ragged.from_lists(exclusions or [[]] * len(rows)))


def mean_of(*items):
    return unit(VECTORS[list(items)].mean(axis=0))


def cluster(scores, *, index=INDEX, vectors=VECTORS, n_cells=3):
    cells = completed(index.partition, vectors)
    return ClusterRetriever(Towers(), index, vectors, cells, FixedScores(scores), n_cells=n_cells)


# pseudo


def test_pseudo_asks_with_the_mean_of_the_items_repeats_counting_again():
    found = PseudoEncoder(Towers(), VECTORS, "inner_product").user_vectors(asked([3, 7], [3, 3, 7]))
    np.testing.assert_allclose(found, [mean_of(3, 7), mean_of(3, 3, 7)], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_pseudo_reads_the_newest_events_only_and_no_unknown_items():
    found = PseudoEncoder(Towers(), VECTORS, "cosine", recent=2).user_vectors(asked([9, 9, 4, NO_ITEM, 5]))
    np.testing.assert_allclose(found[0], mean_of(4, 5), rtol=1e-5)


def test_pseudo_keeps_the_length_of_the_mean_where_distances_depend_on_it():
    found = PseudoEncoder(Towers(), VECTORS, "euclidean").user_vectors(asked([3, 7]))
    np.testing.assert_allclose(found[0], VECTORS[[3, 7]].mean(axis=0), rtol=1e-5)


def test_pseudo_asks_with_the_users_vector_where_the_history_says_nothing():
    opposite = np.concatenate([VECTORS[:1], -VECTORS[:1]])  # cancel out
    found = PseudoEncoder(Towers(), opposite, "cosine").user_vectors(asked([], [0, 1], [1], [NO_ITEM]))
    np.testing.assert_allclose(found[[0, 1, 3]], USERS[[0, 1, 3]])
    np.testing.assert_allclose(found[2], opposite[1], rtol=1e-6)


def test_pseudo_over_an_exact_index_gives_the_items_nearest_to_the_mean():
    retriever = Retriever(PseudoEncoder(Towers(), VECTORS, "inner_product"), ExactIndex().build(VECTORS), VECTORS)
    order = np.argsort(-(VECTORS @ mean_of(1, 2, 3)), kind="stable")
    expected = [i for i in order if i not in (1, 2, 3)][:10]
    assert retriever.retrieve(asked([1, 2, 3], exclusions=[[1, 2, 3]]), 10).items[0].tolist() == expected


# shares of the cells


def test_places_are_shared_in_proportion_and_rest_goes_to_the_largest_remainders():
    # 10 places at 5/9, 3/9, 1/9: 5.56, 3.33, 1.11; whole 5, 3, 1; the one left goes to .56
    assert quotas(np.log([5.0, 3.0, 1.0]), np.array([99, 99, 99]), 10).tolist() == [6, 3, 1]


def test_equal_remainders_go_to_the_better_cell():
    assert quotas(np.zeros(4), np.full(4, 99), 6).tolist() == [2, 2, 1, 1]  # 1.5 each


def test_what_a_cell_cannot_fill_goes_to_the_others_even_if_their_share_rounds_to_zero():
    assert quotas(np.array([5000.0, 0.0, -5000.0]), np.array([4, 3, 9]), 9).tolist() == [4, 3, 2]


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.integers(0, 30)), min_size=1, max_size=20),
    st.integers(1, 200),
)
def test_every_place_is_given_that_some_cell_can_fill_and_none_twice(cells, n):
    scores, sizes = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])
    given_places = quotas(scores, sizes, n)
    assert (given_places >= 0).all()
    assert (given_places <= sizes).all()
    assert given_places.sum() == min(n, sizes.sum())


# cluster


def test_cluster_fills_quotas_with_the_nearest_of_the_best_cells():
    scores = np.full(N_CELLS, -50.0)
    scores[[7, 2]] = np.log([3, 1])
    found = cluster(scores, n_cells=2).retrieve(asked([]), 8)  # 6 from cell 7, 2 from cell 2
    expected = set()
    for cell, places in ((7, 6), (2, 2)):
        members = INDEX.partition.members[cell]
        assert len(members) >= places
        expected |= set(members[np.argsort(-(VECTORS[members] @ USERS[0]), kind="stable")[:places]].tolist())
    assert set(found.items[0].tolist()) == expected
    np.testing.assert_allclose(found.scores[0], VECTORS[found.items[0]] @ USERS[0], rtol=1e-4, atol=1e-6)
    assert (np.diff(found.scores[0]) <= 0).all()


def test_cluster_opens_further_cells_where_the_best_hold_too_few():
    scores, best = -np.arange(N_CELLS, dtype=np.float32), INDEX.partition.members[0]
    first = INDEX.partition.members[1]
    found = cluster(scores, n_cells=1).retrieve(asked([]), len(best) + 1)
    inside = set(found.items[0].tolist())
    assert len(inside) == len(best) + 1
    assert inside <= set(best.tolist()) | set(first.tolist())


@given(
    st.lists(st.lists(st.integers(0, N - 1), max_size=N), min_size=1, max_size=5),
    st.integers(1, N + 9),
    st.floats(0, 1),
    st.integers(1, N_CELLS),
    st.integers(0, 99),
)
def test_no_list_holds_what_it_must_not_or_lacks_what_it_could_hold(exclusions, k, share, n_cells, seed):
    rng = np.random.default_rng(seed)
    allowed, scores = rng.random(N) < share, 30 * rng.normal(size=N_CELLS)
    queries = asked(*[[]] * len(exclusions), exclusions=exclusions)
    found = cluster(scores, n_cells=n_cells).retrieve(queries, k, allowed)
    for row, excluded in enumerate(exclusions):
        left = set(np.flatnonzero(allowed)) - set(excluded)
        items = [i for i in found.items[row] if i != NO_ITEM]
        assert set(items) <= left
        assert len(set(items)) == len(items) == min(k, len(left))


def test_the_same_query_gives_the_same_list_alone_and_among_others():
    scores = RNG.normal(size=N_CELLS)
    queries = asked([], [], [], exclusions=[[], [5], list(range(0, N, 2))])
    together = cluster(scores).retrieve(queries, 40)
    for row in range(3):
        alone = cluster(scores).retrieve(queries.take(np.array([row])), 40)
        np.testing.assert_array_equal(alone.items[0], together.items[row])


@pytest.mark.parametrize("metric", ["inner_product", "cosine", "euclidean"])
def test_added_items_are_drawn_and_removed_ones_are_not(metric):
    index = KMeansIndex(metric=metric, cells=N_CELLS).build(VECTORS)
    added = unit(np.random.default_rng(8).normal(size=(20, D)).astype(np.float32))
    index.add(added)
    gone = np.array([0, 17, N + 3])
    index.remove(gone)
    vectors = np.concatenate([VECTORS, added])
    found = cluster(np.zeros(N_CELLS), index=index, vectors=vectors).retrieve(asked([], exclusions=[[4]]), N + 40)
    expected = set(range(N + 20)) - {0, 17, N + 3} - {4}
    assert {i for i in found.items[0] if i != NO_ITEM} == expected


def test_cells_of_another_catalogue_are_refused():
    with pytest.raises(BadConfig, match="cells hold 240 items but there are 200 vectors"):
        ClusterRetriever(Towers(), ExactIndex().build(VECTORS[:200]), VECTORS[:200], INDEX.partition, FixedScores([0]))
    with pytest.raises(BadConfig, match="n_cells must be at least 1, got 0"):
        cluster(np.zeros(N_CELLS), n_cells=0)


# RankNet over cells


class Sum(torch.nn.Module):
    """Dot product and wide sum: linear, so that a cell's score is known."""

    def forward(self, users, items, wide):
        return (users[:, None] * items).sum(-1) + wide


class States:
    vectors, wide = torch.as_tensor(USERS), torch.linspace(0, 1, 5)


def ranker(monkeypatch=None):
    towers = Towers()
    towers.encode = lambda queries: States()
    return RankNetRanker(Sum(), towers, torch.linspace(-1, 1, N))


def test_a_cell_is_scored_by_its_centroid_and_the_mean_wide_part_of_its_members(monkeypatch):
    monkeypatch.setattr("twotower.models.two_tower.ranker.PAIRS", 2 * N_CELLS)  # blocks of two queries
    scores = RankNetCells(ranker(), INDEX.partition).scores(asked(*[[]] * 5))
    wide = np.linspace(-1, 1, N)
    means = np.array([wide[members].mean() for members in INDEX.partition.members])
    expected = USERS @ unit(INDEX.partition.centroids).T + np.linspace(0, 1, 5)[:, None] + means
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_an_empty_cell_has_no_wide_part():
    cells = Cells(VECTORS[:2], Ragged.from_lists([list(range(N)), []]), "inner_product")
    scores = RankNetCells(ranker(), cells).scores(asked(*[[]] * 5))
    np.testing.assert_allclose(scores[:, 1], USERS @ VECTORS[1] + np.linspace(0, 1, 5), rtol=1e-4, atol=1e-6)


# which strategy


def test_each_name_gives_its_first_stage():
    direct = Retriever(Towers(), INDEX, VECTORS)
    options = {"recent": 10, "n_cells": 5}
    assert retriever_for("direct", direct, None, **options) is direct
    assert isinstance(retriever_for("pseudo", direct, None, **options).encoder, PseudoEncoder)
    chosen = retriever_for("cluster", direct, ranker(), **options)
    assert isinstance(chosen, ClusterRetriever)
    assert chosen.n_cells == 5


@pytest.mark.parametrize(
    ("name", "index", "vectors", "says"),
    [
        ("psuedo", INDEX, VECTORS, "strategy 'psuedo' is unknown; did you mean pseudo"),
        ("pseudo", INDEX, None, "needs the item vectors"),
        ("cluster", ExactIndex().build(VECTORS), VECTORS, "ExactIndex has none; run `make build-index INDEX=kmeans`"),
    ],
)
def test_what_a_strategy_lacks_is_said(name, index, vectors, says):
    with pytest.raises(BadConfig, match=says):
        retriever_for(name, Retriever(Towers(), index, vectors), ranker(), recent=1, n_cells=None)


def test_cluster_needs_ranknet():
    with pytest.raises(BadConfig, match="there is none"):
        retriever_for("cluster", Retriever(Towers(), INDEX, VECTORS), None, recent=1, n_cells=None)
