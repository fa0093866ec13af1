"""The frontier that every report shows: what is measured for exact and approximate indexes, and what is not."""

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.reports.index_frontier import quick_frontier


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def measured(index, vectors, seconds=60.0):
    return quick_frontier(index, vectors, vectors[:40], k=20, seconds=seconds, calls=3)


def test_an_approximate_index_is_measured_as_it_is_and_at_doubled_efforts(vectors):
    index = KMeansIndex(cells=16, nprobe=3).build(vectors)
    frontier = measured(index, vectors)
    exact, *others = frontier.points
    assert (exact.exact, exact.recall, exact.chosen) == (True, 1.0, False)
    efforts = {int(point.label.split()[-1]): point for point in others}
    assert set(efforts) == {1, 2, 3, 4, 8, 16}
    assert [effort for effort, point in efforts.items() if point.chosen] == [3]
    assert efforts[1].recall < efforts[4].recall < efforts[16].recall == 1.0
    assert "40 users, lists of 20" in frontier.conditions


def test_a_run_that_searches_exactly_shows_what_an_approximate_index_would_give(vectors):
    points = measured(ExactIndex().build(vectors), vectors).points
    assert points[0].exact
    assert points[0].chosen
    assert {point.label.split()[0] for point in points[1:]} == {"FaissIndex"}
    assert max(point.recall for point in points[1:]) > 0.99
    few = vectors[:500]
    assert len(measured(ExactIndex().build(few), few).points) == 1  # nobody wants an approximate index of so few
    assert not any(point.chosen for point in points[1:])


def test_when_time_is_over_nothing_new_is_begun(vectors):
    assert measured(ExactIndex().build(vectors), vectors, seconds=1e-9).points == ()


def test_an_index_that_no_longer_holds_the_vectors_is_not_measured(vectors):
    index = ExactIndex().build(vectors)
    index.remove(np.array([3]))
    assert measured(index, vectors) is None
