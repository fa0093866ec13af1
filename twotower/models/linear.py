"""`EASE`: the best linear item-item model in closed form, for catalogues whose square fits in memory."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import lapack

from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.models.base import ScoringModel
from twotower.models.matrix import has_any, history_matrix, pair_matrix, popularity, with_fallback
from twotower.models.options import count, positive, require
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries


@dataclass(kw_only=True, eq=False, repr=False)
class EASE(ScoringModel):
    """Scores a history x by x·B, where B minimises |X - XB|² + l2·|B|² with an empty diagonal.

    With P = (XᵀX + l2·I)⁻¹ the solution is B_ij = -P_ij / P_jj, B_jj = 0: one Cholesky factorisation in float64,
    8·N² bytes. Queries without a known item get the popular list.

    Relations: ItemKNN with fitted instead of counted similarities; SLIM without its sign and sparsity constraints.

    Source: Steck 2019, "Embarrassingly shallow autoencoders for sparse data", eq. 8.

    Attributes:
        l2: weight of the ridge term, in events; without it the closed form has no solution.
        max_items: larger catalogues are refused (20,000 items need 3.2 GB).
    """

    l2: float = 500.0
    max_items: int = 20_000

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, l2=positive, max_items=count)
        self._weights: Floats = np.empty((0, 0), np.float32)
        self._popular: Floats = np.empty(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Solves the closed form on `split.train`.

        Raises:
            BadConfig: the catalogue is larger than `max_items`.
        """
        n = split.train.n_items
        if n > self.max_items:
            raise BadConfig(
                f"EASE holds a matrix of {n}² numbers ({8e-9 * n * n:.0f} GB), more than max_items={self.max_items} "
                "allows; take ItemKNN or ALS, or raise max_items"
            )
        users = pair_matrix(split.train.unique_pairs()).astype(np.float64)
        self._weights = closed_form((users.T @ users).toarray(), self.l2)
        self._popular = popularity(split.train)
        self.n_items = n
        return self

    def score(self, queries: Queries) -> Floats:
        """x·B; the popular list for an empty history. Shape [B, N]."""
        self._check(queries)
        history = history_matrix(queries.histories, self.n_items)
        history.data = np.ones_like(history.data)
        return with_fallback(history @ self._weights, self._popular, ~has_any(queries))

    def state(self) -> dict[str, Array]:
        """Item-item weights [N, N] and popularity [N]."""
        return {"weights": self._weights, "popular": self._popular}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._weights, self._popular = state["weights"], state["popular"]


def closed_form(gram: Array, l2: float) -> Floats:
    """B = -P / diag(P) with an empty diagonal, P the inverse of `gram` + l2·I.

    Args:
        gram: XᵀX, float64. Shape [N, N]. Overwritten.
        l2: ridge term.

    Returns:
        float32. Shape [N, N].
    """
    gram[np.diag_indices_from(gram)] += l2
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    if failed:
        raise BadConfig(f"EASE: the Gram matrix is not positive definite at row {failed}; raise l2 (now {l2})")
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)  # only its lower triangle is filled
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights, np.float32)
