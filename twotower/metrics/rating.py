"""Metrics of predicted values and probabilities: one figure for many (user, item) pairs.

All take the truth first and the prediction second, one entry per pair, and refuse NaN and different lengths.
"""

import numpy as np
from scipy.stats import rankdata

from twotower.errors import BadInput
from twotower.types import Array, Float64s, Ids

_SMALLEST = float(np.finfo(np.float64).eps)


def rmse(truth: Array, predicted: Array) -> float:
    """Root of the mean squared error, in units of the rating.

    >>> rmse(np.array([1, 5]), np.array([2, 3]))  # sqrt((1 + 4) / 2)
    1.5811388300841898
    """
    truth, predicted = checked_pairs(truth, predicted)
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def mae(truth: Array, predicted: Array) -> float:
    """Mean absolute error, in units of the rating.

    >>> mae(np.array([1, 5]), np.array([2, 3]))  # (1 + 2) / 2
    1.5
    """
    truth, predicted = checked_pairs(truth, predicted)
    return float(np.abs(truth - predicted).mean())


def log_loss(truth: Array, probability: Array) -> float:
    """Mean negative log-likelihood of 0/1 outcomes, in nats.

    Convention: probabilities are kept 2.2e-16 away from 0 and 1, so that one sure mistake costs 36 and not infinity.

    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.75])), 4)  # (ln 2 + ln 4) / 2
    1.0397
    """
    return float(log_losses(truth, probability).mean())


def log_losses(truth: Array, probability: Array) -> Float64s:
    """`log_loss` of every pair. Shape [P]."""
    truth, probability = checked_outcomes(truth, probability)
    p = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return np.asarray(-(truth * np.log(p) + (1 - truth) * np.log1p(-p)))


def auc(truth: Array, scores: Array) -> float:
    """Probability that a random positive scores above a random negative; a tie counts one half.

    NaN where one of the two classes is missing.

    Source: Hanley & McNeil, Radiology 1982: the Mann-Whitney U statistic divided by positives times negatives.

    >>> auc(np.array([1, 0, 1, 0]), np.array([4, 3, 3, 1]))  # of 4 pairs 3 right, 1 tied: 3.5 / 4
    0.875
    """
    return float(auc_per_user(truth, scores, np.zeros(len(truth), np.int64))[0])


def auc_per_user(truth: Array, scores: Array, users: Ids) -> Float64s:
    """`auc` within every user, whose mean is the AUC of BPR-style papers.

    Args:
        truth: 0 or 1. Shape [P].
        scores: higher is better. Shape [P].
        users: numbers 0..B-1, in any order. Shape [P].

    Returns:
        One value per user; NaN for users without a positive or without a negative. Shape [B].

    >>> auc_per_user(np.array([1, 0, 1]), np.array([2, 1, 9]), np.array([0, 0, 1])).tolist()
    [1.0, nan]
    """
    truth, scores = checked_pairs(truth, scores)
    refuse_other_than_0_and_1(truth)
    if not len(users) == len(truth):
        raise BadInput(f"auc: {len(truth)} pairs but {len(users)} users; give one per pair")
    n_users = 1 + int(users.max())
    # Sorting by user first makes the ranks of all users parts of one ranking; a user's own start at his offset + 1.
    dense = np.unique(scores, return_inverse=True)[1]
    ranks = rankdata(users * (1 + int(dense.max())) + dense)
    sizes = np.bincount(users, minlength=n_users)
    positives = np.bincount(users, weights=truth, minlength=n_users)
    own_ranks = ranks - (np.cumsum(sizes) - sizes)[users]
    above = np.bincount(users, weights=truth * own_ranks, minlength=n_users) - positives * (positives + 1) / 2
    pairs = positives * (sizes - positives)
    found: Float64s = np.full(n_users, np.nan)
    np.divide(above, pairs, out=found, where=pairs > 0)
    return found


def checked_pairs(truth: Array, predicted: Array) -> tuple[Float64s, Float64s]:
    """Both as float64.

    Raises:
        BadInput: nothing, different lengths, or a NaN.
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.ndim != 1 or truth.shape != predicted.shape or not len(truth):
        raise BadInput(f"metrics: truth {truth.shape} and predictions {predicted.shape} must be equal and not empty")
    bad = np.isnan(truth) | np.isnan(predicted)
    if bad.any():
        raise BadInput(f"metrics: pair {int(bad.argmax())} is NaN; leave such pairs out or mend the model")
    return truth, predicted


def checked_outcomes(truth: Array, probability: Array) -> tuple[Float64s, Float64s]:
    """As `checked_pairs`; the truth must be 0 or 1, the predictions probabilities.

    Raises:
        BadInput: another truth, or a value outside 0 and 1.
    """
    truth, probability = checked_pairs(truth, probability)
    refuse_other_than_0_and_1(truth)
    out = (probability < 0) | (probability > 1)
    if out.any():
        raise BadInput(f"metrics: {probability[out][0]} is no probability; put scores through a sigmoid first")
    return truth, probability


def refuse_other_than_0_and_1(truth: Float64s) -> None:
    """Raises BadInput for an outcome that is neither."""
    other = (truth != 0) & (truth != 1)
    if other.any():
        raise BadInput(f"metrics: outcome {truth[other][0]} must be 0 or 1; binarise ratings first")
