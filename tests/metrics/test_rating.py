"""RMSE, MAE, log-loss, AUC: arithmetic by hand and scikit-learn on random pairs."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from twotower.errors import BadInput
from twotower.metrics.rating import auc, auc_per_user, log_loss, mae, rmse

RNG = np.random.default_rng(5)
OUTCOMES = RNG.integers(0, 2, 500)
PROBABILITIES = RNG.random(500).round(2)  # many ties


def test_errors_of_ratings_agree_with_scikit_learn():
    truth, predicted = RNG.integers(1, 6, 300), 5 * RNG.random(300)
    assert rmse(truth, predicted) == pytest.approx(oracle.root_mean_squared_error(truth, predicted), abs=1e-12)
    assert mae(truth, predicted) == pytest.approx(oracle.mean_absolute_error(truth, predicted), abs=1e-12)


def test_log_loss_agrees_with_scikit_learn_and_one_sure_mistake_is_finite():
    assert log_loss(OUTCOMES, PROBABILITIES) == pytest.approx(oracle.log_loss(OUTCOMES, PROBABILITIES), abs=1e-9)
    assert log_loss(np.array([1]), np.array([0.0])) == pytest.approx(-np.log(2.0**-52))  # 36.04


def test_auc_agrees_with_scikit_learn_with_ties():
    assert auc(OUTCOMES, PROBABILITIES) == pytest.approx(oracle.roc_auc_score(OUTCOMES, PROBABILITIES), abs=1e-12)


def test_auc_of_equal_scores_is_one_half_and_of_one_class_undefined():
    assert auc(np.array([1, 0, 0]), np.full(3, 7.0)) == 0.5
    assert np.isnan(auc(np.array([1, 1]), np.array([0.1, 0.2])))


def test_auc_of_every_user_is_that_of_his_pairs_alone():
    users = RNG.integers(0, 60, 500)
    found = auc_per_user(OUTCOMES, PROBABILITIES, users)
    for user in range(60):
        own = users == user
        if len(set(OUTCOMES[own])) == 2:
            assert found[user] == pytest.approx(oracle.roc_auc_score(OUTCOMES[own], PROBABILITIES[own]), abs=1e-12)
        else:
            assert np.isnan(found[user])


@pytest.mark.parametrize("metric", [rmse, mae, log_loss, auc])
def test_nan_emptiness_and_different_lengths_are_refused(metric):
    with pytest.raises(BadInput, match="pair 1 is NaN"):
        metric(np.array([1, 0]), np.array([0.5, np.nan]))
    with pytest.raises(BadInput, match="not empty"):
        metric(np.empty(0), np.empty(0))
    with pytest.raises(BadInput, match="must be equal"):
        metric(np.ones(2), np.ones(3))


def test_outcomes_and_probabilities_must_be_such():
    with pytest.raises(BadInput, match=r"outcome 2\.0 must be 0 or 1"):
        auc(np.array([2, 0]), np.array([0.5, 0.1]))
    with pytest.raises(BadInput, match=r"1\.5 is no probability"):
        log_loss(np.array([1, 0]), np.array([0.5, 1.5]))
