"""`PairModel`: the contract of models that predict a value for a pair of user and item."""

from abc import abstractmethod

import numpy as np

from twotower.models.base import ScoringModel
from twotower.types import Array, Floats, Ids, Queries, Times, TopK

BLOCK_PAIRS = 1 << 18
"""Pairs handed to `raw_values` at once: a model with vectors of 64 numbers needs 130 MB for those of both sides."""


class PairModel(ScoringModel):
    """Predicts values of pairs; its lists are the items of the highest values, whatever the catalogue's size.

    Users and items without training events, and ids that nobody knows, get values that say so little, never an error.
    """

    serves_new_users = False
    predicts_values = True

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest value that `predict` gives."""
        return -np.inf, np.inf

    @abstractmethod
    def raw_values(self, users: Ids, items: Ids, at: Times | None) -> Floats:
        """Values before they are cut to `value_range`, so that the best of them still differ. Shape [P].

        A pair's value does not depend on the other pairs. Ids that are no row of training mean somebody unknown.
        """

    def predict(self, users: Ids, items: Ids, at: Times | None = None) -> Floats:
        """Predicted values of pairs of internal ids.

        Args:
            users: internal ids; others stand for an unknown user. Shape [P].
            items: internal ids; others stand for an unknown item. Shape [P].
            at: moments in seconds since the epoch, for models to which time matters. Shape [P].

        Returns:
            Within `value_range`. Shape [P].

        Raises:
            NotFitted: neither `fit` nor `load` was called.
        """
        self._check_fitted()
        return np.clip(self._in_blocks(users, items, at), *self.value_range)

    def pair_scores(self, queries: Queries, candidates: TopK) -> Floats:
        """Values of the candidates, not cut; what stands at padding means nothing. Shape [B, C]."""
        self._check(queries)
        return self._of_lists(queries, candidates.items)

    def score(self, queries: Queries) -> Floats:
        """Values of the whole catalogue, not cut. Shape [B, N]."""
        self._check(queries)
        return self._of_lists(queries, np.broadcast_to(np.arange(self.n_items), (len(queries), self.n_items)))

    def _of_lists(self, queries: Queries, items: Ids) -> Floats:
        """Values of items [B, C] for each query's user, the same for a query alone and among others. Shape [B, C]."""
        users = np.broadcast_to(queries.users[:, None], items.shape)
        return self._in_blocks(users.ravel(), items.ravel(), None).reshape(items.shape)

    def _in_blocks(self, users: Ids, items: Ids, at: Times | None) -> Floats:
        values = np.empty(len(users), np.float32)
        for start in range(0, len(users), BLOCK_PAIRS):
            block = slice(start, start + BLOCK_PAIRS)
            values[block] = self.raw_values(users[block], items[block], None if at is None else at[block])
        return values


def known_or_last(ids: Ids, n: int) -> Ids:
    """Ids as rows of a table whose last row, n, stands for everybody unknown. Same shape.

    >>> known_or_last(np.array([0, 4, -1, 9]), 5).tolist()
    [0, 4, 5, 5]
    """
    return np.asarray(np.where((ids >= 0) & (ids < n), ids, n))


def range_of(values: Array) -> tuple[float, float]:
    """Lowest and highest of some values."""
    return float(values.min()), float(values.max())
