"""Bootstrap and permutation test: against exact enumeration, the normal limit, and their own promises."""

import itertools

import numpy as np
import pytest
from scipy import stats

from twotower.errors import BadConfig, BadInput
from twotower.metrics.significance import bootstrap_intervals, holm, permutation_test

RNG = np.random.default_rng(11)


def test_the_interval_of_many_users_is_the_normal_one():
    values = RNG.normal(0.3, 0.1, (1_000, 1))
    found = bootstrap_intervals(values, resamples=4_000, seed=1)
    half = 1.96 * values.std(ddof=1) / np.sqrt(1_000)
    assert found.mean[0] == pytest.approx(values.mean())
    assert found.low[0] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high[0] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_agrees_with_scipy_on_skewed_values():
    values = RNG.exponential(1.0, 60)
    found = bootstrap_intervals(values[:, None], resamples=20_000, seed=1)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    width = theirs.high - theirs.low
    assert found.low[0] == pytest.approx(theirs.low, abs=0.03 * width)
    assert found.high[0] == pytest.approx(theirs.high, abs=0.03 * width)


def test_ninety_five_percent_intervals_cover_about_that_often():
    covered = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).binomial(1, 0.3, (100, 1)).astype(float)
        found = bootstrap_intervals(sample, resamples=500, seed=seed)
        covered += bool(found.low[0] <= 0.3 <= found.high[0])
    assert 180 <= covered <= 199  # 200 * .95 = 190, sd 3.1


def test_columns_share_their_resamples_so_a_copy_has_the_same_interval():
    values = RNG.random((50, 1))
    found = bootstrap_intervals(np.hstack([values, values, 1 - values]), resamples=300)
    assert found.low[0] == found.low[1]
    assert found.low[2] == pytest.approx(1 - found.high[0])


def test_the_permutation_test_agrees_with_all_sign_flips():
    differences = RNG.normal(0.3, 1.0, 12)
    flips = np.array(list(itertools.product([-1, 1], repeat=12))) @ differences  # 2**12 = 4,096 of them
    exact = (np.abs(flips) >= abs(differences.sum()) - 1e-12).mean()
    found = permutation_test(differences[:, None], resamples=20_000, seed=3)
    assert found[0] == pytest.approx(exact, abs=0.015)


def test_without_any_difference_p_is_one_and_it_never_is_zero():
    never, always = np.zeros((30, 1)), np.ones((30, 1))
    found = permutation_test(np.hstack([never, always]), resamples=99)
    assert found.tolist() == [1.0, pytest.approx(1 / 100)]
    assert permutation_test(never, resamples=10).tolist() == [1.0]


def test_under_no_difference_small_p_values_are_as_rare_as_they_say():
    found = permutation_test(RNG.normal(0, 1, (80, 400)), resamples=500)
    assert 8 <= (found <= 0.05).sum() <= 34  # 400 * .05 = 20, sd 4.4


def test_holm_of_a_worked_example():
    # rising: .005 * 4 = .02, .01 * 3 = .03, .03 * 2 = .06, .04 * 1 = .04 but not below .06
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.2])) == [0.2]
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]
    assert holm(np.empty(0)).tolist() == []


def test_holm_rejects_what_stepping_down_rejects():
    for p in RNG.random((200, 6)) ** 4:
        rejected, order = np.zeros(6, bool), np.argsort(p)
        for step, at in enumerate(order):  # the definition: stop at the first that exceeds alpha / tests left
            if p[at] > 0.05 / (6 - step):
                break
            rejected[at] = True
        assert ((holm(p) <= 0.05) == rejected).all()


def test_what_is_no_p_value_is_refused():
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(BadInput, match="must lie between 0 and 1"):
            holm(np.array([0.5, wrong]))


@pytest.mark.slow
def test_models_that_are_equally_good_differ_significantly_in_4_to_6_of_100_cases():
    p_values = np.concatenate([a_a_simulation(number) for number in range(500)])
    assert 0.04 <= (p_values <= 0.05).mean() <= 0.06  # 4,000 pairs: sd .0034, so that no luck with seeds is needed


def a_a_simulation(number, n_pairs=8, n_users=300):
    """The p-values of pairs of models that have the same chance of a hit for each user."""
    rng = np.random.default_rng([17, number])
    chance = rng.beta(1, 4, (n_users, n_pairs))  # users differ in how easily they are served
    precision_at_10 = rng.binomial(10, chance, (2, n_users, n_pairs)) / 10
    return permutation_test(precision_at_10[0] - precision_at_10[1], resamples=2_000, seed=number)


def test_the_seed_decides_everything():
    values = RNG.random((40, 2)) - 0.45
    first, second, other = (bootstrap_intervals(values, resamples=50, seed=seed).low.tolist() for seed in (1, 1, 2))
    assert first == second != other
    p = [permutation_test(values, resamples=50, seed=seed).tolist() for seed in (1, 1)]
    assert p[0] == p[1]


@pytest.mark.parametrize("function", [bootstrap_intervals, permutation_test])
def test_nan_and_empty_input_are_refused(function):
    with pytest.raises(BadInput, match="row 1 is NaN"):
        function(np.array([[0.0], [np.nan]]))
    with pytest.raises(BadInput, match="at least one user"):
        function(np.empty((0, 3)))
    with pytest.raises(BadConfig, match="resamples=0"):
        function(np.ones((2, 1)), resamples=0)


def test_a_level_outside_zero_and_one_is_refused():
    with pytest.raises(BadConfig, match="level=95"):
        bootstrap_intervals(np.ones((2, 1)), level=95)
