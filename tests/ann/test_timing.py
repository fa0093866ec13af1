"""Latency, rate and bytes of searching: counted calls, and sizes that can be worked out by hand."""

import time

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.timing import batch_rate, bytes_needed, single_latencies

VECTORS = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
QUERIES = VECTORS[:30]


def test_every_query_is_timed_alone_after_ten_to_warm_up():
    asked = []
    times = single_latencies(lambda queries, k: asked.append((len(queries), k)), QUERIES, 7)
    assert asked == [(1, 7)] * (10 + 30)
    assert times.shape == (30,)


def test_latency_is_in_milliseconds_and_rate_per_second():
    times = single_latencies(lambda queries, k: time.sleep(0.01), QUERIES[:3], 1)
    assert (times >= 10).all()
    assert batch_rate(lambda queries, k: time.sleep(0.01), QUERIES, 1) <= 30 / 0.01


def test_exact_index_needs_nothing_beside_the_vectors():
    beside, together = bytes_needed(ExactIndex().build(VECTORS), VECTORS)
    assert beside < 3000  # facts and an empty list of changes
    assert together - beside == 400 * 16 * 4


@pytest.mark.parametrize(("store", "extra"), [("float32", 0), ("float16", 400 * 16 * 2)])
def test_narrowed_vectors_are_the_index_own(store, extra):
    shared = bytes_needed(FaissIndex(store="float32").build(VECTORS), VECTORS)[0]
    beside, together = bytes_needed(FaissIndex(store=store).build(VECTORS), VECTORS)
    assert abs(beside - shared - extra) < 500
    assert together - beside == (0 if extra else 400 * 16 * 4)
