"""What searching costs: time of single queries, throughput of batches, bytes of the files that an index is saved in."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from twotower.ann.base import VECTORS, IndexBase
from twotower.ann.files import FACTS
from twotower.errors import BadInput
from twotower.protocols import VectorIndex
from twotower.types import Floats

Clock = Callable[[], float]
"""Seconds that only rise."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of single queries, asked one after the other.

    Attributes:
        k: wanted items.
        p50_ms: half of the calls took no longer, in milliseconds.
        p99_ms: 99 of 100 calls took no longer, in milliseconds.
        calls: how many were timed.
    """

    k: int
    p50_ms: float
    p99_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of a saved index.

    Attributes:
        own: its own files, in bytes.
        shared: item vectors that it needs and that its owner keeps anyway, in bytes.
        count: vectors in it.
    """

    own: int
    shared: int
    count: int

    @property
    def beside(self) -> float:
        """Bytes per vector beside the shared item vectors."""
        return self.own / self.count

    @property
    def including(self) -> float:
        """Bytes per vector including the shared item vectors, where the index needs them."""
        return (self.own + self.shared) / self.count


def latency(
    index: VectorIndex, queries: Floats, k: int, *, calls: int = 500, warm_up: int = 20, clock: Clock = perf_counter
) -> Latency:
    """Asks one query at a time, as a server does.

    Args:
        index: what to ask.
        queries: query vectors, asked in turn and from the start again. Shape [B, D].
        k: wanted items.
        calls: how many calls are timed.
        warm_up: calls before the first that is timed: they read pages and fill caches.
        clock: what tells the time.

    Raises:
        BadInput: there are no queries, or no calls are wanted.
    """
    if not len(queries) or calls < 1:
        raise BadInput(f"latency needs at least one query and one call, got {len(queries)} and {calls}")
    seconds = np.empty(calls)
    for call in range(-warm_up, calls):
        query = queries[[call % len(queries)]]
        started = clock()
        index.search(query, k)
        if call >= 0:
            seconds[call] = clock() - started
    p50, p99 = 1000 * np.percentile(seconds, [50, 99])
    return Latency(k, float(p50), float(p99), calls)


def throughput(
    index: VectorIndex, queries: Floats, k: int, *, seconds: float = 0.5, clock: Clock = perf_counter
) -> float:
    """Queries answered per second when they come in one batch, which is asked until `seconds` are over.

    Args:
        index: what to ask; it should be warm.
        queries: the batch. Shape [B, D].
        k: wanted items.
        seconds: least time to measure.
        clock: what tells the time.
    """
    started, batches = clock(), 0
    while True:
        index.search(queries, k)
        batches += 1
        passed = clock() - started
        if passed >= seconds:
            return batches * len(queries) / passed


def footprint(index: IndexBase, vectors: Floats) -> Footprint:
    """What an index weighs beside the vectors [N, D] that it was built from; it is saved to a temporary folder."""
    with TemporaryDirectory(prefix="index-") as folder:
        index.save(Path(folder), shared=vectors)
        return saved_footprint(Path(folder), len(index), vectors.nbytes)


def saved_footprint(directory: Path, count: int, shared: int) -> Footprint:
    """What a saved index weighs.

    Args:
        directory: where it was saved.
        count: vectors in it.
        shared: bytes of the item vectors that its owner keeps.
    """
    facts = json.loads((directory / FACTS).read_text())
    own = sum(file["size"] for file in facts["files"].values())
    borrows = facts["needs_vectors"] and VECTORS not in facts["files"]
    return Footprint(own, shared if borrows else 0, count)


@contextmanager
def limited_threads(n: int | None) -> Iterator[int]:
    """Searches inside use at most n threads; None leaves the process as it is. Gives the number that faiss may use."""
    with threadpool_limits(n):
        yield int(faiss.omp_get_max_threads())
