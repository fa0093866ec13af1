"""How sure a figure is: bootstrap intervals of ratios over users and paired tests, of one figure or of differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twotower.errors import BadConfig
from twotower.evaluation.ratio import Ratio
from twotower.metrics.significance import percentiles, permutation_test, resampled_means
from twotower.types import Float64s


@dataclass(frozen=True, slots=True)
class Draws:
    """How intervals and tests are drawn.

    Attributes:
        resamples: of bootstrap and permutation test.
        level: of intervals, e.g. 0.95.
        seed: of both.
    """

    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0


def resampled_figures(ratios: Sequence[Ratio], draws: Draws) -> Float64s:
    """Figures over users drawn with replacement, each with all that he has; every ratio with the same users.

    Returns:
        NaN where nobody who was drawn has a say. Shape [R, ratios].
    """
    weights = {id(ratio.weight): ratio.weight for ratio in ratios if ratio.weight is not None}
    columns = np.column_stack([*(ratio.amount for ratio in ratios), *weights.values()])
    means = resampled_means(columns, resamples=draws.resamples, seed=draws.seed)
    divisors = dict(zip(weights, means[:, len(ratios) :].T, strict=True))
    figures = means[:, : len(ratios)]
    with np.errstate(divide="ignore", invalid="ignore"):
        for at, ratio in enumerate(ratios):
            if ratio.weight is not None:
                figures[:, at] /= divisors[id(ratio.weight)]
            figures[:, at] = ratio.metric.figure(figures[:, at])
    return figures


def interval_ends(figures: Float64s, level: float) -> tuple[Float64s, Float64s]:
    """Both ends of the percentile intervals of columns; samples without a figure are left out. Shapes [M].

    Args:
        figures: of `resampled_figures`. Shape [R, M].
        level: e.g. 0.95.
    """
    if not np.isnan(figures).any():
        return percentiles(figures, level)
    ends = [percentiles(column[~np.isnan(column)][:, None], level) for column in figures.T]
    return np.array([low[0] for low, _ in ends]), np.array([high[0] for _, high in ends])


def resampled_difference(ratio: Ratio, other: Ratio, draws: Draws) -> Float64s:
    """The first figure minus the second, over the same users drawn with replacement. Shape [R, 1]."""
    change = amounts_changed(ratio, other)
    if ratio.metric.is_linear:
        return resampled_figures([Ratio(ratio.metric, change, ratio.weight)], draws)
    figures = resampled_figures([ratio, other], draws)
    return figures[:, :1] - figures[:, 1:]


def difference_p_values(pairs: Sequence[tuple[Ratio, Ratio]], draws: Draws) -> Float64s:
    """p-values of "no difference": what a user adds to both changes sides. Shape [pairs]."""
    changes = np.column_stack([amounts_changed(ratio, other) for ratio, other in pairs])
    return permutation_test(changes, resamples=draws.resamples, seed=draws.seed)


def amounts_changed(ratio: Ratio, other: Ratio) -> Float64s:
    """What every user adds to the first more than to the second. Shape [B].

    Raises:
        BadConfig: the two divide by different sums, so that amounts cannot be set against each other.
    """
    if ratio.weight is not other.weight and not np.array_equal(_weights(ratio), _weights(other)):
        raise BadConfig(f"{ratio.metric}: the two models were asked of different pairs; give both the same split")
    return ratio.amount - other.amount


def _weights(ratio: Ratio) -> Float64s:
    return np.ones(len(ratio.amount)) if ratio.weight is None else ratio.weight
