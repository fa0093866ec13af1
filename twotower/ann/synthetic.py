"""Made-up embeddings with the structure of real ones, to measure indexes where no trained run is at hand."""

import numpy as np

from twotower.ann.vectors import unit
from twotower.types import Array, Floats

CLUSTERS = 350
SPREAD = 1.3
DECAY = 0.35
SHIFT = 0.25
_QUERY_SPREAD = 1.2


def clustered_vectors(n_items: int, n_queries: int, dim: int = 64, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Unit item vectors in overlapping clusters, and unit query vectors from a shifted, wider distribution.

    Each cluster has its own weight, centre and covariance (a random rotation of the eigenvalues i^(-2·DECAY)), as the
    items of one category have in a trained tower's space; users stand near items but not among them.

    Args:
        n_items: items. N of them.
        n_queries: queries. B of them.
        dim: D.
        seed: of everything.

    Returns:
        Items [N, D] and queries [B, D].
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, dim)).astype(np.float32) / np.float32(np.sqrt(dim))
    weights = rng.dirichlet(np.ones(CLUSTERS))
    axes = _axes(dim, rng)
    items = _drawn(n_items, centres, weights, SPREAD * axes, rng)
    queries = _drawn(n_queries, centres, weights, SPREAD * _QUERY_SPREAD * axes, rng)
    queries += (SHIFT * rng.normal(size=dim) / np.sqrt(dim)).astype(np.float32)
    return unit(items), unit(queries)


def isotropic_vectors(n_items: int, n_queries: int, dim: int = 64, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Unit vectors without any structure: the worst case of every index. Shapes [N, D] and [B, D]."""
    rng = np.random.default_rng(seed)
    items, queries = (rng.normal(size=(n, dim)).astype(np.float32) for n in (n_items, n_queries))
    return unit(items), unit(queries)


def _axes(dim: int, rng: np.random.Generator) -> Floats:
    """Per cluster the scaled principal axes, total variance 1. Shape [CLUSTERS, D, D]."""
    scales = (1 + np.arange(dim)) ** -DECAY
    scales /= np.linalg.norm(scales)
    turns = np.linalg.qr(rng.normal(size=(CLUSTERS, dim, dim)))[0]
    return np.asarray(scales[:, None] * turns, np.float32)


def _drawn(n: int, centres: Floats, weights: Array, axes: Floats, rng: np.random.Generator) -> Floats:
    """Vectors of the mixture, in random order. Shape [n, D]."""
    counts = rng.multinomial(n, weights)
    order = rng.permutation(n)
    vectors = np.empty((n, centres.shape[1]), np.float32)
    for centre, own, rows in zip(centres, axes, np.split(order, np.cumsum(counts)[:-1]), strict=True):
        vectors[rows] = centre + rng.normal(size=(len(rows), len(centre))).astype(np.float32) @ own
    return vectors
