"""faiss as used here: exact products through BLAS for small batches too, and scores of chosen pairs."""

import faiss
import numpy as np

from twotower.protocols import Metric
from twotower.types import NO_ITEM, Array, Floats, Ids, TopK

faiss.cvar.distance_compute_blas_threshold = 256
"""Queries times dimensions from which exact search multiplies matrices; the default of 128,000 is 16 times slower."""

FAISS_METRICS: dict[Metric, int] = {
    "inner_product": faiss.METRIC_INNER_PRODUCT,
    "cosine": faiss.METRIC_INNER_PRODUCT,
    "euclidean": faiss.METRIC_L2,
}
_GATHERED = 1 << 21


def nearest(queries: Floats, vectors: Floats, k: int, metric: Metric) -> TopK:
    """The k best of all vectors by exact comparison; which of two equal scores comes first is left open. Shape [B, k].

    Args:
        queries: unit length for cosine. Shape [B, D].
        vectors: unit length for cosine; float32. Shape [N, D], N >= k.
        k: wanted vectors.
        metric: how they are compared.
    """
    values, items = faiss.knn(queries, vectors, k, metric=FAISS_METRICS[metric])
    return TopK(items, higher_is_better(values, metric))


def pair_scores_of(queries: Floats, items: Ids, vectors: Array, metric: Metric) -> Floats:
    """Exact scores of chosen pairs, each the same whatever stands beside it; padding gets -inf. Shape [B, C].

    Args:
        queries: unit length for cosine. Shape [B, D].
        items: rows of `vectors`, `NO_ITEM` for none. Shape [B, C].
        vectors: unit length for cosine; float32, or float16 which is widened row by row. Shape [N, D].
        metric: how they are compared.
    """
    if vectors.dtype == np.float16:
        return _widened_scores(queries, items, vectors, metric)
    return _scores_by_id(queries, items, vectors, metric)


def higher_is_better(values: Floats, metric: Metric) -> Floats:
    """Inner products of faiss as they are, its squared distances as negated distances; its padding as -inf."""
    if metric != "euclidean":
        return np.where(values == np.finfo(np.float32).min, np.float32(-np.inf), values)
    with np.errstate(invalid="ignore"):
        return np.where(values == np.finfo(np.float32).max, -np.inf, -np.sqrt(np.maximum(values, 0))).astype(np.float32)


def _scores_by_id(queries: Floats, items: Ids, vectors: Floats, metric: Metric) -> Floats:
    queries, items = np.ascontiguousarray(queries, np.float32), np.ascontiguousarray(items, np.int64)
    safe = np.maximum(items, 0)
    scores = np.empty(items.shape, np.float32)
    score = faiss.fvec_L2sqr_by_idx if metric == "euclidean" else faiss.fvec_inner_products_by_idx
    pointers = [faiss.swig_ptr(array) for array in (scores, queries, vectors, safe)]
    score(*pointers, vectors.shape[1], len(queries), items.shape[1])
    if metric == "euclidean":
        scores = -np.sqrt(scores)
    scores[items == NO_ITEM] = -np.inf
    return scores


def _widened_scores(queries: Floats, items: Ids, vectors: Array, metric: Metric) -> Floats:
    rows = max(1, _GATHERED // max(1, items.shape[1] * vectors.shape[1]))
    scores = np.empty(items.shape, np.float32)
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        near = vectors[np.maximum(items[part], 0)].astype(np.float32)  # [b, C, D]
        own = np.arange(near.shape[0] * near.shape[1]).reshape(near.shape[:2])
        scores[part] = _scores_by_id(queries[part], own, near.reshape(-1, near.shape[2]), metric)
    scores[items == NO_ITEM] = -np.inf
    return scores
