"""The examination of predicted values: errors, log-loss and AUC of target pairs, added up by user."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twotower.data.split import Holdout
from twotower.evaluation.accumulator import Slicing
from twotower.evaluation.ratio import Ratio, mean_of_users
from twotower.metrics.metric import Metric
from twotower.metrics.rating import auc_per_user, checked_pairs, log_losses
from twotower.protocols import PairPredictor
from twotower.types import Bools, Float64s, Ids

PAIRS_AT_ONCE = 2**18
"""Pairs that a model is asked for at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Target pairs with their values and what a model foresaw.

    Attributes:
        truth: values of the targets. Shape [P].
        predicted: values foreseen. Shape [P].
        row: place of each pair's user among the users asked. Shape [P].
        item: of each pair. Shape [P].
        n_users: users asked.
    """

    truth: Float64s
    predicted: Float64s
    row: Ids
    item: Ids
    n_users: int

    @classmethod
    def of(cls, model: PairPredictor, holdout: Holdout) -> "Predictions":
        """Asks for the value of every target, at the moment of the target.

        Raises:
            BadInput: a prediction is missing or NaN.
        """
        target = holdout.target
        users, items = target.user.astype(np.int64), target.item.astype(np.int64)
        blocks = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(target), PAIRS_AT_ONCE)]
        foreseen = np.concatenate([model.predict(users[at], items[at], target.time[at]) for at in blocks])
        truth, predicted = checked_pairs(target.value, foreseen)
        asked = holdout.users()
        return cls(truth, predicted, np.searchsorted(asked, users), items, len(asked))

    @property
    def are_probabilities(self) -> bool:
        """Whether every prediction lies within 0..1."""
        return bool(self.predicted.min() >= 0 and self.predicted.max() <= 1)

    def per_user(self, metrics: Sequence[str]) -> dict[str, Ratio]:
        """Metrics user by user: AUC is a mean over users with both outcomes, the others are over pairs.

        Raises:
            BadInput: log-loss of predictions that are no probabilities.
        """
        pairs = np.bincount(self.row, minlength=self.n_users).astype(np.float64)
        return {name: self._auc() if name == "auc" else self._over_pairs(name, pairs) for name in metrics}

    def sliced(self, metrics: Sequence[str], items: Slicing) -> dict[str, dict[str, Ratio]]:
        """The same for the targets of every group of items; users without one in it have no say."""
        groups = items.groups[self.item]
        return {name: self._where(groups == group).per_user(metrics) for group, name in enumerate(items.names)}

    def _where(self, pairs: Bools) -> "Predictions":
        """Some of the pairs, over the same users."""
        return Predictions(self.truth[pairs], self.predicted[pairs], self.row[pairs], self.item[pairs], self.n_users)

    def _over_pairs(self, name: str, pairs: Float64s) -> Ratio:
        if name == "log_loss":
            errors = log_losses(self.truth, self.predicted) if len(self.truth) else self.truth
        else:
            errors = np.abs(self.predicted - self.truth) if name == "mae" else (self.predicted - self.truth) ** 2
        return Ratio(Metric(name), np.bincount(self.row, errors, self.n_users).astype(np.float64), pairs)

    def _auc(self) -> Ratio:
        of_users = np.full(self.n_users, np.nan)
        if len(self.truth):
            auc = auc_per_user(self.truth, self.predicted, self.row)
            of_users[: len(auc)] = auc
        return mean_of_users(Metric("auc"), of_users)
