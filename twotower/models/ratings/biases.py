"""`RatingBiases`: the mean of all values, corrected by how a user and an item tend to differ from it."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.data.split import Split
from twotower.models.options import not_negative, require
from twotower.models.pairs import PairModel, known_or_last, range_of
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Ids, Times

MOST_SWEEPS, CLOSE = 1000, 1e-6
"""Alternation ends when no bias moves by more than `CLOSE` of the values' spread."""


@dataclass(kw_only=True, eq=False, repr=False)
class RatingBiases(PairModel):
    """Value = mean + user bias + item bias, with the biases that minimise the ridge loss

        Σ (value - mean - b_u - b_i)² + l2_users Σ b_u² + l2_items Σ b_i²

    which is found by solving for all users and for all items in turn: with the other side given, a bias is its sum of
    residuals / (its number of values + l2). Who has no values has bias 0.

    Relations: what every rating model must beat; `RatingMF` adds a product of vectors. All users get the same list.

    Source: Koren, Bell & Volinsky 2009, "Matrix factorization techniques for recommender systems", equation 3 (the same
    sum is equation 1 of Koren 2010, "Factor in the neighbors").

    Attributes:
        l2_users: as many values of a user at the mean are added to the user's own.
        l2_items: the same for items.
    """

    l2_users: float = 5.0
    l2_items: float = 2.0

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, l2_users=not_negative, l2_items=not_negative)
        self._mean, self._range = 0.0, (0.0, 0.0)
        self._user_bias, self._item_bias = np.zeros(1), np.zeros(1)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Learns from the values of `split.train`; validation is not looked at."""
        events = split.train
        value = events.value.astype(np.float64)
        self.n_items, self._range, self._mean = events.n_items, range_of(value), float(value.mean())
        of_users, of_items = np.zeros(events.n_users), np.zeros(events.n_items)
        for _ in range(MOST_SWEEPS):
            before = of_items
            of_users = _ridge(events.user, value - self._mean - of_items[events.item], len(of_users), self.l2_users)
            of_items = _ridge(events.item, value - self._mean - of_users[events.user], len(of_items), self.l2_items)
            if np.abs(of_items - before).max() <= CLOSE * value.std():
                break
        self._user_bias, self._item_bias = np.append(of_users, 0.0), np.append(of_items, 0.0)
        return self

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest training value."""
        return self._range

    def raw_values(self, users: Ids, items: Ids, at: Times | None) -> Floats:
        """The mean and whichever of the biases are known. Shape [P]."""
        of_users = self._user_bias[known_or_last(users, len(self._user_bias) - 1)]
        of_items = self._item_bias[known_or_last(items, len(self._item_bias) - 1)]
        return np.asarray(self._mean + of_users + of_items, np.float32)

    def state(self) -> dict[str, Array]:
        """Biases, the last of either side 0 for the unknown [U + 1], [N + 1]; the mean, lowest and highest value."""
        numbers = np.array([self._mean, *self._range])
        return {"user_bias": self._user_bias, "item_bias": self._item_bias, "mean_and_range": numbers}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._user_bias, self._item_bias = state["user_bias"], state["item_bias"]
        self._mean, low, high = (float(number) for number in state["mean_and_range"])
        self._range = low, high


def _ridge(rows: Array, residuals: Array, n: int, l2: float) -> Array:
    """The b that minimises Σ (residual - b_row)² + l2 Σ b²; 0 for rows without values. Shape [n]."""
    sums, counts = np.bincount(rows, residuals, n), np.bincount(rows, minlength=n)
    return np.asarray(np.divide(sums, counts + l2, out=np.zeros(n), where=counts > 0))
