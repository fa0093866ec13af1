"""Time, throughput and bytes of searching: a clock that is turned by hand, sizes that can be worked out."""

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.measuring.timing import Footprint, footprint, latency, limited_threads, saved_footprint, throughput
from twotower.errors import BadInput

VECTORS = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
QUERIES = VECTORS[:30]


class Stopwatch:
    """An index and its clock: call i takes seconds[i], again from the start when they are used up."""

    def __init__(self, *seconds):
        self.seconds, self.now, self.asked = seconds, 0.0, []

    def search(self, vectors, k):
        self.now += self.seconds[len(self.asked) % len(self.seconds)]
        self.asked.append((len(vectors), float(vectors[0, 0]), k))

    def clock(self):
        return self.now


def test_each_query_is_asked_alone_and_only_calls_after_the_warm_up_count():
    index = Stopwatch(9.0, 9.0, 0.001, 0.002, 0.003)  # the first two warm up
    timed = latency(index, QUERIES, 7, calls=3, warm_up=2, clock=index.clock)
    assert [(n, k) for n, _, k in index.asked] == [(1, 7)] * 5
    assert (timed.k, timed.calls) == (7, 3)
    assert timed.p50_ms == pytest.approx(2)  # the middle one of 1, 2, 3 ms


def test_p99_lies_where_one_call_of_a_hundred_is_slower():
    index = Stopwatch(*[0.001] * 98, 0.005, 0.100)
    timed = latency(index, QUERIES, 7, calls=100, warm_up=0, clock=index.clock)
    assert timed.p50_ms == pytest.approx(1)
    assert timed.p99_ms == pytest.approx(5 + 0.01 * (100 - 5))  # place 98.01 of 0..99, between the last two


def test_queries_are_asked_again_when_there_are_fewer_than_calls():
    index = Stopwatch(0.001)
    latency(index, QUERIES[:2], 1, calls=4, warm_up=0, clock=index.clock)
    assert [value for _, value, _ in index.asked] == [float(QUERIES[i, 0]) for i in (0, 1, 0, 1)]


@pytest.mark.parametrize(("queries", "calls"), [(QUERIES[:0], 5), (QUERIES, 0)])
def test_nothing_to_time_is_refused(queries, calls):
    with pytest.raises(BadInput, match="at least one query and one call"):
        latency(Stopwatch(0.001), queries, 1, calls=calls)


def test_throughput_divides_all_answered_queries_by_the_time_that_passed():
    index = Stopwatch(0.4)
    assert throughput(index, QUERIES, 5, seconds=1.0, clock=index.clock) == pytest.approx(3 * 30 / 1.2)
    assert index.asked == [(30, float(QUERIES[0, 0]), 5)] * 3


def test_bytes_per_vector_with_and_without_what_is_shared():
    size = Footprint(own=800, shared=6400, count=100)
    assert (size.beside, size.including) == (8, 72)  # 800 / 100, (800 + 6400) / 100


def test_exact_index_weighs_next_to_nothing_beside_the_vectors():
    size = footprint(ExactIndex().build(VECTORS), VECTORS)
    assert size.own < 3000  # an empty list of changes
    assert (size.shared, size.count) == (400 * 16 * 4, 400)


def test_narrowed_vectors_are_the_index_own_and_replace_the_shared_ones():
    wide, narrow = (footprint(FaissIndex(store=store).build(VECTORS), VECTORS) for store in ("float32", "float16"))
    assert narrow.own - wide.own == pytest.approx(400 * 16 * 2, abs=500)
    assert (wide.shared, narrow.shared) == (400 * 16 * 4, 0)


def test_an_index_that_keeps_no_vectors_shares_none():
    assert footprint(FaissIndex(factory="Flat", k_factor=0).build(VECTORS), VECTORS).shared == 0


def test_what_lies_on_the_disk_weighs_as_much(tmp_path):
    index = FaissIndex().build(VECTORS)
    index.save(tmp_path, shared=VECTORS)
    assert saved_footprint(tmp_path, 400, VECTORS.nbytes) == footprint(index, VECTORS)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert saved_footprint(tmp_path, 400, 0).own == sum(sizes.values()) - sizes["index.json"]


def test_threads_are_limited_inside_and_as_before_outside():
    with limited_threads(None) as before:
        pass
    with limited_threads(1) as inside:
        assert inside == 1
    with limited_threads(None) as after:
        assert after == before
