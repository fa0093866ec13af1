"""`Ratio`: one metric user by user, whose figure is a ratio of sums over users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twotower.metrics.metric import Metric
from twotower.types import Bools, Float64s


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """Amounts and weights of users: Σ average precision / Σ 1, Σ squared errors / Σ pairs, Σ AUC / Σ users with both.

    Attributes:
        metric: what it is; of the ratio of squared errors it takes the root.
        amount: what is added up, read-only. Shape [B].
        weight: what the sum is divided by, 0 for users without a say; None: 1 for everyone. Shape [B].
    """

    metric: Metric
    amount: Float64s
    weight: Float64s | None = None

    def __post_init__(self) -> None:
        """Keeps others from changing what several tables are made of."""
        for values in (self.amount, self.weight):
            if values is not None:
                values.setflags(write=False)

    @property
    def has_say(self) -> Bools:
        """Users who count. Shape [B]."""
        return np.ones(len(self.amount), np.bool_) if self.weight is None else np.asarray(self.weight > 0)

    @property
    def values(self) -> Float64s:
        """The figure of every user alone; NaN for those without a say. Shape [B]."""
        if self.weight is None:
            return self.metric.figure(self.amount)
        alone = np.full(len(self.amount), np.nan)
        np.divide(self.amount, self.weight, out=alone, where=self.weight > 0)
        return self.metric.figure(alone)

    def mean(self) -> float:
        """The figure of all users together; NaN if nobody has a say."""
        weight = 1.0 if self.weight is None else self.weight.mean()
        return float(self.metric.figure(self.amount.mean() / weight)) if weight > 0 else float("nan")

    def of(self, members: Bools) -> "Ratio":
        """That of a part of the users."""
        return Ratio(self.metric, self.amount[members], None if self.weight is None else self.weight[members])


def ratios_of_lists(values: Mapping[str, Float64s]) -> dict[str, Ratio]:
    """Metrics of lists, one value per user: NaN has no say, everybody else counts once.

    Args:
        values: metric to one value per user. Shapes [B].
    """
    return {name: mean_of_users(Metric.parse(name), per_user) for name, per_user in values.items()}


def mean_of_users(metric: Metric, values: Float64s) -> Ratio:
    """A metric that is a mean over the users who have a value."""
    undefined = np.isnan(values)
    if not undefined.any():
        return Ratio(metric, values)
    return Ratio(metric, np.where(undefined, 0.0, values), (~undefined).astype(np.float64))


def mean_ratio(parts: Sequence[Ratio]) -> Ratio:
    """User by user the mean of several fits; weights are those of the first, since all were asked the same."""
    amount: Float64s = np.mean([part.amount for part in parts], axis=0)
    return Ratio(parts[0].metric, amount, parts[0].weight)
