"""Intervals and tests of ratios of sums, against bootstraps and sums made by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from twotower.errors import BadConfig
from twotower.evaluation.ratio import Ratio, mean_of_users, mean_ratio
from twotower.evaluation.resampling import (
    Draws,
    difference_p_values,
    interval_ends,
    resampled_difference,
    resampled_figures,
)
from twotower.metrics.metric import Metric

RMSE, MAE, AUC, MAP = Metric("rmse"), Metric("mae"), Metric("auc"), Metric("map", 10)
AMOUNTS = arrays.arrays(np.float64, st.shared(st.integers(1, 20), key="users"), elements=st.floats(0, 9))
PAIRS = arrays.arrays(np.int64, st.shared(st.integers(1, 20), key="users"), elements=st.integers(1, 5))


def errors(seed=0, n=80):
    """Squared errors of users with 1 to 9 pairs."""
    rng = np.random.default_rng(seed)
    pairs = np.random.default_rng(99).integers(1, 10, n).astype(float)
    return Ratio(RMSE, pairs * rng.random(n), pairs)


def test_a_figure_is_the_ratio_of_sums_and_the_rmse_its_root():
    amount, pairs = np.array([8.0, 1.0]), np.array([1.0, 3.0])  # errors of one pair, and of three
    assert Ratio(RMSE, amount, pairs).mean() == pytest.approx(np.sqrt((8 + 1) / (1 + 3)))
    assert Ratio(MAE, amount, pairs).mean() == pytest.approx((8 + 1) / (1 + 3))
    assert Ratio(MAP, amount).mean() == (8 + 1) / 2
    assert Ratio(RMSE, amount, pairs).values.tolist() == pytest.approx([np.sqrt(8), np.sqrt(1 / 3)])


def test_users_without_a_say_change_nothing_and_nobody_with_one_is_no_figure():
    ratio = mean_of_users(AUC, np.array([0.5, np.nan, 1.0]))
    assert ratio.mean() == (0.5 + 1.0) / 2
    assert ratio.has_say.tolist() == [True, False, True]
    assert np.isnan(ratio.values[1])
    assert np.isnan(mean_of_users(AUC, np.array([np.nan])).mean())


@given(AMOUNTS, PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_users_changes_no_figure(amount, pairs, random):
    order = list(range(len(amount)))
    random.shuffle(order)
    shuffled = Ratio(RMSE, amount[order], pairs[order].astype(float))
    assert shuffled.mean() == pytest.approx(Ratio(RMSE, amount.copy(), pairs.astype(float)).mean())


@given(AMOUNTS, PAIRS, st.integers(2, 4))
def test_several_copies_of_all_users_have_the_same_figure(amount, pairs, copies):
    many = Ratio(RMSE, np.tile(amount, copies), np.tile(pairs, copies).astype(float))
    assert many.mean() == pytest.approx(Ratio(RMSE, amount.copy(), pairs.astype(float)).mean())


@given(AMOUNTS)
def test_weights_of_one_need_not_be_there(amount):
    plain, weighted = Ratio(MAP, amount), Ratio(MAP, amount.copy(), np.ones(len(amount)))
    assert plain.mean() == weighted.mean()
    drawn = resampled_figures([plain, weighted], Draws(20))
    np.testing.assert_allclose(drawn[:, 0], drawn[:, 1], rtol=1e-12)


def test_the_bootstrap_draws_users_with_all_their_pairs():
    ratio = errors(n=40)
    rng = np.random.default_rng(8)
    drawn = []
    for _ in range(3000):
        rows = rng.integers(0, 40, 40)
        drawn.append(np.sqrt(ratio.amount[rows].sum() / ratio.weight[rows].sum()))
    low, high = interval_ends(resampled_figures([ratio], Draws(3000, 0.9, 1)), 0.9)
    assert (low[0], high[0]) == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=0.01)


def test_two_users_can_be_drawn_in_four_ways_only():
    ratio = Ratio(RMSE, np.array([9.0, 3.0]), np.array([1.0, 3.0]))
    ways = {
        np.sqrt((ratio.amount[[a, b]].sum()) / ratio.weight[[a, b]].sum()) for a, b in itertools.product((0, 1), (0, 1))
    }
    drawn = np.unique(resampled_figures([ratio], Draws(200)).round(12))
    assert drawn.tolist() == pytest.approx(sorted(ways))  # 1, root of 12 / 4, 3


def test_samples_without_anybody_who_has_a_say_are_left_out():
    ratio = mean_of_users(AUC, np.array([0.25, np.nan, np.nan]))
    drawn = resampled_figures([ratio], Draws(500))
    assert np.isnan(drawn).mean() == pytest.approx((2 / 3) ** 3, abs=0.07)  # 500 draws: sd .02
    low, high = interval_ends(drawn, 0.95)
    assert (low[0], high[0]) == (0.25, 0.25)


def test_a_difference_of_roots_is_the_root_of_one_minus_that_of_the_other():
    one, other = errors(1), errors(2)
    drawn = resampled_figures([one, other], Draws(100, seed=4))
    difference = resampled_difference(one, other, Draws(100, seed=4))
    np.testing.assert_allclose(difference[:, 0], drawn[:, 0] - drawn[:, 1])


def test_a_difference_of_ratios_is_the_ratio_of_differences():
    one, other = (Ratio(MAE, e.amount, e.weight) for e in (errors(1), errors(2)))
    drawn = resampled_figures([one, other], Draws(100, seed=4))
    difference = resampled_difference(one, other, Draws(100, seed=4))
    np.testing.assert_allclose(difference[:, 0], drawn[:, 0] - drawn[:, 1], atol=1e-12)


def test_p_values_are_shares_of_sides_changed_that_reach_the_difference_of_sums():
    pairs = np.array([1.0, 2.0, 3.0, 1.0, 5.0, 2.0])
    one, other = Ratio(RMSE, np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0]), pairs), Ratio(RMSE, np.ones(6), pairs)
    change = one.amount - other.amount
    sums = [abs(np.dot(signs, change)) for signs in itertools.product((-1, 1), repeat=6)]
    exact = np.mean([s >= change.sum() - 1e-9 for s in sums])
    assert difference_p_values([(one, other)], Draws(20_000))[0] == pytest.approx(exact, abs=0.01)


def test_equal_models_do_not_differ():
    assert difference_p_values([(errors(1), errors(1))], Draws(50))[0] == 1
    assert set(resampled_difference(errors(1), errors(1), Draws(50)).ravel()) == {0.0}


def test_seeds_are_averaged_before_the_root():
    together = mean_ratio([errors(1), errors(2)])
    total = errors(1).amount.sum() + errors(2).amount.sum()
    assert together.mean() == pytest.approx(np.sqrt(total / 2 / errors(1).weight.sum()))


def test_models_that_were_asked_of_other_pairs_are_not_set_beside_each_other():
    one = errors(1)
    other = Ratio(RMSE, one.amount.copy(), one.weight + 1)
    with pytest.raises(BadConfig, match="rmse: the two models were asked of different pairs"):
        difference_p_values([(one, other)], Draws(10))


def test_what_tables_are_made_of_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        errors().amount[0] = 1
