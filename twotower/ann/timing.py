"""What searching costs: latency of single queries, rate of batches, bytes an index needs; on the threads that are set."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from twotower.ann.base import VECTORS, IndexBase
from twotower.types import Array, Floats, TopK

Find = Callable[[Floats, int], TopK]
"""Queries [B, D] and k to `TopK` [B, k], as `VectorIndex.search`."""
_WARM_UP = 10


def single_latencies(find: Find, queries: Floats, k: int) -> Array:
    """Milliseconds of each query asked alone, after a few that are not counted. Shape [B]."""
    for query in queries[:_WARM_UP]:
        find(query[None], k)
    times = np.empty(len(queries))
    for row in range(len(queries)):
        started = perf_counter()
        find(queries[row : row + 1], k)
        times[row] = perf_counter() - started
    return 1000 * times


def batch_rate(find: Find, queries: Floats, k: int) -> float:
    """Queries per second when all are asked in one call."""
    find(queries[:_WARM_UP], k)
    started = perf_counter()
    find(queries, k)
    return len(queries) / (perf_counter() - started)


def bytes_needed(index: IndexBase, vectors: Floats) -> tuple[int, int]:
    """Bytes of a saved index beside the item vectors [N, D] that it shares, and with those of them that it needs."""
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder), shared=vectors)
        sizes = {file.name: file.stat().st_size for file in Path(folder).iterdir()}
    beside = sum(sizes.values())
    return beside, beside + (vectors.nbytes if index.needs_vectors and VECTORS not in sizes else 0)
