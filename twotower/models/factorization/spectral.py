"""`Spectral`: a low-pass filter of the graph of users and items, in closed form."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from twotower.data.split import Split
from twotower.models.matrix import Sparse, history_matrix, pair_matrix, popularity
from twotower.models.options import count, not_negative, require
from twotower.models.vector_model import VectorModel
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries


@dataclass(kw_only=True, eq=False, repr=False)
class Spectral(VectorModel):
    """Score of item j = Σ over the history's items i of d_i^-½ · Σ_k v_ik s_k^power v_jk · d_j^½.

    d counts the distinct users of an item; v and s are the first `dim` right singular vectors and values of the
    symmetrically normalised matrix N = D_u^-½ R D_i^-½. The largest value belongs to popularity, the small ones to what
    few users did: cutting them off leaves what changes slowly along the graph. With power 0 all that is kept counts
    alike (ideal low-pass filter, a hard cut), above 0 the slower the more. A user is the sum of the history, so newer
    events and new users count at once; items without training events come last.

    Relations: two towers in closed form; `ALS` without iterations; `EASE` cut to rank `dim`, on the normalised matrix.

    Source: Shen et al. 2021, "How powerful is graph convolution for recommendation?" (GF-CF, eq. 11, the ideal low-pass
    filter; the linear filter beside it is left out); Halko, Martinsson & Tropp 2011 (randomised SVD).

    Attributes:
        dim: singular values kept, at most the smaller number of users and items.
        power: exponent of the singular values; 0 is the hard cut.
        n_iter: power iterations of the randomised SVD.
        seed: of its random start.
    """

    dim: int = 512
    power: float = 0.0
    n_iter: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, dim=count, power=not_negative, n_iter=count)
        self._taken: Floats = np.empty((0, 0), np.float32)
        self._item_vectors: Floats = np.empty((0, 0), np.float32)
        self._popular: Floats = np.empty(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """One truncated SVD of `split.train`."""
        self._popular = popularity(split.train)
        pairs = pair_matrix(split.train.unique_pairs())
        singular, right = largest_singular(normalised(pairs), self.dim, self.n_iter, self.seed)
        roots = np.sqrt(self._popular)[:, None]  # [N, 1]
        self._item_vectors = np.ascontiguousarray(right * roots)
        inverse = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
        self._taken = np.ascontiguousarray(right * inverse * singular**self.power)
        self.n_items = split.train.n_items
        return self

    def query_vectors(self, queries: Queries) -> Floats:
        """Sum of what the history's items add. Shape [B, dim]."""
        self._check(queries)
        history = history_matrix(queries.histories, self.n_items)
        history.data = np.ones_like(history.data)
        return np.asarray(history @ self._taken, np.float32)

    def state(self) -> dict[str, Array]:
        """Item vectors, what an item of the history adds to its user [N, dim], and popularity [N]."""
        return {"item_vectors": self._item_vectors, "taken": self._taken, "popular": self._popular}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._item_vectors, self._taken, self._popular = state["item_vectors"], state["taken"], state["popular"]


def normalised(pairs: Sparse) -> Sparse:
    """D_u^-½ R D_i^-½ of a matrix of zeros and ones, no pair twice. Shape [U, N]."""
    per_user = np.diff(pairs.indptr)  # [U]
    per_item = np.bincount(pairs.indices, minlength=pairs.shape[1])  # [N]
    values = 1 / np.sqrt(np.repeat(per_user, per_user) * per_item[pairs.indices])
    return sparse.csr_array((values.astype(np.float32), pairs.indices, pairs.indptr), shape=pairs.shape)


def largest_singular(matrix: Sparse, dim: int, n_iter: int, seed: int) -> tuple[Floats, Floats]:
    """The largest singular values, falling, and their right vectors.

    Args:
        matrix: shape [U, N].
        dim: how many; never more than min(U, N).
        n_iter: power iterations.
        seed: of the random start.

    Returns:
        Values [d] and vectors [N, d]. float32.
    """
    d = min(dim, *matrix.shape)
    _, singular, right = randomized_svd(matrix, d, n_iter=n_iter, random_state=seed)
    return singular.astype(np.float32), np.asarray(right.T, np.float32)
