"""Recall of an index against exact search, tie-aware: an item that scores as well as the exact k-th counts as found."""

from collections.abc import Sequence

import numpy as np

from twotower.ann.base import IndexBase
from twotower.ann.exact import ExactIndex
from twotower.ann.vectors import pair_scores
from twotower.errors import BadInput
from twotower.protocols import Metric, VectorIndex
from twotower.types import NO_ITEM, Bools, Floats, TopK

TIE = 1e-5
"""Relative difference below which two scores count as equal; float32 sums in another order differ by less."""
_BLOCK = 256
_NEAR, _GAIN = 0.5, 1e-3


class GroundTruth:
    """The exact answers to some queries, worked out once, that any number of indexes are measured against."""

    def __init__(self, vectors: Floats, queries: Floats, ks: Sequence[int], metric: Metric) -> None:
        """Searches exactly.

        Args:
            vectors: the catalogue. Shape [N, D].
            queries: query vectors as they occur when serving. Shape [B, D].
            ks: list lengths to measure; those above N are left out, or become N if all are.
            metric: how they are compared.

        Raises:
            BadInput: there are no queries.
        """
        if not len(queries):
            raise BadInput("recall needs at least one query vector")
        self.vectors = vectors
        self.queries = queries
        self.ks = [k for k in ks if k <= len(vectors)] or [len(vectors)]
        self.metric = metric
        self.truth = ExactIndex(metric=metric).build(vectors).search(queries, max(self.ks))

    def recall(self, index: VectorIndex) -> dict[int, float]:
        """Mean recall@k in 0..1; the index is asked for each k separately, since some answer longer lists better."""
        return {k: self.recall_of(index.search(self.queries, k), k) for k in self.ks}

    def least(self, index: VectorIndex) -> float:
        """The recall of the k at which it is lowest."""
        return min(self.recall(index).values())

    def recall_of(self, found: TopK, k: int) -> float:
        """Mean recall of an answer [B, k] to the queries."""
        return recall_of(found, self.truth.head(k), self.vectors, self.queries, self.metric)


def calibrated(index: IndexBase, ground_truth: GroundTruth, target: float) -> IndexBase:
    """The index with the least effort that reaches the target, or the most thorough one where none does.

    Where more effort finds nothing more, what is found is too coarse: the next of `refinements` is tried.

    Args:
        index: built; one without an `effort` is returned as it is.
        ground_truth: with queries that recall is not reported on afterwards.
        target: least recall for every k of the ground_truth.
    """
    if index.effort is None:
        return index
    for refinement in index.refinements():
        tried = index.with_options(**refinement)
        low, effort, reached = _doubled(tried, ground_truth, target)
        if reached:
            return _with_effort(tried, least_effort(tried, ground_truth, target, low, effort))
    return _with_effort(tried, effort)


def is_spent(before: float, after: float) -> bool:
    """Whether a doubled effort that finds so much has come to its end: more of it will hardly find more."""
    return after > _NEAR and after - before < _GAIN


def _doubled(index: IndexBase, ground_truth: GroundTruth, target: float) -> tuple[int, int, bool]:
    """An effort that misses the target, the double of it, and whether that reaches it."""
    low, high = index.effort_range()
    effort, before = low, 0.0
    while True:
        recall = ground_truth.least(_with_effort(index, effort))
        if recall >= target or effort >= high or (before > 0 and is_spent(before, recall)):
            return low, effort, recall >= target
        low, effort, before = effort, min(high, 2 * effort), recall


def least_effort(index: IndexBase, ground_truth: GroundTruth, target: float, low: int, reached: int) -> int:
    """The least effort above `low`, to within a sixteenth, that reaches the target as `reached` does."""
    while reached - low > max(1, low // 16):
        middle = (low + reached) // 2
        if ground_truth.least(_with_effort(index, middle)) >= target:
            reached = middle
        else:
            low = middle
    return reached


def recall_of(found: TopK, truth: TopK, vectors: Floats, queries: Floats, metric: Metric) -> float:
    """Mean over queries of |found that score as well as the exact k-th| / min(k, N).

    Found items are scored again with the true vectors: what a compressed index says of them does not count.

    Args:
        found: an index's answer. Shape [B, k].
        truth: the exact answer. Shape [B, k].
        vectors: item vectors. Shape [N, D].
        queries: query vectors. Shape [B, D].
        metric: how the vectors are compared.
    """
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(queries), _BLOCK)]
    scores = np.concatenate([pair_scores(queries[b], vectors[np.maximum(found.items[b], 0)], metric) for b in blocks])
    n_true = (truth.items != NO_ITEM).sum(axis=1)
    worst = np.where(truth.items == NO_ITEM, np.inf, truth.scores).min(axis=1)
    enough = scores >= (worst - TIE * np.maximum(1, np.abs(worst)))[:, None]
    hits = (enough & _first_mention(found)).sum(axis=1)
    return float((hits / n_true).mean())


def _with_effort(index: IndexBase, effort: int) -> IndexBase:
    return index.with_options(**{str(index.effort): effort})


def _first_mention(found: TopK) -> Bools:
    """True where an item stands for the first time in its row; an item named twice is found once. Shape [B, k]."""
    order = np.argsort(found.items, axis=1, kind="stable")
    ordered = np.take_along_axis(found.items, order, axis=1)
    new = np.ones(ordered.shape, np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new & (ordered != NO_ITEM), axis=1)
    return first
