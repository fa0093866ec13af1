"""`scan`: exact comparison with every vector; the same answer for every batch size, block size and thread count."""

import numpy as np

from twotower.ann.faiss_products import nearest, pair_scores_of
from twotower.protocols import Metric
from twotower.topk import rescore, top_k
from twotower.types import Bools, Floats, TopK

_MARGIN = 16
_MORE = 8
_ROUNDING = 1e-5
_SCORED = 1 << 22


def scan(queries: Floats, vectors: Floats, k: int, metric: Metric) -> TopK:
    """The k best vectors of each query, ties by row number. Shape [B, k].

    Matrix products find somewhat more than k; those are scored again pair by pair, since a product's last bits depend
    on what else is in the batch. Where the k-th best cannot be told from what was not fetched, more is fetched.

    Args:
        queries: unit length for cosine; float32. Shape [B, D].
        vectors: unit length for cosine; float32. Shape [N, D], N >= k.
        k: wanted vectors.
        metric: how they are compared.
    """
    n, rows = len(vectors), np.arange(len(queries))
    answer = TopK.nothing(len(queries), k)
    for fetch in (k + _MARGIN, _MORE * (k + _MARGIN)):
        if not len(rows) or 2 * fetch > n:
            break
        fetched = nearest(queries[rows], vectors, fetch, metric)
        best = rescore(fetched, pair_scores_of(queries[rows], fetched.items, vectors, metric), k)
        answer.items[rows], answer.scores[rows] = best.items, best.scores
        rows = rows[_is_doubtful(best, fetched, queries[rows], vectors, metric)]
    for part in np.array_split(rows, -(-len(rows) * n // _SCORED)) if len(rows) else ():
        every = np.broadcast_to(np.arange(n), (len(part), n))
        best = top_k(pair_scores_of(queries[part], every, vectors, metric), k)
        answer.items[part], answer.scores[part] = best.items, best.scores
    return answer


def _is_doubtful(best: TopK, fetched: TopK, queries: Floats, vectors: Floats, metric: Metric) -> Bools:
    """Where something that was not fetched may be as good as the last of the best, given what rounding does. [B]."""
    last = vectors[fetched.items[:, -1]].astype(np.float32)
    size = np.linalg.norm(queries, axis=1) * np.linalg.norm(last, axis=1)
    worst, border = best.scores[:, -1], fetched.scores[:, -1]
    if metric == "euclidean":
        worst, border = -(worst**2), -(border**2)
        size = np.linalg.norm(queries, axis=1) ** 2 + np.linalg.norm(last, axis=1) ** 2
    return np.asarray(worst - border <= _ROUNDING * size)
