"""How sure a mean over users is: bootstrap intervals, the paired permutation test, Holm's correction.

A column is the per-user values of one metric of one model. All columns share the same resamples, so intervals of
differences between models are paired by construction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from twotower.errors import BadConfig, BadInput
from twotower.types import Float64s

_CELLS = 4_000_000
"""Resampling weights held at once: 32 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Means over users with percentile bootstrap intervals.

    Attributes:
        mean: of the users themselves. Shape [M].
        low: lower end. Shape [M].
        high: upper end. Shape [M].
        level: e.g. 0.95.
    """

    mean: Float64s
    low: Float64s
    high: Float64s
    level: float


def bootstrap_intervals(values: Float64s, *, resamples: int = 10_000, level: float = 0.95, seed: int = 0) -> Intervals:
    """Percentile intervals of the means of columns; users are drawn with replacement.

    Args:
        values: one row per user, one column per metric; no NaN. Shape [B, M].
        resamples: bootstrap samples.
        level: probability that an interval covers.
        seed: of the draws.

    Raises:
        BadInput: no users, or a NaN.
        BadConfig: no resamples, or a level outside (0, 1).

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    >>> same = bootstrap_intervals(np.full((20, 1), 0.25), resamples=100)
    >>> float(same.low[0]), float(same.high[0])
    (0.25, 0.25)
    """
    low, high = percentiles(resampled_means(values, resamples=resamples, seed=seed), level)
    return Intervals(values.mean(axis=0), low, high, level)


def resampled_means(values: Float64s, *, resamples: int = 10_000, seed: int = 0) -> Float64s:
    """Means of columns over users drawn with replacement: what any interval of means, or of their ratio, is made of.

    Args:
        values: one row per user, one column per quantity; no NaN. Shape [B, M].
        resamples: bootstrap samples. R of them.
        seed: of the draws; the same for equal seeds and numbers of users.

    Returns:
        Shape [R, M].

    Raises:
        BadInput: no users, or a NaN.
        BadConfig: no resamples.
    """
    _check(values, resamples)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for rows in _chunks(resamples, len(values)):
        means[rows] = _resampled_counts(rng, rows.stop - rows.start, len(values)) @ values / len(values)
    return means


def percentiles(resampled: Float64s, level: float) -> tuple[Float64s, Float64s]:
    """Both ends of the percentile intervals of columns [R, M]. Shapes [M].

    >>> low, high = percentiles(np.arange(101.0)[:, None], level=0.9)
    >>> low.round(6).tolist(), high.round(6).tolist()
    ([5.0], [95.0])
    """
    if not 0 < level < 1:
        raise BadConfig(f"bootstrap: level={level} must lie between 0 and 1")
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return np.asarray(low), np.asarray(high)


def permutation_test(differences: Float64s, *, resamples: int = 10_000, seed: int = 0) -> Float64s:
    """Two-sided p-values of "the mean paired difference is zero", by flipping signs at random.

    The observed assignment counts as one of the permutations, so no p-value is below 1 / (resamples + 1).

    Args:
        differences: model minus baseline, one row per user; no NaN. Shape [B, M].
        resamples: random sign assignments.
        seed: of the draws.

    Raises:
        BadInput: no users, or a NaN.

    Source: Fisher's randomisation test, as recommended for retrieval by Smucker, Allan & Carterette, CIKM 2007.

    >>> permutation_test(np.array([[1.0, 0.0]] * 20), resamples=999).tolist()  # all better; all equal
    [0.001, 1.0]
    """
    _check(differences, resamples)
    moved = differences[(differences != 0).any(axis=1)]
    observed = np.abs(moved.sum(axis=0))
    reached = np.ones(differences.shape[1])
    rng = np.random.default_rng(seed)
    for rows in _chunks(resamples, max(1, len(moved))):
        signs = rng.integers(0, 2, (rows.stop - rows.start, len(moved)), dtype=np.int8) * 2.0 - 1.0
        reached += (np.abs(signs @ moved) >= observed - 1e-9 * (1 + observed)).sum(axis=0)
    return np.asarray(reached / (resamples + 1))


def holm(p_values: Float64s) -> Float64s:
    """p-values corrected for the number of tests of one family, e.g. of all models against one baseline.

    A corrected p at or below alpha keeps the probability of any false alarm in the family at or below alpha, however
    the tests depend on each other.

    Args:
        p_values: of one family. Shape [M].

    Raises:
        BadInput: a value outside 0 and 1, or NaN.

    Source: Holm, Scandinavian Journal of Statistics 1979 (step-down).

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()  # 3 * .01, 2 * .03, 1 * .04 but no less than before
    [0.03, 0.06, 0.06]
    """
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise BadInput(f"holm: p-values must lie between 0 and 1, got {p_values}")
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


def holm_where_known(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of the p-values of a family; what was not tested stays None.

    >>> holm_where_known([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    known = [at for at, p_value in enumerate(p_values) if p_value is not None]
    corrected: list[float | None] = [None] * len(p_values)
    if known:
        for at, p_value in zip(known, holm(np.array([p_values[at] for at in known], np.float64)), strict=True):
            corrected[at] = float(p_value)
    return corrected


def _resampled_counts(rng: np.random.Generator, n_samples: int, n_users: int) -> Float64s:
    """How often each user is drawn in each sample. Shape [n_samples, n_users]."""
    drawn = rng.integers(0, n_users, (n_samples, n_users)) + np.arange(n_samples)[:, None] * n_users
    counts = np.bincount(drawn.ravel(), minlength=n_samples * n_users)
    return counts.reshape(n_samples, n_users).astype(np.float64)


def _chunks(resamples: int, n_users: int) -> Iterator[slice]:
    size = max(1, _CELLS // n_users)
    for start in range(0, resamples, size):
        yield slice(start, min(start + size, resamples))


def _check(values: Float64s, resamples: int) -> None:
    if values.ndim != 2 or not len(values):
        raise BadInput(f"bootstrap: values must be [users, metrics] with at least one user, got {values.shape}")
    if np.isnan(values).any():
        raise BadInput(f"bootstrap: row {int(np.isnan(values).any(axis=1).argmax())} is NaN; leave such users out")
    if resamples < 1:
        raise BadConfig(f"bootstrap: resamples={resamples} must be at least 1")
