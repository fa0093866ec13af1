"""`best_products` against a sort in plain Python: the same lists by every way, block size and thread count."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.measuring.timing import limited_threads
from twotower.errors import BadInput
from twotower.models import best_products as vector_lists
from twotower.models.best_products import ItemVectors, best_products, pair_products
from twotower.models.matrix import products
from twotower.topk import top_k
from twotower.types import NO_ITEM, Ragged, TopK

WAYS = {
    "longer lists": {"SHARE": 1.0, "FEW": 0.0},
    "all scores": {"SHARE": 0.0, "FEW": 0.0},
    "what is left": {"SHARE": 0.0, "FEW": 2.0},
}
"""Settings under which every query that can goes the one way."""


@contextmanager
def going(way: str, **others):
    with mock.patch.multiple(vector_lists, **(WAYS[way] | others)):
        yield


def oracle(scores: np.ndarray, excluded: list[int], k: int) -> list[tuple[int, float]]:
    """Best first, ties by item, padded."""
    left = [(i, float(s)) for i, s in enumerate(scores) if i not in set(excluded)]
    best = sorted(left, key=lambda pair: (-pair[1], pair[0]))[:k]
    return best + [(NO_ITEM, -np.inf)] * (k - len(best))


def pairs(found: TopK) -> list[list[tuple[int, float]]]:
    return [
        list(zip(items.tolist(), scores.tolist(), strict=True))
        for items, scores in zip(found.items, found.scores, strict=True)
    ]


@pytest.mark.parametrize("way", WAYS)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), k=st.integers(1, 70), margin=st.integers(0, 5))
def test_small_whole_numbers_give_the_list_of_a_full_sort_with_any_ties_and_exclusions(way, seed, n, k, margin):
    rng = np.random.default_rng(seed)
    queries, items = (rng.integers(-2, 3, (size, 3)).astype(np.float32) for size in (6, n))
    excluded = [rng.integers(-1, n, rng.integers(0, 2 * n)).tolist() for _ in queries]
    scores = queries.astype(int) @ items.astype(int).T  # without any rounding
    with going(way, MARGIN=margin, BLOCK_BYTES=1 << rng.integers(4, 16), PAIR_BYTES=1 << rng.integers(4, 12)):
        found = best_products(queries, ItemVectors.of(items), Ragged.from_lists(excluded), k)
    assert pairs(found) == [oracle(row, out, k) for row, out in zip(scores, excluded, strict=True)]


@pytest.fixture(scope="module")
def trained():
    """Vectors of trained size and shape, long and short ones, with exclusions from none to nearly all."""
    rng = np.random.default_rng(2)
    shape = np.exp(-np.arange(33) / 8).astype(np.float32)
    queries, items = (rng.standard_normal((size, 33), np.float32) * shape for size in (150, 3_000))
    items *= rng.lognormal(0, 1, (len(items), 1)).astype(np.float32)
    lengths = rng.choice([0, 5, 20, 300, 1_500, 2_980], len(queries), p=[0.1, 0.4, 0.3, 0.1, 0.05, 0.05])
    excluded = [np.sort(rng.choice(len(items), n, replace=False)) for n in lengths]
    return queries, ItemVectors.of(items), Ragged.from_lists(excluded)


def test_lists_are_those_that_the_scores_of_everything_define(trained):
    queries, items, excluded = trained
    found, defined = best_products(*trained, 100), top_k(products(queries, items.values), 100, excluded)
    np.testing.assert_array_equal(found.items, defined.items)
    np.testing.assert_array_equal(found.scores, defined.scores)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 64, 150])
def test_every_block_size_and_thread_count_gives_the_same_bits(trained, size, threads):
    queries, items, excluded = trained
    whole = best_products(*trained, 100)
    with limited_threads(threads):
        for start in range(0, len(queries), size):
            rows = np.arange(start, min(start + size, len(queries)))
            part = best_products(queries[rows], items, excluded.take(rows), 100)
            np.testing.assert_array_equal(part.items, whole.items[rows])
            np.testing.assert_array_equal(part.scores, whole.scores[rows])


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_bits(trained, way):
    whole = best_products(*trained, 50)
    with going(way):
        found = best_products(*trained, 50)
    np.testing.assert_array_equal(found.items, whole.items)
    np.testing.assert_array_equal(found.scores, whole.scores)


@pytest.mark.parametrize("way", WAYS)
def test_sums_that_cancel_in_float32_are_still_ordered_rightly(way):
    """1e8 + x - 1e8 is 0 or 8 in float32 for x from 1 to 7, depending on the order; the true sum is x."""
    x = np.tile(np.arange(1, 8), 40)
    items = np.stack([np.full(len(x), 1e8), x, np.full(len(x), -1e8)], axis=1).astype(np.float32)
    with going(way):
        found = best_products(np.ones((4, 3), np.float32), ItemVectors.of(items), Ragged.empty(4), 45)
    sevens, sixes = np.flatnonzero(x == 7), np.flatnonzero(x == 6)[:5]
    assert found.items.tolist() == [[*sevens, *sixes]] * 4
    assert found.scores.tolist() == [[7.0] * 40 + [6.0] * 5] * 4


@pytest.mark.parametrize("way", WAYS)
def test_items_that_float32_puts_behind_worse_ones_are_found(way):
    """1e8 + 5 - 1e8 is 8 in float32, and so comes before a plain 6; the true order is the other."""
    items = np.tile(np.array([[1e8, 5, -1e8], [0, 0, 6]], np.float32), (300, 1))
    with going(way):
        found = best_products(np.ones((4, 3), np.float32), ItemVectors.of(items), Ragged.empty(4), 20)
    assert found.items.tolist() == [list(range(1, 41, 2))] * 4


def test_long_vectors_that_were_not_fetched_are_not_missed(trained):
    """What rounding does grows with an item's length, so that of the longest decides what is doubtful."""
    rng = np.random.default_rng(3)
    short = np.array([[1.0, 0.0, 0.0]]) * (1 + 1e-3 * rng.random((500, 1)))
    long = np.array([[1.0005, 3e4, -3e4]]) + np.array([[0, 1, 1]]) * rng.normal(0, 1e3, (500, 1))
    items = np.concatenate([short, long]).astype(np.float32)
    queries = np.ones((8, 3), np.float32)
    with going("longer lists"):
        found = best_products(queries, ItemVectors.of(items), Ragged.empty(8), 20)
    assert pairs(found) == pairs(top_k(products(queries, items), 20))


def test_a_user_of_many_exclusions_is_fetched_for_alone():
    width = np.array([120, 5_000, 125, 130, 118])
    groups = [(rows.tolist(), widest) for rows, widest in vector_lists._of_like_width(np.arange(5), width)]
    assert groups == [([0, 2, 4], 125), ([3], 130), ([1], 5_000)]


def test_products_of_pairs_do_not_depend_on_what_stands_beside_them(trained):
    queries, items, _ = trained
    chosen = np.random.default_rng(4).integers(-1, len(items), (len(queries), 40))
    whole = pair_products(queries, chosen, items.values)
    assert np.isneginf(whole[chosen == NO_ITEM]).all()
    for row, column in ((0, 0), (17, 39), (149, 20)):
        alone = pair_products(queries[[row]], chosen[[row], column, None], items.values)
        assert alone[0, 0] == whole[row, column]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(trained, value):
    queries, items, excluded = trained
    broken, values = queries.copy(), items.values.copy()
    broken[7, 2] = values[9, 1] = value
    with pytest.raises(BadInput, match="query 7 hold NaN"):
        best_products(broken, items, excluded, 5)
    with pytest.raises(BadInput, match="item vectors hold NaN"):
        best_products(queries, ItemVectors.of(values), excluded, 5)


def test_no_queries_give_no_lists(trained):
    queries, items, _ = trained
    assert best_products(queries[:0], items, Ragged.empty(0), 5).items.shape == (0, 5)
