"""What a benchmark found beyond a table of means: slices, gains, checks and stages, as plain values of a `Report`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twotower.evaluation.families import OTHER
from twotower.metrics.metric import Metric


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One metric of one model for a part of the users, or of the targets.

    Attributes:
        kind: what is sliced, a key of `slices.SLICES`.
        name: the slice.
        model: the contender.
        metric: e.g. "map@10".
        users: users of the slice who have a say: those with a target in it, for AUC with both outcomes.
        targets: their targets in it.
        mean: over these users.
        low: lower end of the bootstrap interval; None where users are too few for one.
        high: upper end.
        difference: mean minus the baseline's; None for the baseline itself or without one.
        difference_low: lower end of its interval (paired).
        difference_high: upper end.
        p_value: of "no difference" (paired permutation test, two-sided).
        p_holm: the same, corrected for all models and slices of this kind by this metric.
    """

    kind: str
    name: str
    model: str
    metric: str
    users: int
    targets: int
    mean: float
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """How much more one model reaches than another, as a share of the other's figure.

    Attributes:
        model: the contender.
        against: the other one.
        metric: e.g. "map@10".
        relative: ratio of the means minus one, below zero where lower is better and is reached; None where the other
            one has nothing.
        low: lower end of the bootstrap interval of the ratio, both drawn with the same users; None if it has no end.
        high: upper end.
    """

    model: str
    against: str
    metric: str
    relative: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PeerCheck:
    """Whether our form of a method is at least as good as that of another library.

    Attributes:
        peer: the other library's contender.
        ours: our contender of the same method.
        metric: e.g. "map@10".
        difference: our mean minus the peer's.
        low: lower end of the paired bootstrap interval.
        high: upper end.
        weaker: the peer is better and told apart: by `p_holm` where there is one, else by the interval.
        p_value: of "no difference" (paired permutation test, two-sided); None where it was not tested.
        p_holm: the same, corrected for all checks.
    """

    peer: str
    ours: str
    metric: str
    difference: float
    low: float
    high: float
    weaker: bool
    p_value: float | None = None
    p_holm: float | None = None

    @property
    def stronger(self) -> bool:
        """The whole interval lies on the better side of zero."""
        sign = Metric.parse(self.metric).sign
        return min(sign * self.low, sign * self.high) > 0


@dataclass(frozen=True, slots=True)
class StageGain:
    """What a contender adds to another one that it builds upon, such as RankNet to the towers' order.

    Attributes:
        model: with the stage.
        before: without it.
        metric: e.g. "map@10".
        mean: with it.
        before_mean: without it.
        difference: the first minus the second.
        low: lower end of the paired bootstrap interval.
        high: upper end.
        p_value: of "no difference" (paired permutation test, two-sided).
        p_holm: the same, corrected for all stages by this metric.
    """

    model: str
    before: str
    metric: str
    mean: float
    before_mean: float
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a scorer's probabilities mean what they say.

    Attributes:
        scorer: whose.
        predicted: mean probability of each bin.
        observed: how often it came true.
        pairs: pairs in it.
        ece: expected calibration error over all pairs.
    """

    scorer: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    pairs: tuple[int, ...]
    ece: float

    @property
    def factor(self) -> float:
        """How far off probabilities are: the mean ratio of foreseen and observed share, the larger over the smaller.

        It is a geometric mean, in which a bin weighs what is foreseen and observed in it, so that the many pairs that
        nobody chooses do not hide the few that matter. A bin without a choice is taken to hold half of one.
        """
        predicted, n = np.array(self.predicted), np.array(self.pairs)
        observed = np.maximum(np.array(self.observed), 0.5 / n)
        weight = n * (predicted + np.array(self.observed))
        return float(np.exp(np.average(np.abs(np.log(observed / np.maximum(predicted, 1e-12))), weights=weight)))


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one model.

    Attributes:
        model: the contender's name.
        metric: e.g. "map" or "rmse".
        k: the cut-off; None for metrics of predicted values.
        mean: over the users, or over their pairs.
        low: lower end of the bootstrap interval.
        high: upper end.
        difference: mean minus the baseline's mean; None for the baseline itself or without one.
        p_value: of "no difference from the baseline" (paired permutation test, two-sided); None as above.
        p_holm: the same, corrected for all models that are tested by this metric at this cut-off.
        sd: standard deviation between the means of several seeds; None where there is one fit.
    """

    model: str
    metric: str
    k: int | None
    mean: float
    low: float
    high: float
    difference: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    sd: float | None = None

    @property
    def key(self) -> str:
        """The metric as it is typed, e.g. "map@10" or "rmse"."""
        return self.metric if self.k is None else f"{self.metric}@{self.k}"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """How one contender came about and what it cost.

    Attributes:
        name: the contender's name.
        options: what it was fitted with.
        trials: options, score on validation, seconds and error of every trial.
        tuned_on: the metric by which the best trial was chosen, None if nothing was tuned.
        grid_size: combinations of the search, tried or not; 0 where options have ranges.
        tune_seconds: wall time of all trials.
        fit_seconds: wall time of the last fit.
        evaluate_seconds: wall time of the examination.
        users_per_second: of the examination.
        peak_memory_bytes: the most that the process held while this contender was tuned, fitted and examined, with what
            it held before; where the system cannot tell that (`Report.memory_apart`), the most so far.
        catalogue: coverage@k, gini@k, novelty@k, popularity_bias@k, diversity@k.
        at_border: options whose best value lies at the border of what was tried.
        family: what it is, a key of `families.FAMILIES`.
        seeds: of the fits that were averaged user by user; empty where there is one.
        follows: how it was brought to the moments of a rolling test; empty where all are asked once.
    """

    name: str
    options: Mapping[str, Any]
    trials: tuple[Mapping[str, Any], ...]
    tuned_on: str | None
    grid_size: int
    tune_seconds: float
    fit_seconds: float
    evaluate_seconds: float
    users_per_second: float
    peak_memory_bytes: int
    catalogue: Mapping[str, float | None]
    at_border: tuple[str, ...] = ()
    family: str = OTHER
    seeds: tuple[int, ...] = ()
    follows: str = ""


@dataclass(frozen=True, slots=True)
class IndexCost:
    """What one contender loses because it asks an approximate index.

    Attributes:
        model: the contender.
        index: the index in words.
        is_exact: the index loses nothing; then nothing is compared and the difference is 0.
        metric: e.g. "map@10".
        mean: with the index.
        exact_mean: with exact retrieval.
        difference: the first minus the second.
        low: lower end of the bootstrap interval of the difference.
        high: upper end.
        p_value: of "no difference" (paired permutation test, two-sided); None if the index is exact.
        p_holm: the same, corrected for all contenders that ask an index.
    """

    model: str
    index: str
    is_exact: bool
    metric: str
    mean: float
    exact_mean: float
    difference: float
    low: float
    high: float
    p_value: float | None
    p_holm: float | None = None

    @property
    def relative(self) -> float | None:
        """The difference as a share of what exact retrieval reaches; None if that is nothing."""
        return self.difference / self.exact_mean if self.exact_mean > 0 else None
