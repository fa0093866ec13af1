"""`ALS`: implicit matrix factorisation by alternating least squares, with users folded in from their histories."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.data.split import Split
from twotower.models.factorization.least_squares import RowSolver
from twotower.models.matrix import Sparse, has_any, history_matrix, pair_matrix, popularity
from twotower.models.options import between, count, positive, require
from twotower.models.vector_model import VectorModel
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries

INIT_SCALE = 0.1
"""Standard deviation of the first item vectors' length (Rendle et al. 2021 use the same)."""


@dataclass(kw_only=True, eq=False, repr=False)
class ALS(VectorModel):
    """Score = x_u · y_i, where all pairs count: observed ones as 1 with confidence 1 + alpha·r, all others as 0 with 1.

    Minimises Σ_ui c_ui (p_ui - x_u·y_i)² + Σ_u l2_u |x_u|² + Σ_i l2_i |y_i|² by solving users and items in turn.
    r is the number of events of the pair. l2_row = l2 · (C_row / mean C)^l2_power, C_row = the row's total confidence:
    power 0 is the paper of 2008, 1 regularises in proportion to frequency (Rendle et al. found about 1 best).
    Item vectors are 0 for items without training events.

    A query's vector is solved from its history, so unknown users with a history and users with newer events are served
    by the same formula as in training; a known user without history gets the trained vector, anybody else the popular
    list.

    Relations: the same score as MF, fitted on all pairs at once instead of on sampled negatives.

    Source: Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets"; Rendle, Krichene, Zhang
    & Koren 2021, "Revisiting the performance of iALS on item recommendation benchmarks" (frequency scaling, init).

    Attributes:
        dim: length D of the vectors.
        epochs: passes; each solves all users, then all items.
        alpha: confidence that one event adds to the 1 of an unobserved pair.
        l2: ridge term of a row of mean confidence.
        l2_power: how strongly the ridge term grows with a row's confidence, 0..1.
        seed: of the first item vectors.
    """

    dim: int = 128
    epochs: int = 12
    alpha: float = 1.5
    l2: float = 15.0
    l2_power: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, dim=count, epochs=count, alpha=positive, l2=positive, l2_power=between(0, 1))
        self._user_vectors: Floats = np.empty((0, self.dim), np.float32)
        self._item_vectors: Floats = np.empty((0, self.dim), np.float32)
        self._popular: Floats = np.empty(0, np.float32)
        self._mean_confidence = 1.0
        self._fold_in: RowSolver | None = None

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Alternates `epochs` times over `split.train`."""
        by_user = pair_matrix(split.train)  # [U, N]
        by_item = by_user.T.tocsr()  # [N, U]
        user_ridge, item_ridge = self._fit_ridges(by_user, by_item)
        rng = np.random.default_rng(self.seed)
        items = rng.standard_normal((by_item.shape[0], self.dim), np.float32) * (INIT_SCALE / self.dim**0.5)
        for _ in range(self.epochs):
            users = RowSolver(items).solve(by_user, self.alpha, user_ridge)
            items = RowSolver(users).solve(by_item, self.alpha, item_ridge)
        self._item_vectors, self._fold_in = items, None
        self._user_vectors = RowSolver(items).solve(by_user, self.alpha, user_ridge)
        self._popular = popularity(split.train)
        self.n_items = len(items)
        return self

    def _fit_ridges(self, by_user: Sparse, by_item: Sparse) -> tuple[Array, Array]:
        """Ridge terms of users [U] and items [N]; keeps the users' mean confidence for queries."""
        user, item = self._confidence(by_user), self._confidence(by_item)
        self._mean_confidence = float(user.mean())
        return self._ridge(user, self._mean_confidence), self._ridge(item, float(item.mean()))

    def _confidence(self, rows: Sparse) -> Array:
        """Total confidence of every row. Shape [R]."""
        return rows.shape[1] + self.alpha * np.asarray(rows.sum(axis=1), np.float64)

    def _ridge(self, confidence: Array, mean: float) -> Array:
        return self.l2 * (confidence / mean) ** self.l2_power

    def query_vectors(self, queries: Queries) -> Floats:
        """Vectors of all queries: folded in from its history, else as trained, else 0. Shape [B, D].

        Solved in float64: in float32 the last bits of a vector would depend on the queries that are solved beside it.
        """
        self._check(queries)
        if self._fold_in is None:
            self._fold_in = RowSolver(self._item_vectors, double=True)
        histories = history_matrix(queries.histories, self.n_items)
        vectors = self._fold_in.solve(
            histories, self.alpha, self._ridge(self._confidence(histories), self._mean_confidence)
        )
        stored = ~has_any(queries) & self._is_known(queries)
        vectors[stored] = self._user_vectors[queries.users[stored]]
        return vectors

    def _is_known(self, queries: Queries) -> Array:
        """Queries of users with training events. Shape [B]."""
        inside = (queries.users >= 0) & (queries.users < len(self._user_vectors))
        inside[inside] = self._user_vectors[queries.users[inside]].any(axis=1)
        return inside

    def state(self) -> dict[str, Array]:
        """Vectors of users [U, D] and items [N, D], popularity [N], the users' mean confidence."""
        return {
            "user_vectors": self._user_vectors,
            "item_vectors": self._item_vectors,
            "popular": self._popular,
            "mean_confidence": np.array([self._mean_confidence]),
        }

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._user_vectors, self._item_vectors = state["user_vectors"], state["item_vectors"]
        self._popular, self._mean_confidence = state["popular"], float(state["mean_confidence"][0])
        self._fold_in = None
