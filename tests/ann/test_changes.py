"""Added, updated and removed items: any sequence of changes answers as a dictionary of vectors would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.changes import find_remaining
from twotower.ann.exact import ExactIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.ann.vectors import METRICS
from twotower.errors import BadInput
from twotower.topk import top_k
from twotower.types import NO_ITEM, TopK

D = 3


def score(query, vector, metric):
    """In double precision and of whole numbers, so that inner products are exact."""
    if metric == "inner_product":
        return query @ vector
    if metric == "euclidean":
        return -np.linalg.norm(query - vector)
    lengths = np.linalg.norm(query) * np.linalg.norm(vector)
    return query @ vector / lengths if lengths else 0.0


def sorted_answer(living, query, k, metric):
    """Scores of the k best of a dictionary of vectors, best first."""
    return sorted((score(query, vector, metric) for vector in living.values()), reverse=True)[:k]


vectors_of = st.lists(st.lists(st.integers(-4, 4), min_size=D, max_size=D), min_size=1, max_size=6)
steps = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "update"]), vectors_of, st.randoms(use_true_random=False)), max_size=8
)


def apply(index, living, dead, step):
    """One change to the index and to the dictionary."""
    what, rows, random = step
    rows = np.array(rows, np.float32)
    if what == "add":
        new = index.add(rows)
        assert not set(new.tolist()) & (set(living) | dead)
        living.update(zip(new.tolist(), rows.astype(float), strict=True))
        return
    chosen = random.sample(sorted(living), min(len(rows), len(living)))
    if what == "remove":
        index.remove(np.array(chosen, np.int64))
        dead |= set(chosen)
        for item in chosen:
            del living[item]
    else:
        index.update(np.array(chosen, np.int64), rows[: len(chosen)])
        living.update(zip(chosen, rows[: len(chosen)].astype(float), strict=True))


@pytest.mark.parametrize("metric", METRICS)
@given(first=vectors_of, changes=steps, k=st.integers(1, 12))
def test_any_sequence_of_changes_answers_as_a_dictionary_would(metric, first, changes, k):
    vectors = np.array(first, np.float32)
    index = ExactIndex(metric=metric).build(vectors)
    living, dead = dict(enumerate(vectors.astype(float))), set()
    queries = np.array([[1, 2, -3], [0, 1, 1], [-2, 0, 1]], np.float32)
    for step in [None, *changes]:
        if step is not None and not (step[0] != "add" and not living):
            apply(index, living, dead, step)
        assert len(index) == len(living)
        found = index.search(queries, k)
        for row, query in enumerate(queries.astype(float)):
            items = [int(item) for item in found.items[row] if item != NO_ITEM]
            assert len(items) == len(set(items)) == min(k, len(living))
            expected = sorted_answer(living, query, k, metric)
            np.testing.assert_allclose(found.scores[row, : len(items)], expected, rtol=1e-5, atol=1e-5)
            own = [score(query, living[item], metric) for item in items]  # KeyError if an item is dead or unknown
            np.testing.assert_allclose(found.scores[row, : len(items)], own, rtol=1e-5, atol=1e-5)


@given(first=vectors_of, changes=steps)
def test_ties_go_by_id_after_any_changes(first, changes):
    """Inner products of whole numbers are exact, so the whole order is known."""
    vectors = np.array(first, np.float32)
    index, living, dead = ExactIndex().build(vectors), dict(enumerate(vectors.astype(float))), set()
    for step in changes:
        if step[0] == "add" or living:
            apply(index, living, dead, step)
    query = np.array([1, 2, -3], np.float32)
    found = index.search(query[None], 50).items[0]
    expected = sorted(living, key=lambda item: (-(query @ living[item]), item))[:50]
    assert found[found != NO_ITEM].tolist() == expected


@pytest.mark.parametrize("n_gone", [1, 9, 10, 11, 95, 199])
@pytest.mark.parametrize("backend", [ExactIndex, KMeansIndex])
def test_removing_exactly_the_nearest_items_leaves_the_next_ones(backend, n_gone):
    """The worst case for fetching more: everything that is fetched first is gone."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 8)).astype(np.float32)
    query = rng.normal(size=(1, 8)).astype(np.float32)
    order = np.argsort(-(vectors @ query[0]), kind="stable")
    options = {"cells": 8, "nprobe": 8} if backend is KMeansIndex else {}
    index = backend(**options).build(vectors)
    index.remove(order[:n_gone])
    found = index.search(query, 10).items[0]
    expected = order[n_gone : n_gone + 10]
    assert found[: len(expected)].tolist() == expected.tolist()
    assert (found[len(expected) :] == NO_ITEM).all()


def test_more_is_fetched_only_for_the_queries_that_need_it():
    """Query 0 loses its 40 best items, query 1 none: the second and later fetches ask for query 0 alone."""
    scores = np.stack([np.arange(100.0, 0, -1), np.arange(1.0, 101)]).astype(np.float32)
    gone = np.zeros(100, np.bool_)
    gone[:40] = True
    asked = []

    def find(queries, k):
        rows = queries[:, 0].astype(int)
        asked.append((rows.tolist(), k))
        return top_k(scores[rows], k)

    found = find_remaining(find, np.array([[0], [1]], np.float32), 5, gone)
    assert found.items.tolist() == [[40, 41, 42, 43, 44], [99, 98, 97, 96, 95]]
    assert asked == [([0, 1], 10), ([0], 40), ([0], 100)]


def test_a_backend_that_reaches_no_more_is_not_asked_for_ever():
    gone = np.ones(100, np.bool_)
    gone[99] = False
    calls = []

    def find(queries, k):
        calls.append(k)
        return TopK(np.array([[0, 1]]), np.ones((1, 2), np.float32)).padded(k)

    found = find_remaining(find, np.zeros((1, 1), np.float32), 5, gone)
    assert (found.items == NO_ITEM).all()
    assert len(calls) == 1


def test_a_refused_change_changes_nothing():
    vectors = np.eye(3, dtype=np.float32)
    index = ExactIndex().build(vectors)
    for change in (
        lambda: index.remove(np.array([1, 7])),
        lambda: index.update(np.array([0, 7]), vectors[:2]),
        lambda: index.update(np.array([0, 1]), vectors[:1]),
        lambda: index.add(np.full((1, 3), np.nan, np.float32)),
        lambda: index.add(np.ones((1, 4), np.float32)),
    ):
        with pytest.raises(BadInput):
            change()
    assert (len(index), index.changed, index.alive) == (3, 0, None)
    np.testing.assert_array_equal(index.search(vectors, 1).items[:, 0], [0, 1, 2])
