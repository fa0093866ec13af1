"""Other libraries' indexes as their users would call them, to be measured beside ours where they are installed."""

import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from twotower.types import Array, Floats, TopK

Find = Callable[[Floats, int], TopK]
Ways = Iterator[tuple[str, Find]]
"""Settings of searching, each with its search; a setting holds until the next one is taken."""
Peer = Callable[[Floats], tuple[int, Ways]]
"""Item vectors [N, D], unit length, to the index's bytes and the ways to search it by inner product."""


def installed_peers() -> dict[str, Peer]:
    """Name to peer, of those that can be imported here."""
    return {name: peer for name, peer in PEERS.items() if find_spec(name) is not None}


def by_faiss_flat(vectors: Floats) -> tuple[int, Ways]:
    """Exact search with faiss's own settings, which multiply matrices only above 2,000 queries of 64 dimensions."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def find(queries: Floats, k: int) -> TopK:
        ours, faiss.cvar.distance_compute_blas_threshold = faiss.cvar.distance_compute_blas_threshold, 128_000
        try:
            scores, items = index.search(queries, k)
        finally:
            faiss.cvar.distance_compute_blas_threshold = ours
        return TopK(items, scores)

    return vectors.nbytes, iter([("Flat as installed", find)])


def by_hnswlib(vectors: Floats) -> tuple[int, Ways]:
    """M 16, ef_construction 200."""
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=16, ef_construction=200, random_seed=0)
    index.add_items(vectors, num_threads=1)

    def ways() -> Ways:
        for ef in (100, 200, 500):
            index.set_ef(ef)
            yield f"M=16 ef={ef}", lambda q, k: flipped(index.knn_query(q, k, num_threads=1))

    return saved_size(index.save_index), ways()


def by_usearch(vectors: Floats) -> tuple[int, Ways]:
    """Connectivity 16, float16."""
    from usearch.index import Index

    index: Any = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=200)
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def found(queries: Floats, k: int) -> TopK:
        matches = index.search(queries, k, threads=1)
        keys = np.atleast_2d(matches.keys).astype(np.int64)
        return TopK(keys, -np.atleast_2d(matches.distances).astype(np.float32))

    def ways() -> Ways:
        for ef in (128, 500):
            index.expansion_search = ef
            yield f"ef={ef}", found

    return saved_size(index.save), ways()


def by_voyager(vectors: Floats) -> tuple[int, Ways]:
    """M 16, ef_construction 200."""
    from voyager import Index, Space

    index = Index(Space.InnerProduct, num_dimensions=vectors.shape[1], M=16, ef_construction=200, random_seed=0)
    index.add_items(vectors, num_threads=1)
    ways = (
        (f"M=16 ef={ef}", lambda q, k, ef=ef: flipped(index.query(q, k, num_threads=1, query_ef=ef)))
        for ef in (128, 500)
    )
    return saved_size(index.save), ways


def by_numpy(vectors: Floats, queries: Floats, k: int) -> TopK:
    """A matrix product and a partial sort, as one would write it."""
    scores = queries @ vectors.T
    best = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    best = np.take_along_axis(best, order, axis=1)
    return TopK(best, np.take_along_axis(scores, best, axis=1))


def flipped(found: tuple[Array, Array]) -> TopK:
    """Labels and distances, smaller is better, as `TopK`."""
    items, distances = found
    return TopK(items.astype(np.int64), -distances.astype(np.float32))


def saved_size(save: Callable[[str], Any]) -> int:
    """Bytes of the file that a library writes."""
    with tempfile.TemporaryDirectory() as folder:
        save(str(Path(folder) / "index"))
        return (Path(folder) / "index").stat().st_size


PEERS: dict[str, Peer] = {"faiss": by_faiss_flat, "hnswlib": by_hnswlib, "usearch": by_usearch, "voyager": by_voyager}
