"""Made-up embeddings with the structure of real ones, to measure indexes where no trained run is at hand."""

import numpy as np

from twotower.ann.vectors import unit
from twotower.types import Array, Floats

_QUERY_SPREAD = 1.2


def clustered_vectors(
    n_items: int,
    n_queries: int,
    dim: int = 64,
    *,
    clusters: int = 350,
    spread: float = 1.3,
    decay: float = 0.7,
    shift: float = 0.25,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Unit item vectors in overlapping clusters, and unit query vectors from a shifted, wider distribution.

    Each cluster has its own weight, centre and covariance (a random rotation of the eigenvalues i^-decay), as the items
    of one category have in a trained tower's space; users stand near items but not among them.

    Args:
        n_items: items. N of them.
        n_queries: queries. B of them.
        dim: D.
        clusters: fewer give larger cells with more of their own shape.
        spread: standard deviation inside a cluster; the centres' is 1.
        decay: how fast the eigenvalues fall; 0 makes every cluster round.
        shift: how far the queries are pushed to one side.
        seed: of everything.

    Returns:
        Items [N, D] and queries [B, D].
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim)).astype(np.float32) / np.float32(np.sqrt(dim))
    weights = rng.dirichlet(np.full(clusters, 2.0))
    axes = spread * _axes(clusters, dim, decay, rng)
    items = _drawn(n_items, centres, weights, axes, rng)
    queries = _drawn(n_queries, centres, weights, _QUERY_SPREAD * axes, rng)
    queries += (shift * rng.normal(size=dim) / np.sqrt(dim)).astype(np.float32)
    return unit(items), unit(queries)


def isotropic_vectors(n_items: int, n_queries: int, dim: int = 64, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Unit vectors without any structure: the worst case of every index. Shapes [N, D] and [B, D]."""
    rng = np.random.default_rng(seed)
    items, queries = (rng.normal(size=(n, dim)).astype(np.float32) for n in (n_items, n_queries))
    return unit(items), unit(queries)


def _axes(clusters: int, dim: int, decay: float, rng: np.random.Generator) -> Floats:
    """Per cluster the scaled principal axes, total variance 1. Shape [clusters, D, D]."""
    variances = (1 + np.arange(dim)) ** -decay
    scales = np.sqrt(variances / variances.sum())
    turns = np.linalg.qr(rng.normal(size=(clusters, dim, dim)))[0]
    return np.asarray(scales[:, None] * turns, np.float32)


def _drawn(n: int, centres: Floats, weights: Array, axes: Floats, rng: np.random.Generator) -> Floats:
    """Vectors of the mixture, in random order. Shape [n, D]."""
    counts = rng.multinomial(n, weights)
    order = rng.permutation(n)
    vectors = np.empty((n, centres.shape[1]), np.float32)
    for centre, own, rows in zip(centres, axes, np.split(order, np.cumsum(counts)[:-1]), strict=True):
        vectors[rows] = centre + rng.normal(size=(len(rows), len(centre))).astype(np.float32) @ own
    return vectors
