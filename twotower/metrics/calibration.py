"""Whether a scorer's probabilities mean what they say: the reliability curve and its summary, the ECE."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from twotower.errors import BadConfig
from twotower.metrics.rating import checked_outcomes
from twotower.types import Array, Float64s, Ids

Binning = Literal["uniform", "quantile"]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Predicted against observed frequency in bins that hold anything.

    Attributes:
        predicted: mean probability of a bin. Shape [<= bins].
        observed: share of positives in it. Shape [<= bins].
        count: pairs in it. Shape [<= bins].
    """

    predicted: Float64s
    observed: Float64s
    count: Ids

    @property
    def ece(self) -> float:
        """Mean gap between predicted and observed, weighted by pairs."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.count))


def reliability_curve(truth: Array, probability: Array, *, bins: int = 10, binning: Binning = "uniform") -> Reliability:
    """Bins probabilities and compares their mean with the share of positives.

    Args:
        truth: 0 or 1. Shape [P].
        probability: of 1. Shape [P].
        bins: at most so many; empty ones are left out.
        binning: "uniform" cuts 0..1 into equal widths, "quantile" into equal numbers of pairs (equal
            probabilities are never torn apart).

    Raises:
        BadInput: no pairs, NaN, an outcome besides 0 and 1, a value that is no probability.
        BadConfig: no bin, or an unknown binning.

    Source: DeGroot & Fienberg, The Statistician 1983.

    >>> curve = reliability_curve(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.9, 0.9]), bins=2)
    >>> curve.predicted.tolist(), curve.observed.tolist(), curve.count.tolist()
    ([0.2, 0.9], [0.5, 1.0], [2, 2])
    """
    if bins < 1 or binning not in ("uniform", "quantile"):
        raise BadConfig(f"reliability: bins={bins} must be at least 1, binning={binning!r} uniform or quantile")
    truth, probability = checked_outcomes(truth, probability)
    edges = np.linspace(0, 1, bins + 1)
    if binning == "quantile":
        edges = np.quantile(probability, edges)
    where = np.searchsorted(edges[1:-1], probability, side="right")  # a probability on an edge goes up
    return binned_reliability(truth, probability, where)


def binned_reliability(truth: Array, probability: Array, where: Ids) -> Reliability:
    """The same in bins of the caller's own.

    Args:
        truth: outcomes, or shares of one. Shape [P].
        probability: what was foreseen of them. Shape [P].
        where: the number of each pair's bin, from 0. Shape [P].
    """
    count = np.bincount(where)
    kept = count > 0
    means = [np.bincount(where, weights=values)[kept] / count[kept] for values in (probability, truth)]
    return Reliability(means[0], means[1], count[kept])


def expected_calibration_error(
    truth: Array, probability: Array, *, bins: int = 10, binning: Binning = "uniform"
) -> float:
    """ECE: the mean gap of the reliability curve, weighted by pairs; 0 is calibrated, depends on the bins.

    Source: Naeini, Cooper & Hauskrecht, AAAI 2015.

    >>> truth, probability = np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.9, 0.9])
    >>> round(expected_calibration_error(truth, probability, bins=2), 4)  # (2 * |.2 - .5| + 2 * |.9 - 1|) / 4
    0.2
    """
    return reliability_curve(truth, probability, bins=bins, binning=binning).ece
