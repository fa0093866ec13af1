"""`StoredVectors`: models that score with trained vectors of users and items, whoever trained them."""

from typing import Any

import numpy as np

from twotower.models.matrix import all_zero, has_any, history_matrix
from twotower.models.vector_model import VectorModel
from twotower.types import Array, Floats, Queries, Ragged


class StoredVectors(VectorModel):
    """Score = user vector · item vector + item bias, with vectors that stay as they were trained.

    A user without stored vector gets `fold_scale` times the mean vector of the history's items, where `fold_scale` fits
    this rule best to the training users; without history, the popular list. What nothing speaks for comes last.
    """

    has_biases = True

    best_epochs: int

    def _start(self, dim: int, epochs: int) -> None:
        """Nothing learnt yet."""
        self.best_epochs = epochs
        self._user_vectors: Floats = np.empty((0, dim), np.float32)
        self._item_vectors: Floats = np.empty((0, dim + 1), np.float32)
        self._popular: Floats = np.empty(0, np.float32)
        self._fold_scale = 1.0

    def _keep(self, users: Floats, items: Floats) -> None:
        """Takes vectors of users [U, D] and of items with their bias [N, D + 1], which become the model's own."""
        self._user_vectors, self._item_vectors = users, items
        unknown = all_zero(items)
        items[unknown, -1] = items[:, -1].min()  # nothing speaks for such an item

    def found_options(self) -> dict[str, Any]:
        """The number of epochs that was best."""
        return {"epochs": self.best_epochs}

    def _fit_fold_scale(self, histories: Ragged) -> None:
        """The s that minimises Σ_u |vector_u - s · mean item vector of u|² over users with both."""
        mean = self._mean_item_vectors(histories)
        self._fold_scale = float((self._user_vectors * mean).sum() / max(float(np.square(mean).sum()), 1e-12))

    def _mean_item_vectors(self, histories: Ragged) -> Floats:
        """Mean vector of each history's items, 0 for an empty one. Shape [B, D]."""
        items = history_matrix(histories, self.n_items)
        lengths = np.maximum(np.asarray(items.sum(axis=1)), 1)[:, None]
        return np.asarray(items @ self._item_vectors[:, :-1] / lengths, np.float32)

    def query_vectors(self, queries: Queries) -> Floats:
        """Stored vectors, else the scaled mean of the history's items, else 0. Shape [B, D]."""
        self._check(queries)
        inside = (queries.users >= 0) & (queries.users < len(self._user_vectors))
        vectors = np.zeros((len(queries), self._user_vectors.shape[1]), np.float32)
        vectors[inside] = self._user_vectors[queries.users[inside]]
        unknown = all_zero(vectors) & has_any(queries)
        vectors[unknown] = self._fold_scale * self._mean_item_vectors(queries.histories.take(np.flatnonzero(unknown)))
        return vectors

    def state(self) -> dict[str, Array]:
        """Vectors of users [U, D], vectors and bias of items [N, D + 1], popularity [N], two numbers."""
        return {
            "user_vectors": self._user_vectors,
            "item_vectors": self._item_vectors,
            "popular": self._popular,
            "fold_scale": np.array([self._fold_scale]),
            "best_epochs": np.array([self.best_epochs]),
        }

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._user_vectors, self._item_vectors = state["user_vectors"], state["item_vectors"]
        self._popular, self._fold_scale = state["popular"], float(state["fold_scale"][0])
        self.best_epochs = int(state["best_epochs"][0])
