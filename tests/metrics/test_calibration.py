"""Reliability and ECE: bins by hand, scikit-learn's curve, and a calibrated and a boastful scorer."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from twotower.errors import BadConfig, BadInput
from twotower.metrics.calibration import binned_reliability, expected_calibration_error, reliability_curve

RNG = np.random.default_rng(6)
PROBABILITY = RNG.random(20_000)
TRUTH = (RNG.random(20_000) < PROBABILITY).astype(int)


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_the_curve_is_that_of_scikit_learn(binning):
    found = reliability_curve(TRUTH, PROBABILITY, bins=12, binning=binning)
    observed, predicted = calibration_curve(TRUTH, PROBABILITY, n_bins=12, strategy=binning)
    np.testing.assert_allclose(found.observed, observed, atol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, atol=1e-12)
    assert found.count.sum() == 20_000


def test_the_error_is_the_gap_weighted_by_pairs():
    truth, probability = np.array([0, 0, 0, 1, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.7])
    # first half: predicted .2, observed 1/4, 4 pairs; second: .7 against 1, 1 pair
    assert expected_calibration_error(truth, probability, bins=2) == pytest.approx((4 * 0.05 + 1 * 0.3) / 5)


def test_a_calibrated_scorer_has_almost_no_error_and_a_boastful_one_has():
    assert expected_calibration_error(TRUTH, PROBABILITY) < 0.02
    boastful = np.where(PROBABILITY > 0.5, 1.0, 0.0)  # right three times of four, but always sure
    assert expected_calibration_error(TRUTH, boastful) == pytest.approx(0.25, abs=0.02)


def test_probabilities_0_and_1_lie_in_the_outer_bins_and_an_edge_goes_up():
    found = reliability_curve(np.array([0, 1, 1]), np.array([0.0, 0.5, 1.0]), bins=2)
    assert found.count.tolist() == [1, 2]


def test_equal_probabilities_stay_in_one_bin():
    found = reliability_curve(np.array([0, 1, 1, 0]), np.full(4, 0.3), bins=4, binning="quantile")
    assert (found.count.tolist(), found.observed.tolist()) == ([4], [0.5])


def test_bins_of_ones_own_may_hold_shares_of_an_outcome_and_empty_ones_are_left_out():
    curve = binned_reliability(np.array([0.5, 0.5, 0.0]), np.array([0.6, 0.2, 0.1]), np.array([3, 0, 0]))
    np.testing.assert_allclose(curve.predicted, [(0.2 + 0.1) / 2, 0.6])
    np.testing.assert_allclose(curve.observed, [(0.5 + 0.0) / 2, 0.5])
    assert curve.count.tolist() == [2, 1]


def test_scores_that_are_no_probabilities_and_unknown_bins_are_refused():
    with pytest.raises(BadInput, match="no probability"):
        reliability_curve(np.array([1]), np.array([3.0]))
    with pytest.raises(BadConfig, match="bins=0"):
        reliability_curve(np.array([1]), np.array([0.5]), bins=0)
    with pytest.raises(BadConfig, match="binning='width'"):
        reliability_curve(np.array([1]), np.array([0.5]), binning="width")
