"""`GroundTruth` and `calibrated`: the least effort that reaches a recall, found with few measurements."""

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.ann.measuring.recall import GroundTruth, calibrated
from twotower.ann.vectors import METRICS
from twotower.errors import BadInput
from twotower.types import NO_ITEM, TopK


@pytest.fixture(scope="module")
def vectors():
    drawn = np.random.default_rng(0).normal(size=(2000, 12)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries():
    drawn = np.random.default_rng(1).normal(size=(100, 12)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def ground_truth(vectors, queries):
    return GroundTruth(vectors, queries, [5, 20], "inner_product")


class Reaching(ExactIndex):
    """Finds effort/1000 of the exact answer, which it works out once; notes how often it is asked."""

    search_options = ("reach",)
    searched: list[int] = []

    def __init__(self, *, metric="inner_product", reach=1000):
        super().__init__(metric=metric)
        self.reach = reach
        self.answers = {}  # which copies by `with_options` share

    def effort_range(self):
        return 1, 1000

    def search(self, vectors, k):
        self.searched.append(self.reach)
        if k not in self.answers:
            self.answers[k] = super().search(vectors, k)
        found = self.answers[k]
        lost = np.random.default_rng(0).random(found.items.shape) >= self.reach / 1000
        return TopK(np.where(lost, NO_ITEM, found.items), np.where(lost, -np.inf, found.scores).astype(np.float32))


@pytest.fixture(scope="module")
def reaching(vectors, ground_truth):
    """The index above and its recall for each effort."""
    index = Reaching().build(vectors)
    return index, {reach: ground_truth.least(index.with_options(reach=reach)) for reach in range(1, 1001)}


@pytest.mark.parametrize("target", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_least_effort_is_found_to_a_sixteenth(reaching, ground_truth, target):
    index, recalls = reaching
    least = min(reach for reach, recall in recalls.items() if recall >= target)
    Reaching.searched.clear()
    chosen = calibrated(index, ground_truth, target).reach
    assert recalls[chosen] >= target
    assert least <= chosen <= least * 17 / 16 + 1
    assert len(set(Reaching.searched)) <= 16  # ten doublings, then halving a sixteenth-wide gap


@pytest.mark.parametrize("metric", METRICS)
def test_cells_reach_the_target_with_no_more_than_needed(vectors, queries, metric):
    ground_truth = GroundTruth(vectors, queries, [10], metric)
    index = KMeansIndex(metric=metric, cells=64).build(vectors)
    chosen = calibrated(index, ground_truth, 0.9)
    assert ground_truth.recall(chosen)[10] >= 0.9
    assert ground_truth.recall(index.with_options(nprobe=chosen.nprobe - 1))[10] < 0.9  # below 16 the step is one cell


def test_target_that_nothing_reaches_ends_at_the_most_thorough_setting(vectors, ground_truth):
    index = KMeansIndex(cells=16).build(vectors)
    assert calibrated(index, ground_truth, 1.1).nprobe == 16


def test_codes_that_are_too_coarse_are_refined(vectors, queries):
    """One byte a vector: all cells together miss the target with few candidates, and reach it with more."""
    ground_truth = GroundTruth(vectors, queries, [100], "inner_product")
    index = FaissIndex(factory="IVF{cells},PQ2x4", cells=16, k_factor=2).build(vectors)
    assert ground_truth.least(index.with_options(nprobe=16)) < 0.9
    chosen = calibrated(index, ground_truth, 0.9)
    assert chosen.k_factor in (4, 8, 16)
    assert ground_truth.least(chosen) >= 0.9


def test_an_index_without_effort_is_returned_as_it_is(vectors, ground_truth):
    index = ExactIndex().build(vectors)
    assert calibrated(index, ground_truth, 0.9) is index


def test_the_index_that_was_given_is_not_changed(vectors, ground_truth):
    index = KMeansIndex(cells=16, nprobe=3).build(vectors)
    calibrated(index, ground_truth, 1.0)
    assert index.nprobe == 3


def test_every_length_must_reach_the_target(vectors, ground_truth):
    """An index that finds the first five perfectly and nothing after them: least is that of 20, 5 / 20."""

    class First(ExactIndex):
        def search(self, vectors, k):
            return super().search(vectors, 5).padded(k)

    index = First().build(vectors)
    assert ground_truth.recall(index) == {5: 1.0, 20: 0.25}
    assert ground_truth.least(index) == 0.25


def test_lengths_above_the_catalogue_are_left_out_or_become_it(vectors, queries):
    few = vectors[:30]
    assert GroundTruth(few, queries, [10, 100], "cosine").ks == [10]
    assert GroundTruth(few, queries, [100, 500], "cosine").ks == [30]


def test_truth_is_worked_out_once_for_any_number_of_indexes(vectors, queries, monkeypatch):
    ground_truth = GroundTruth(vectors, queries, [5, 20], "inner_product")
    monkeypatch.setattr(ExactIndex, "search", lambda *args: pytest.fail("the truth was worked out again"))
    assert ground_truth.recall(KMeansIndex(cells=4, nprobe=4).build(vectors)) == {5: 1.0, 20: 1.0}


def test_no_queries_are_refused(vectors):
    with pytest.raises(BadInput, match="at least one query"):
        GroundTruth(vectors, vectors[:0], [5], "inner_product")
