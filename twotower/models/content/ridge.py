"""`ContentRidge`: for every user a ridge regression of what was touched on the content of items, in closed form."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.models.content.base import ContentModel
from twotower.models.matrix import Sparse, all_zero, history_matrix
from twotower.models.options import count, not_negative, positive, require
from twotower.types import Array, Floats, Queries


@dataclass(kw_only=True, eq=False, repr=False)
class ContentRidge(ContentModel):
    """Scores by x_i · w_u, where w_u minimises |y_u - X w|² + l2·|w - prior·w̄|² over the items with training events.

    X are the items' unit rows of TF-IDF tokens, y_u is 1 for the items of the history and 0 for all others, w̄ the mean
    of the training users' weights. All users share one matrix, so that with P = (XᵀX + l2·I)⁻¹ the solution is
    w_u = P (Xᵀy_u + l2·prior·w̄). Where there are fewer items than tokens the same follows from the inverse of
    XXᵀ + l2·I. An item of the history without training events adds its row to Xᵀy_u.

    Relations: `ContentKNN` whose tokens are not taken as independent (P in the place of the identity); EASE on content.

    Source: Hoerl & Kennard 1970, "Ridge regression"; Pazzani & Billsus 2007, "Content-based recommendation systems",
    section 10.3 (linear models of a user).

    Attributes:
        l2: weight of the ridge term.
        min_count: tokens of fewer items with training events are left out; every token costs a row of the matrix.
        prior: how far users of few items are taken to be like all users, in means of their weights.
        max_size: a Gram matrix of more rows is refused (20,000 rows take 3.2 GB while they are inverted).
    """

    min_count: int = 5
    l2: float = 5.0
    prior: float = 0.0
    max_size: int = 20_000

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        ContentModel.__post_init__(self)
        require(self, l2=positive, prior=not_negative, max_size=count)
        self._inverse: Floats = np.empty((0, 0), np.float32)
        self._pull: Floats = np.empty(0, np.float32)

    def learn(self, split: Split) -> None:
        """Inverts the smaller of the two Gram matrices.

        Raises:
            BadConfig: it has more than `max_size` rows.
        """
        x = self._items[self._popular > 0]
        size = min(x.shape)
        if size > self.max_size:
            raise BadConfig(
                f"ContentRidge: {x.shape[0]} items with {x.shape[1]} tokens need a matrix of {size}² numbers "
                f"({8e-9 * size * size:.0f} GB), more than max_size={self.max_size} allows; raise min_count or max_size"
            )
        self._inverse = inverse_of((x.T @ x if self._by_tokens else x @ x.T).toarray().astype(np.float64), self.l2)
        users = np.bincount(split.train.user) > 0
        mean = self._popular / users.sum()  # [N]: y of all users together
        self._pull = self._shrunk(self._solved(sparse.csr_array(mean[None]))[0])

    def token_weights(self, queries: Queries) -> Floats:
        """Weights w of each user, 0 for one without a known item. Shape [B, T]."""
        history = history_matrix(queries.histories, self.n_items)
        history.data = np.ones_like(history.data)
        weights = self._solved(history)
        weights[~all_zero(weights)] += self.prior * self._pull
        return weights

    @property
    def _by_tokens(self) -> bool:
        """Whether tokens are not more than items with training events: the inverse is of the smaller kind."""
        return bool(self._items.shape[1] <= np.count_nonzero(self._popular))

    def _solved(self, history: Sparse) -> Floats:
        """P Xᵀy of every row y. Shapes [B, N] -> [B, T]."""
        if self._by_tokens:
            return np.asarray((history @ self._items) @ self._inverse, np.float32)
        # Xᵀ(XXᵀ + l2·I)⁻¹y for items y that X holds; P v = (v - Xᵀ(XXᵀ + l2·I)⁻¹X v) / l2 for content v beside it
        seen = self._popular > 0
        x, beside = self._items[seen], history.copy()
        beside.data = np.where(seen[history.indices], 0, history.data / self.l2).astype(np.float32)
        v = beside @ self._items  # [B, T]
        dual = sparse.csr_array(history[:, np.flatnonzero(seen)] - v @ x.T) @ self._inverse  # [B, items seen]
        return np.asarray((x.T @ np.ascontiguousarray(dual.T)).T + v.toarray(), np.float32)

    def _shrunk(self, weights: Floats) -> Floats:
        """l2·P w. Shape [T]."""
        if self._by_tokens:
            return np.asarray(self.l2 * (self._inverse @ weights), np.float32)
        x = self._items[self._popular > 0]
        return np.asarray(weights - x.T @ (self._inverse @ (x @ weights)), np.float32)

    def state(self) -> dict[str, Array]:
        """Tokens and worth of items, the inverse, and the pull towards all users [T]."""
        return {**super().state(), "inverse": self._inverse, "pull": self._pull}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        super().set_state(state)
        self._inverse, self._pull = state["inverse"], state["pull"]


def inverse_of(gram: Array, l2: float) -> Floats:
    """(`gram` + l2·I)⁻¹ by Cholesky in float64.

    Args:
        gram: XᵀX or XXᵀ, float64. Overwritten. Shape [n, n].
        l2: ridge term, above 0.

    Returns:
        float32. Shape [n, n].
    """
    if not len(gram):
        return np.empty((0, 0), np.float32)
    gram[np.diag_indices_from(gram)] += l2
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise BadConfig(f"ContentRidge: the Gram matrix is not positive definite at row {failed}; raise l2 (now {l2})")
    inverse = np.asarray(lapack.dpotri(factor, lower=1, overwrite_c=1)[0], np.float32)  # only its lower triangle
    return np.tril(inverse) + np.tril(inverse, -1).T
