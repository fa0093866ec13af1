"""Coverage, Gini, novelty: hand-worked values and limits."""

import numpy as np
import pytest

from twotower.errors import BadInput
from twotower.metrics.catalogue import coverage, gini, intra_list_diversity, novelty, popularity_bias, shown_counts
from twotower.metrics.ranking import as_topk


def test_padding_is_not_shown():
    assert shown_counts(as_topk([[2, 0], [2]]), 4).tolist() == [1, 0, 2, 0]


def test_coverage_counts_items_shown_to_anybody():
    assert coverage(np.array([1, 0, 9, 0])) == 2 / 4


def test_gini_is_zero_for_equal_exposure_and_the_mean_difference_formula_otherwise():
    assert gini(np.full(7, 3)) == pytest.approx(0)
    assert gini(np.zeros(3, int)) == 0
    x = np.random.default_rng(0).integers(0, 40, 25)
    by_pairs = np.abs(x[:, None] - x[None, :]).sum() / (2 * len(x) ** 2 * x.mean())
    assert gini(x) == pytest.approx(by_pairs)


def test_novelty_is_the_mean_surprise_of_what_is_shown():
    popularity = np.array([6, 0])  # smoothed 7 and 1 of 8: log2(8/7) and 3 bits
    assert novelty(np.array([0, 5]), popularity) == pytest.approx(3)
    assert novelty(np.array([3, 1]), popularity) == pytest.approx((3 * np.log2(8 / 7) + 3) / 4)
    assert np.isnan(novelty(np.array([0, 0]), popularity))


def test_lists_that_follow_the_log_have_no_popularity_bias_and_lists_of_the_head_have():
    log = np.array([6, 3, 1])
    assert popularity_bias(10 * log, log) == pytest.approx(1)
    assert popularity_bias(np.array([5, 0, 0]), log) == pytest.approx(6 / ((36 + 9 + 1) / 10))
    assert np.isnan(popularity_bias(np.zeros(3), log))
    assert np.isnan(popularity_bias(log, np.zeros(3)))


def test_diversity_is_the_mean_over_pairs():
    vectors = np.random.default_rng(1).normal(size=(9, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    lists = [[0, 3, 5, 8], [2, 1], [7], []]
    found = intra_list_diversity(as_topk(lists), vectors, 3)
    for row, items in enumerate(lists[:2]):
        pairs = [1 - unit[a] @ unit[b] for at, a in enumerate(items[:3]) for b in items[:3][at + 1 :]]
        assert found[row] == pytest.approx(np.mean(pairs))
    assert np.isnan(found[2:]).all()


def test_a_zero_vector_is_as_far_as_an_orthogonal_one():
    assert intra_list_diversity(as_topk([[0, 1]]), np.array([[1.0, 0], [0, 0]]), 2)[0] == pytest.approx(1)


def test_an_empty_catalogue_and_counts_of_other_items_are_refused():
    for metric in (coverage, gini):
        with pytest.raises(BadInput, match="catalogue is empty"):
            metric(np.empty(0, int))
    with pytest.raises(BadInput, match="2 items shown but popularity of 3"):
        novelty(np.array([1, 1]), np.array([1, 1, 1]))
