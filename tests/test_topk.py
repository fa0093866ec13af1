"""`top_k` and `rescore` against a sort in plain Python."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from twotower import topk
from twotower.errors import BadInput
from twotower.topk import rescore, top_k, top_k_of_shared
from twotower.types import NO_ITEM, Ragged, TopK

few_values = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0])
"""So few that ties are common, at the border too."""
scores_of = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=few_values)


def sorted_row(row: np.ndarray, k: int, banned: set[int]) -> list[tuple[int, float]]:
    """The oracle: best first, ties by column, padded."""
    left = [(i, float(s)) for i, s in enumerate(row) if i not in banned and s > -np.inf]
    best = sorted(left, key=lambda pair: (-pair[1], pair[0]))[:k]
    return best + [(NO_ITEM, -np.inf)] * (k - len(best))


def pairs(ranked: TopK) -> list[list[tuple[int, float]]]:
    return [
        [(int(i), float(s)) for i, s in zip(*row, strict=True)] for row in zip(ranked.items, ranked.scores, strict=True)
    ]


@given(scores_of, st.integers(1, 15), st.data())
def test_top_k_agrees_with_a_full_sort_for_any_ties_exclusions_and_k(scores, k, data):
    n = scores.shape[1]
    banned = data.draw(st.lists(st.sets(st.integers(0, n - 1)), min_size=len(scores), max_size=len(scores)))
    allowed = np.asarray(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    found = top_k(scores, k, Ragged.from_lists([sorted(b) for b in banned]), allowed)
    closed = set(np.flatnonzero(~allowed).tolist())
    assert pairs(found) == [sorted_row(row, k, b | closed) for row, b in zip(scores, banned, strict=True)]


@given(scores_of, st.integers(1, 6))
def test_a_smaller_k_is_the_head_of_a_larger_one(scores, k):
    np.testing.assert_array_equal(top_k(scores, k).items, top_k(scores, k + 5).head(k).items)


def test_many_random_rows_agree_with_a_stable_sort():
    scores = np.random.default_rng(0).integers(0, 50, (200, 300)).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(top_k(scores, 10).items, expected)


@pytest.mark.parametrize(("width", "k"), [(5_003, 1), (5_003, 20), (5_003, 900), (1_000, 300), (257, 64)])
def test_long_rows_with_many_ties_agree_with_a_stable_sort_in_blocks_of_any_size(width, k, monkeypatch):
    rng = np.random.default_rng(1)
    scores = rng.integers(-3, rng.integers(1, 400, (30, 1)), (30, width)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[3] = -np.inf
    scores[4, 7:] = -np.inf
    expected = [sorted_row(row, k, set()) for row in scores]
    for size in (1, 7, 1_000):
        monkeypatch.setattr(topk, "_BLOCK_BYTES", 4 * size * width)
        assert pairs(top_k(scores, k)) == expected


@pytest.mark.parametrize("column", [0, 255, 256, 4_999, 5_002])
def test_nan_is_found_in_any_column_of_a_long_row(column):
    scores = np.zeros((9, 5_003), np.float32)
    scores[6, column] = np.nan
    with pytest.raises(BadInput, match="query 6 "):
        top_k(scores, 3)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 10**6), st.sampled_from([0, 3, 512]))
def test_queries_that_share_their_scores_get_the_lists_of_top_k(n, k, seed, sieved):
    rng = np.random.default_rng(seed)
    scores = rng.choice([-np.inf, 0.0, 1.0, 2.0], n).astype(np.float32)
    excluded = Ragged.from_lists([rng.integers(-1, n, rng.integers(0, 2 * n)) for _ in range(5)])
    allowed = None if seed % 2 else rng.random(n) < 0.7
    with mock.patch.object(topk, "_SIEVED", sieved):
        shared = top_k_of_shared(scores, k, excluded, allowed)
    assert pairs(shared) == pairs(top_k(np.tile(scores, (5, 1)), k, excluded, allowed))


def test_top_k_leaves_the_scores_as_they_were():
    scores = np.array([[3.0, 2.0, 1.0]], np.float32)
    top_k(scores, 2, Ragged.from_lists([[0]]), np.array([True, False, True]))
    assert scores.tolist() == [[3.0, 2.0, 1.0]]


def test_padding_in_exclusions_excludes_nothing():
    assert top_k(np.array([[1.0, 2.0]], np.float32), 2, Ragged.from_lists([[NO_ITEM]])).items.tolist() == [[1, 0]]


def test_an_empty_catalogue_gives_only_padding():
    assert top_k(np.empty((2, 0), np.float32), 3).items.tolist() == [[NO_ITEM] * 3] * 2


def test_nan_names_the_query():
    with pytest.raises(BadInput, match="query 1 "):
        top_k(np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32), 1)


def test_k_below_one_is_refused():
    with pytest.raises(BadInput, match="at least 1, got 0"):
        top_k(np.zeros((1, 2), np.float32), 0)


def test_exclusions_that_do_not_fit_the_scores_are_refused():
    with pytest.raises(BadInput, match="1 rows of scores but 2 rows"):
        top_k(np.zeros((1, 2), np.float32), 1, Ragged.empty(2))
    with pytest.raises(BadInput, match="item 2 is outside the catalogue of 2"):
        top_k(np.zeros((1, 2), np.float32), 1, Ragged.from_lists([[2]]))


@given(st.data())
def test_rescore_sorts_candidates_by_new_score_then_id(data):
    items = data.draw(st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=8))
    scores = data.draw(st.lists(few_values, min_size=len(items), max_size=len(items)))
    padding = data.draw(st.integers(0, 3))
    k = data.draw(st.integers(1, 12))
    rows = np.asarray([items + [NO_ITEM] * padding])
    found = rescore(TopK(rows, np.zeros(rows.shape, np.float32)), np.asarray([scores + [9.0] * padding], np.float32), k)
    left = [(i, s) for i, s in zip(items, scores, strict=True) if s > -np.inf]
    best = sorted(left, key=lambda pair: (-pair[1], pair[0]))[:k]
    assert pairs(found) == [best + [(NO_ITEM, -np.inf)] * (k - len(best))]


@given(
    hnp.arrays(np.float32, (3, 40), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.integers(0, 99),
)
def test_rescore_orders_floats_of_any_size_and_sign_under_ids_of_any_size(scores, seed):
    rng = np.random.default_rng(seed)
    items = np.stack([rng.choice(2**32 - 2, 40, replace=False) for _ in scores])
    found = rescore(TopK(items, np.zeros_like(scores)), scores, 40)
    order = np.lexsort((items, -scores), axis=1)
    np.testing.assert_array_equal(found.items, np.take_along_axis(items, order, 1))
    np.testing.assert_array_equal(found.scores, np.take_along_axis(scores, order, 1))


def test_rescore_refuses_nan_of_a_real_candidate_but_not_of_padding():
    candidates = TopK(np.array([[4, NO_ITEM]]), np.array([[1.0, -np.inf]], np.float32))
    assert rescore(candidates, np.array([[0.5, np.nan]], np.float32), 2).items.tolist() == [[4, NO_ITEM]]
    with pytest.raises(BadInput, match="NaN"):
        rescore(candidates, np.array([[np.nan, 0.0]], np.float32), 2)
