"""`ClusterRetriever`: a scorer chooses cells by their centroids, candidates come in proportion to the cells' scores."""

from dataclasses import replace
from typing import Protocol

import numpy as np

from twotower.ann.cells import Cells
from twotower.ann.faiss_products import nearest, pair_scores_of
from twotower.ann.vectors import unit, unit_rows
from twotower.errors import BadConfig
from twotower.protocols import VectorIndex
from twotower.stages.retriever import Retriever, UserEncoder
from twotower.topk import rescore
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, Ragged, TopK


class CellScorer(Protocol):
    """Queries in, a score for every cell out."""

    def scores(self, queries: Queries) -> Floats:
        """Logits; only their differences count. Shape [B, C]."""
        ...


class ClusterRetriever(Retriever):
    """A `Retriever` that looks into the cells of an index which a scorer likes best, not into those that are near.

    The best `n_cells` cells share the places of the list by the softmax of their scores. Quotas are whole numbers by
    largest remainder; what a cell cannot fill goes to the other cells by the same rule; further cells are opened only
    if the best ones hold too few items. Inside a cell the nearest to the user's vector come first, so nothing is left
    to chance. Excluded and disallowed items are left out before quotas are given.

    Source: Kurovski (2017), LOPQ candidates, strategy "cluster", which leaves open what proportional means and how
    items are drawn within a cell.
    """

    def __init__(
        self,
        encoder: UserEncoder,
        index: VectorIndex,
        vectors: Floats,
        cells: Cells,
        scorer: CellScorer,
        *,
        n_cells: int | None = None,
    ) -> None:
        """Joins the parts.

        Args:
            encoder: makes user vectors.
            index: holds the item vectors; says which items were removed.
            vectors: the item vectors. Shape [N, D].
            cells: a partition of all N items (`completed`).
            scorer: of the cells.
            n_cells: cells that share the places; None: a sixteenth of them, at least 16.

        Raises:
            BadConfig: n_cells < 1, or the cells hold more or fewer items than there are vectors.
        """
        super().__init__(encoder, index, vectors)
        if n_cells is not None and n_cells < 1:
            raise BadConfig(f"n_cells must be at least 1, got {n_cells}")
        if len(cells.members.values) != len(vectors):
            raise BadConfig(f"the cells hold {len(cells.members.values)} items but there are {len(vectors)} vectors")
        self.cells = cells
        self.scorer = scorer
        self.n_cells = min(len(cells), n_cells or max(16, len(cells) // 16))
        self._comparable = unit_rows(vectors) if index.metric == "cosine" else np.asarray(vectors)

    def retrieve(self, queries: Queries, k: int, allowed: Bools | None = None) -> TopK:
        """The k candidates of each query, by the likeness of user and item. Shape [B, k].

        Raises:
            BadConfig: `allowed` or the item vectors do not fit the index.
        """
        usable, found = self.available(allowed), TopK.nothing(len(queries), k)
        vectors = np.ascontiguousarray(self.encoder.user_vectors(queries), np.float32)
        vectors = unit(vectors) if self.index.metric == "cosine" else vectors
        for row, scores in enumerate(self.scorer.scores(queries)):
            members, scores = self._opened(scores, queries.exclusions[row], k, usable)
            best = self._nearest(vectors[row : row + 1], members, quotas(scores, members.lengths, k))
            best = rescore(best, best.scores, k).padded(k)
            found.items[row], found.scores[row] = best.items[0], best.scores[0]
        return found

    def _opened(self, scores: Floats, excluded: Ids, k: int, usable: Bools | None) -> tuple[Ragged, Floats]:
        """What may be returned of the best cells, as many as it takes, and the scores of these cells, best first."""
        order, width = np.argsort(-scores, kind="stable"), self.n_cells
        while True:
            members = _without(self.cells.members.take(order[:width]), excluded, usable)
            held = np.cumsum(members.lengths)
            if held[-1] >= k or width == len(order):
                break
            width = min(2 * width, len(order))
        needed = max(self.n_cells, int(np.searchsorted(held, k)) + 1)
        chosen = np.arange(min(needed, width))
        return members.take(chosen), scores[order[chosen]]

    def _nearest(self, vector: Floats, members: Ragged, places: Ids) -> TopK:
        """The items of each cell that are nearest to a vector [1, D], as many as it has places. Shape [1, …]."""
        items = members.values.astype(np.int64)
        scores = pair_scores_of(vector, items[None], self._comparable, self.index.metric)[0]
        cell = members.row_ids()
        order = np.lexsort((items, -scores, cell))
        place = np.arange(len(items)) - members.offsets[cell]  # sorting moved nothing from one cell to another
        chosen = order[place < places[cell]]
        return TopK(items[None, chosen], scores[None, chosen])


def completed(cells: Cells, vectors: Floats) -> Cells:
    """The cells with the items that were added to the index since it was built, each in its nearest cell. [N, D]."""
    built = len(cells.members.values)
    if built == len(vectors):
        return cells
    added = np.ascontiguousarray(vectors[built:], np.float32)
    added = unit(added) if cells.metric == "cosine" else added
    owners = np.concatenate([cells.owners(), nearest(added, cells.centroids, 1, cells.metric).items[:, 0]])
    lengths = np.bincount(owners, minlength=len(cells))
    return replace(cells, members=Ragged.from_lengths(np.argsort(owners, kind="stable"), lengths))


def quotas(scores: Array, sizes: Ids, n: int) -> Ids:
    """Whole places of n in proportion to the softmax of scores, at most as many as each cell can fill. Shape [C].

    >>> quotas(np.log([6.0, 3.0, 1.0]), np.array([9, 9, 9]), 10).tolist()
    [6, 3, 1]
    >>> quotas(np.log([6.0, 3.0, 1.0]), np.array([2, 9, 9]), 10).tolist()  # 4 places left over: 3 and 1
    [2, 6, 2]
    """
    quota = np.zeros(len(sizes), np.int64)
    scores = np.asarray(scores, np.float64)
    while (left := min(n, int(sizes.sum())) - int(quota.sum())) > 0:
        logits = np.where(quota < sizes, scores, -np.inf)
        weights = np.exp(logits - logits.max())  # anew each time, so that the cells that are left never all round to 0
        exact = left * weights / weights.sum()
        whole = np.floor(exact).astype(np.int64)
        by_remainder = np.argsort(whole - exact, kind="stable")
        whole[by_remainder[: left - int(whole.sum())]] += 1
        quota = np.minimum(quota + whole, sizes)
    return quota


def _without(members: Ragged, excluded: Ids, usable: Bools | None) -> Ragged:
    keep = ~np.isin(members.values, excluded[excluded != NO_ITEM])
    if usable is not None:
        keep &= usable[members.values]
    return Ragged.from_lengths(members.values[keep], np.bincount(members.row_ids()[keep], minlength=len(members)))
