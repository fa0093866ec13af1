"""`Retriever`: whatever is excluded or filtered, a list is short only when nothing is left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.exact import ExactIndex
from twotower.errors import BadConfig
from twotower.stages.retriever import Retriever
from twotower.types import NO_ITEM, Queries, Ragged, TopK

N, D = 200, 8
VECTORS = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


class FixedEncoder:
    """The vector of user u is row u of a table."""

    def __init__(self, vectors):
        self.vectors = vectors

    def user_vectors(self, queries):
        return self.vectors[queries.users]


class Blinkered(ExactIndex):
    """An approximate index that never reaches the second half of the catalogue."""

    exact = False

    def search(self, vectors, k):
        found = super().search(vectors, k)
        seen = found.items < N // 2
        return TopK(np.where(seen, found.items, NO_ITEM), np.where(seen, found.scores, -np.inf).astype(np.float32))


USERS = np.random.default_rng(1).normal(size=(6, D)).astype(np.float32)


def retriever(index_class=ExactIndex, vectors=VECTORS):
    return Retriever(FixedEncoder(USERS), index_class().build(VECTORS), vectors)


def best_left(user, k, excluded, allowed):
    """Oracle: sort all scores, leave out what must not be returned."""
    order = np.argsort(-(VECTORS @ USERS[user]), kind="stable")
    left = [i for i in order if i not in excluded and allowed[i]][:k]
    return left + [NO_ITEM] * (k - len(left))


def queries(exclusions):
    users = np.arange(len(exclusions))
    return Queries(users, Ragged.empty(len(users)), Ragged.from_lists(exclusions))


@given(
    st.lists(st.lists(st.integers(0, N - 1), max_size=N), min_size=1, max_size=6),
    st.integers(1, N + 5),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 99),
)
def test_returns_the_best_of_what_is_left(exclusions, k, share, with_vectors, seed):
    allowed = np.random.default_rng(seed).random(N) < share
    found = retriever(vectors=VECTORS if with_vectors else None).retrieve(queries(exclusions), k, allowed)
    for user, excluded in enumerate(exclusions):
        assert found.items[user].tolist() == best_left(user, k, set(excluded), allowed)


def test_a_user_who_has_seen_nearly_all_still_gets_a_full_list():
    seen_all_but_three = [i for i in range(N) if i not in (5, 77, 198)]
    found = retriever().retrieve(queries([seen_all_but_three, [], [], [], [], []]), 3)
    assert sorted(found.items[0]) == [5, 77, 198]


def test_an_index_that_cannot_reach_an_item_is_made_up_for():
    allowed = np.arange(N) >= 80  # the blinkered index offers 80..99 only; 50 are wanted
    found = retriever(Blinkered).retrieve(queries([[], [81]]), 50, allowed)
    for user, excluded in ((0, set()), (1, {81})):
        assert found.items[user].tolist() == best_left(user, 50, excluded, allowed)


def test_without_item_vectors_such_a_list_is_short_but_padded():
    found = retriever(Blinkered, None).retrieve(queries([[]]), 150)
    assert (found.items[0] != NO_ITEM).sum() == N // 2


def test_scores_are_the_inner_products_of_user_and_item():
    found = retriever().retrieve(queries([[3]]), 10)
    np.testing.assert_allclose(found.scores[0], VECTORS[found.items[0]] @ USERS[0], rtol=1e-5)


def test_nothing_allowed_gives_padding_only():
    found = retriever().retrieve(queries([[]]), 4, np.zeros(N, np.bool_))
    assert found.items.tolist() == [[NO_ITEM] * 4]
    assert np.isneginf(found.scores).all()


def test_scan_needs_the_item_vectors():
    with pytest.raises(BadConfig, match="item vectors"):
        retriever(vectors=None).scan(USERS, Ragged.empty(6), 3)


@pytest.mark.parametrize("with_vectors", [True, False])
def test_removed_items_are_found_no_more_and_count_as_nothing_that_is_left(with_vectors):
    added = np.random.default_rng(2).normal(size=(10, D)).astype(np.float32)
    index = ExactIndex().build(VECTORS)
    index.add(added)
    best = np.argsort(-(VECTORS @ USERS[0]))[:30]
    gone = [*best.tolist(), N + 1]
    index.remove(np.array(gone))
    every = np.concatenate([VECTORS, added])
    found = Retriever(FixedEncoder(USERS), index, every if with_vectors else None).retrieve(
        queries([[7, 8, gone[0]], []]), N + 10
    )  # more than what is left: 210 ids, 31 removed, 2 of three excluded ones not removed already
    for row, excluded in ((0, {7, 8}), (1, set())):
        left = set(range(N + 10)) - set(gone) - excluded
        order = [i for i in np.argsort(-(every @ USERS[row]), kind="stable") if i in left]
        assert found.items[row].tolist() == order + [NO_ITEM] * (N + 10 - len(order))


def test_removed_items_are_not_scanned_either_and_obey_the_rules_beside():
    index = Blinkered().build(VECTORS)
    index.remove(np.arange(0, N, 2))
    allowed = np.arange(N) >= 20
    found = Retriever(FixedEncoder(USERS), index, VECTORS).retrieve(queries([[21, 22]]), N, allowed)
    assert {i for i in found.items[0] if i != NO_ITEM} == set(range(23, N, 2))


def test_an_index_that_grew_wants_a_retriever_with_vectors_of_all_its_ids():
    index = ExactIndex().build(VECTORS)
    growing = Retriever(FixedEncoder(USERS), index, VECTORS)
    index.add(VECTORS[:3])
    for attempt in (lambda: growing.retrieve(queries([[]]), 5), lambda: Retriever(growing.encoder, index, VECTORS)):
        with pytest.raises(BadConfig, match=r"ids 0\.\.202, but there are 200 item vectors"):
            attempt()


def test_a_rule_that_does_not_speak_of_every_item_is_refused():
    with pytest.raises(BadConfig, match=r"ids 0\.\.199, but `allowed` speaks of 150 items"):
        retriever().retrieve(queries([[]]), 5, np.ones(150, np.bool_))


def test_exact_retrieval_of_the_same_items_finds_what_a_blinkered_index_misses():
    index, best = Blinkered().build(VECTORS), best_left(0, 3, set(), np.ones(N, np.bool_))
    index.remove(np.array(best[:2]))
    found = Retriever(FixedEncoder(USERS), index, VECTORS).exactly().retrieve(queries([best[2:]]), 40)
    assert found.items[0].tolist() == best_left(0, 40, set(best), np.ones(N, np.bool_))


def test_a_list_of_all_that_was_not_removed_is_not_looked_for_any_further(monkeypatch):
    index = ExactIndex().build(VECTORS)
    index.remove(np.arange(50, N))
    asked, search = [], ExactIndex.search
    monkeypatch.setattr(ExactIndex, "search", lambda self, v, k: asked.append(k) or search(self, v, k))
    found = Retriever(FixedEncoder(USERS), index, VECTORS).retrieve(queries([[3]]), 100)
    assert (found.items[0] != NO_ITEM).sum() == 49  # 50 are left, one of them excluded
    assert len(asked) == 1


class Untouchable:
    """A mask that may be indexed, but not read whole."""

    def __init__(self, mask):
        self.mask = mask
        self.means = 0

    def __len__(self):
        return len(self.mask)

    def mean(self):
        self.means += 1
        return self.mask.mean()

    def __getitem__(self, items):
        assert np.asarray(items).dtype != np.bool_
        return self.mask[items]


def test_a_full_list_costs_nothing_of_the_size_of_the_catalogue():
    allowed, asked = Untouchable(np.arange(N) % 3 > 0), retriever()
    for _ in range(4):
        found = asked.retrieve(queries([[1, 2]]), 10, allowed)
    assert found.items[0].tolist() == best_left(0, 10, {1, 2}, allowed.mask)
    assert allowed.means == 1  # counted for the first query, not for the next ones
