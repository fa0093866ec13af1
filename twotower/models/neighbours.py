"""`ItemKNN`: items whose users overlap with the users of the items in the history."""

from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from scipy import sparse

from twotower.data.split import Split
from twotower.models.base import ScoringModel
from twotower.models.matrix import Sparse, history_matrix, largest_per_row, pair_matrix, popularity, row_blocks
from twotower.models.options import between, count, not_negative, one_of, or_none, positive, require
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries, Ragged

Weighting = Literal["binary", "tfidf", "bm25"]


@dataclass(kw_only=True, eq=False, repr=False)
class ItemKNN(ScoringModel):
    """Score of item j = sum over the history's items i of r_i · s_ij, where j is among the n nearest of i.

    s_ij = x_i · x_j / (|x_i| |x_j| + shrinkage): cosine of the items' user columns, damped where few users overlap.
    The columns hold plain ones (`binary`), or are weighted so that users who touch everything count less (`tfidf`) and
    repeated events saturate as well (`bm25`). r_i = 2^(-age / half_life), where the newest event of the history has
    age 0; 1 for all without `half_life`. Items out of reach of the history follow in order of popularity, with scores
    in [-1, 0), so an empty history gives the popular list.

    Relations: EASE with a fixed similarity instead of a fitted one; no user is stored, so unknown users with a history
    are served as well as known ones.

    Source: Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; Deshpande & Karypis
    2004, "Item-based top-N recommendation algorithms" (n nearest per history item); Robertson & Zaragoza 2009 (BM25);
    Ludewig & Jannach 2018, "Evaluation of session-based recommendation algorithms" (decay by position).

    Attributes:
        n_neighbours: neighbours kept for each item.
        weighting: binary, tfidf or bm25.
        shrinkage: added to the cosine's denominator.
        half_life: events of a history after which an item counts half; None counts all alike.
        bm25_k1: saturation of repeated events (bm25 only).
        bm25_b: how far long histories are damped, 0..1 (bm25 only).
    """

    n_neighbours: int = 300
    weighting: Weighting = "bm25"
    shrinkage: float = 10.0
    half_life: float | None = None
    bm25_k1: float = 1.2
    bm25_b: float = 0.75

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(
            self,
            n_neighbours=count,
            weighting=one_of(*get_args(Weighting)),
            shrinkage=not_negative,
            half_life=or_none(positive),
            bm25_k1=positive,
            bm25_b=between(0, 1),
        )
        self._similar: Sparse = sparse.csr_array(np.zeros((0, 0), np.float32))
        self._popular: Floats = np.empty(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Finds each item's neighbours in `split.train`, a block of items at a time."""
        users = self._weighted(pair_matrix(split.train))  # [U, N]
        self._similar = nearest_items(users, self.n_neighbours, self.shrinkage)
        self._popular = popularity(split.train)
        self.n_items = split.train.n_items
        return self

    def _weighted(self, counts: Sparse) -> Sparse:
        """User columns by the chosen weighting. Shape [U, N]."""
        lengths = np.diff(counts.indptr)  # [U]
        of_row = np.repeat(np.arange(len(lengths)), lengths)
        rarity = np.log1p(counts.shape[1] / np.maximum(lengths, 1))[of_row]  # a user of few items says more
        weighted = counts.copy()
        if self.weighting == "binary":
            weighted.data = np.ones_like(counts.data)
        elif self.weighting == "tfidf":
            weighted.data = (np.sqrt(counts.data) * rarity).astype(np.float32)
        else:
            totals = np.asarray(counts.sum(axis=1), np.float64)
            damping = 1 - self.bm25_b + self.bm25_b * (totals / max(totals.mean(), 1e-12))[of_row]
            tf = counts.data * (self.bm25_k1 + 1) / (counts.data + self.bm25_k1 * damping)
            weighted.data = (tf * rarity).astype(np.float32)
        return weighted

    def score(self, queries: Queries) -> Floats:
        """Summed similarities; unreachable items by popularity below zero. Shape [B, N]."""
        self._check(queries)
        weights = None if self.half_life is None else np.exp2(-ages(queries.histories) / self.half_life)
        scores = (history_matrix(queries.histories, self.n_items, weights) @ self._similar).toarray()
        unreached = self._popular / (self._popular.max() + 1) - 1  # [N] in [-1, 0)
        return np.where(scores > 0, scores, unreached).astype(np.float32)

    def state(self) -> dict[str, Array]:
        """Neighbour lists in CSR form and popularity."""
        s = self._similar
        return {"indptr": s.indptr, "indices": s.indices, "similarity": s.data, "popular": self._popular}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        parts = (state["similarity"], state["indices"], state["indptr"])
        self._similar = sparse.csr_array(parts, shape=(self.n_items, self.n_items))
        self._popular = state["popular"]


def nearest_items(users: Sparse, n: int, shrinkage: float) -> Sparse:
    """The n nearest items of each item by shrunk cosine, never more than one block of the full matrix in memory.

    Args:
        users: weighted user rows. Shape [U, N].
        n: neighbours kept.
        shrinkage: added to the denominator.

    Returns:
        float32; the diagonal is empty. Shape [N, N].
    """
    items = users.T.tocsr()  # [N, U]
    norms = np.sqrt(np.asarray(items.multiply(items).sum(axis=1), np.float64))  # [N]
    work = items.astype(bool).astype(np.int64) @ np.diff(users.indptr)
    blocks = [_nearest_of_block(items, users, norms, block, n, shrinkage) for block in row_blocks(np.asarray(work))]
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))


def _nearest_of_block(items: Sparse, users: Sparse, norms: Array, block: slice, n: int, shrinkage: float) -> Sparse:
    """Neighbours of the items of one block. Shape [block, N]."""
    overlap = items[block] @ users
    row = np.repeat(np.arange(block.start, block.stop), np.diff(overlap.indptr))
    overlap.data = overlap.data / (norms[row] * norms[overlap.indices] + shrinkage)
    overlap.data[row == overlap.indices] = 0  # an item does not speak for itself
    return largest_per_row(overlap, n)


def ages(histories: Ragged) -> Array:
    """How many events of its history are newer than each entry. Shape [len(histories.values)]."""
    ends = np.repeat(histories.offsets[1:], histories.lengths)
    return ends - 1 - np.arange(len(histories.values))
