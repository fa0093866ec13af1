"""Recall of an index against exact search, tie-aware: an item that scores as well as the exact k-th counts as found."""

from collections.abc import Sequence

import numpy as np

from twotower.ann.exact import ExactIndex
from twotower.ann.vectors import pair_scores
from twotower.errors import BadInput
from twotower.protocols import Metric, VectorIndex
from twotower.types import NO_ITEM, Bools, Floats, TopK

TIE = 1e-5
"""Relative difference below which two scores count as equal; float32 sums in another order differ by less."""
_BLOCK = 256


def recall_at(index: VectorIndex, vectors: Floats, queries: Floats, ks: Sequence[int]) -> dict[int, float]:
    """Mean recall@k of an index for each k.

    Args:
        index: the index to be measured.
        vectors: what it was built from. Shape [N, D].
        queries: query vectors as they occur when serving. Shape [B, D].
        ks: list lengths; the index is asked for each one separately, since some answer longer lists better.

    Returns:
        k to mean recall in 0..1.

    Raises:
        BadInput: there are no queries.
    """
    if not len(queries):
        raise BadInput("recall needs at least one query vector")
    truth = ExactIndex(metric=index.metric).build(np.asarray(vectors)).search(queries, max(ks))
    return {k: recall_of(index.search(queries, k), truth.head(k), vectors, queries, index.metric) for k in ks}


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
    wanted = (truth.items != NO_ITEM).sum(axis=1)
    worst = np.where(truth.items == NO_ITEM, np.inf, truth.scores).min(axis=1)
    enough = scores >= (worst - TIE * np.maximum(1, np.abs(worst)))[:, None]
    hits = (enough & _first_mention(found)).sum(axis=1)
    return float((hits / wanted).mean())


def _first_mention(found: TopK) -> Bools:
    """True where an item stands for the first time in its row; an item named twice is found once. Shape [B, k]."""
    order = np.argsort(found.items, axis=1, kind="stable")
    ordered = np.take_along_axis(found.items, order, axis=1)
    new = np.ones(ordered.shape, np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new & (ordered != NO_ITEM), axis=1)
    return first
