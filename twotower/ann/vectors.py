"""Checks, unit length and pair scores of vectors: the arithmetic that every index and its measurement share."""

import hashlib

import numpy as np

from twotower.errors import BadConfig, BadInput
from twotower.protocols import Metric
from twotower.types import Array, Floats

METRICS: tuple[Metric, ...] = ("inner_product", "cosine", "euclidean")
_CHECK_ROWS = 1 << 18


def checked_metric(metric: str) -> Metric:
    """The metric, if there is one of that name.

    Raises:
        BadConfig: there is not.
    """
    for known in METRICS:
        if metric == known:
            return known
    raise BadConfig(f"metric {metric!r}: choose one of {', '.join(METRICS)}")


def checked_catalogue(vectors: Floats) -> Floats:
    """Item vectors that an index can be built from, read block by block so that a memory map stays one. Shape [N, D].

    Raises:
        BadInput: not a float32 matrix with at least one row and column, or a value is not finite.
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise BadInput(f"an index needs vectors of shape [N, D] with N, D >= 1, got {vectors.shape}")
    if vectors.dtype != np.float32:
        raise BadInput(f"an index needs float32 vectors, got {vectors.dtype}; convert with .astype(np.float32)")
    for start in range(0, len(vectors), _CHECK_ROWS):
        bad = ~np.isfinite(vectors[start : start + _CHECK_ROWS]).all(axis=1)
        if bad.any():
            raise BadInput(f"the vector of item {start + int(bad.argmax())} is not finite; check the towers' weights")
    return vectors


def checked_queries(vectors: Floats, dim: int) -> Floats:
    """Query vectors as a contiguous float32 matrix. Shape [B, D].

    Raises:
        BadInput: wrong shape, or a value is not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise BadInput(f"query vectors must have shape [B, {dim}], got {vectors.shape}")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise BadInput(f"query vector {int(bad.argmax())} is not finite; check the towers' input and weights")
    return np.ascontiguousarray(vectors, dtype=np.float32)


def unit(vectors: Floats) -> Floats:
    """Vectors of length 1; a zero vector stays zero, so that its cosine with anything is 0. Shape [..., D]."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def is_unit(vectors: Floats) -> bool:
    """Whether every vector has length 1, as float32 can tell; read block by block. Shape [N, D]."""
    blocks = (vectors[i : i + _CHECK_ROWS] for i in range(0, len(vectors), _CHECK_ROWS))
    return all(bool((np.abs(np.einsum("nd,nd->n", b, b) - 1) < 1e-5).all()) for b in blocks)


def same_rows(a: Array, b: Array) -> bool:
    """Whether two matrices of one dtype hold the same numbers; read block by block."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    starts = range(0, len(a), _CHECK_ROWS)
    return all(np.array_equal(a[i : i + _CHECK_ROWS], b[i : i + _CHECK_ROWS]) for i in starts)


def digest_of_rows(vectors: Array) -> str:
    """SHA-256 of shape, dtype and numbers of a matrix; read block by block."""
    digest = hashlib.sha256(f"{vectors.shape} {vectors.dtype}".encode())
    for start in range(0, len(vectors), _CHECK_ROWS):
        digest.update(np.ascontiguousarray(vectors[start : start + _CHECK_ROWS]).data)
    return digest.hexdigest()


def unit_rows(vectors: Floats) -> Floats:
    """As `unit`, block by block, so that a memory map costs no more than the result. Shape [N, D]."""
    rows = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _CHECK_ROWS):
        rows[start : start + _CHECK_ROWS] = unit(vectors[start : start + _CHECK_ROWS])
    return rows


def pair_scores(queries: Floats, vectors: Floats, metric: Metric) -> Floats:
    """Exact scores of each query [B, D] with vectors of its own [B, K, D], higher is better. Shape [B, K]."""
    if metric == "euclidean":
        return np.asarray(-np.linalg.norm(queries[:, None, :] - vectors, axis=2))
    if metric == "cosine":
        queries, vectors = unit(queries), unit(vectors)
    return np.asarray(np.einsum("bd,bkd->bk", queries, vectors))
