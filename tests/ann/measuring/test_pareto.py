"""The Pareto front, the choice and the search over settings: points by hand, indexes that behave as told."""

import numpy as np
import pytest

from twotower.ann.base import IndexBase
from twotower.ann.exact import ExactIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.ann.measuring.exploration import Bench, Exploration, Grid, label_of
from twotower.ann.measuring.pareto import Goal, IndexSearch, Setting, dominates, lost_recall, milliseconds, pareto_front
from twotower.ann.measuring.recall import GroundTruth
from twotower.ann.measuring.timing import Footprint, Latency
from twotower.errors import BadConfig
from twotower.types import NO_ITEM, TopK


def setting(name, recall, ms, own=100, shared=0):
    """Of 10 vectors: `own` = 100 means 10 bytes per vector."""
    recalls = recall if isinstance(recall, dict) else {10: recall}
    return Setting(name, name, name, "C", {}, recalls, Latency(10, ms, 2 * ms, 5), 1.0, Footprint(own, shared, 10), 0.0)


SLOPPY, GOOD, SLOW, BEST = setting("a", 0.90, 1), setting("b", 0.99, 3), setting("c", 0.95, 4), setting("d", 1.0, 9)
AXES = (lost_recall, milliseconds)


def test_a_setting_that_another_beats_in_all_respects_is_not_on_the_front():
    assert pareto_front([SLOPPY, GOOD, SLOW, BEST], AXES) == [BEST, GOOD, SLOPPY]  # (.95, 4 ms) loses to (.99, 3 ms)


def test_the_front_is_what_pairwise_comparison_leaves_of_random_points():
    rng = np.random.default_rng(0)
    points = [setting(str(i), r, m, o) for i, (r, m, o) in enumerate(rng.integers(1, 12, (200, 3)) / [12, 1, 1])]
    axes = (*AXES, Goal(0.5).weight)
    costs = np.array([[axis(p) for axis in axes] for p in points])
    beaten = [((costs <= c).all(axis=1) & (costs < c).any(axis=1)).any() for c in costs]
    left = {tuple(c) for c, b in zip(costs, beaten, strict=True) if not b}
    assert [tuple(axis(p) for axis in axes) for p in pareto_front(points, axes)] == sorted(left)


def test_equal_settings_do_not_beat_each_other_and_appear_once():
    twin = setting("twin", 0.99, 3)
    assert not dominates(GOOD, twin, AXES)
    assert pareto_front([GOOD, twin], AXES) == [GOOD]


def test_the_fastest_that_reaches_the_target_is_chosen():
    assert Goal(0.95).best([SLOPPY, SLOW, BEST, GOOD]) is GOOD  # 3 ms; 1 ms finds too little
    assert Goal(1.0).best([SLOPPY, SLOW, BEST, GOOD]) is BEST
    assert Goal(0.999).best([SLOPPY, GOOD]) is None


def test_recall_counts_at_the_length_where_it_is_lowest():
    uneven = setting("e", {10: 1.0, 100: 0.97}, 1)
    assert Goal(0.98).best([uneven, GOOD]) is GOOD
    assert Goal(0.97).best([uneven, GOOD]) is uneven


def test_a_budget_of_bytes_rules_out_what_is_heavier():
    heavy, light = setting("heavy", 0.99, 1, own=650), setting("light", 0.99, 5, own=640)
    assert Goal(0.9).best([heavy, light]) is heavy
    assert Goal(0.9, bytes_per_vector=64).best([heavy, light]) is light  # 65 and 64 bytes per vector


def test_shared_vectors_count_only_if_asked_for():
    own, borrowing = setting("own", 0.99, 5, own=1500), setting("borrowing", 0.99, 1, own=100, shared=2560)
    assert Goal(0.9, 200).best([own, borrowing]) is borrowing  # 10 bytes beside
    assert Goal(0.9, 200, counts_vectors=True).best([own, borrowing]) is own  # 150 against 266


def test_of_those_as_fast_to_within_a_tenth_the_lightest_is_chosen():
    fastest, lighter = setting("fastest", 0.99, 1.0, own=300), setting("lighter", 0.99, 1.09, own=200)
    slower = setting("slower", 0.99, 1.11, own=100)
    assert Goal(0.9).best([fastest, lighter, slower]) is lighter
    assert Goal(0.9).best([fastest, slower]) is fastest


def test_the_best_index_is_kept_until_another_is_better_whatever_the_order():
    rng = np.random.default_rng(3)
    for _ in range(50):
        times, sizes = 1 + rng.random(12) / 2, rng.integers(1, 9, 12)
        settings = [setting(str(i), 0.99, t, int(o)) for i, (t, o) in enumerate(zip(times, sizes, strict=True))]
        exploration = Exploration(None, Goal(0.9))
        for one in settings:
            exploration._remember(one, f"index {one.label}")
        best = Goal(0.9).best(settings)
        assert exploration.best == (best, f"index {best.label}")
        assert len(exploration._kept) < 12  # what cannot win any more is let go


def test_a_missed_goal_says_how_near_it_came():
    heavy, light = setting("heavy", 0.995, 1, own=900), setting("light", 0.95, 1, own=100)
    said = Goal(0.99, bytes_per_vector=64).shortfall([heavy, light])
    assert said == (
        "the best within 64 bytes per vector is light with 0.9500; "
        "the lightest that reaches it is heavy with 90.0 bytes"
    )
    assert "the lightest is light with 10.0 bytes" in Goal(0.99, bytes_per_vector=1).shortfall([heavy, light])


@pytest.mark.parametrize(("options", "says"), [((0,), "target_recall"), ((1.1,), "target_recall"), ((0.9, 0), "bytes")])
def test_goals_that_make_no_sense_are_refused(options, says):
    with pytest.raises(BadConfig, match=says):
        Goal(*options)


def test_settings_far_below_the_target_are_not_told():
    far = setting("far", 0.5, 0.1)
    assert IndexSearch("x", 1, 1, "cosine", 1, 1, Goal(0.99), [far, SLOPPY, GOOD]).unbeaten() == [
        GOOD,
        SLOPPY,
    ]  # .5 < .792


VECTORS = np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32)
QUERIES = np.random.default_rng(2).normal(size=(40, 8)).astype(np.float32)
TRUTH = GroundTruth(VECTORS, QUERIES, [10], "inner_product")


class Partial(IndexBase):
    """Finds the best `effort` hundredths of the answer; effort 10 therefore means recall .1."""

    search_options = ("effort_", "extra")

    def __init__(self, *, size: int = 100, effort_: int = 1, extra: int = 0):
        super().__init__(metric="inner_product")
        self.size, self.effort_, self.extra = size, effort_, extra

    def effort_range(self):
        return 1, self.size

    def _fit(self, vectors, progress):
        if self.size == 0:
            raise RuntimeError("size\n must not be 0")

    def _find(self, queries, k):
        found = ExactIndex().build(self._vectors).search(queries, k)
        wanted = np.round(np.arange(1, len(queries) + 1) * self.effort_ / 100 * k) - np.round(
            np.arange(len(queries)) * self.effort_ / 100 * k
        )
        missed = np.arange(k) >= wanted[:, None]
        return TopK(np.where(missed, NO_ITEM, found.items), np.where(missed, -np.inf, found.scores).astype(np.float32))

    def _write(self, directory):
        pass

    def _read(self, directory, memory_map):
        pass


def explored(*grids, target=0.9, **options):
    said = []
    exploration = Exploration(Bench(TRUTH, 10, calls=2, batch_seconds=0), Goal(target), **options)
    exploration.run(grids, tell=said.append)
    return exploration, said


def tried_by(exploration, backend):
    return [s.options["effort_"] for s in exploration.settings if s.backend == backend]


def test_effort_is_doubled_and_then_narrowed_down_around_the_target():
    exploration, _ = explored(Grid("partial", Partial), target=0.7)
    efforts = tried_by(exploration, "partial")
    assert efforts[:8] == [1, 2, 4, 8, 16, 32, 64, 100]
    assert len(efforts) == 9
    least = efforts[8]
    assert 70 <= least <= 70 + 64 // 16  # to within a sixteenth of the greatest effort that missed
    assert exploration.settings[8].least >= 0.7


def test_the_best_setting_comes_with_its_built_index():
    exploration, _ = explored(Grid("kmeans", KMeansIndex, {"cells": [8, 32]}), target=0.9)
    best, index = exploration.best
    assert best is exploration.goal.best(exploration.settings)
    assert index.options() == best.options
    assert TRUTH.least(index) == best.least >= 0.9


def test_every_build_is_searched_with_every_search_option():
    grid = Grid("partial", Partial, {"size": [8, 16]}, {"extra": [1, 2], "effort_": [3]})
    exploration, _ = explored(grid)
    found = [(s.options["size"], s.options["extra"], s.options["effort_"]) for s in exploration.settings]
    assert found == [(8, 1, 3), (8, 2, 3), (16, 1, 3), (16, 2, 3)]
    assert exploration.settings[0].label == "partial size 8 extra 1"  # the effort does not tell them apart
    assert exploration.settings[0].build == "partial size 8"


def test_an_index_is_built_once_for_all_its_searches():
    built = []

    class Counting(Partial):
        def _fit(self, vectors, progress):
            built.append(self.size)

    explored(Grid("counting", Counting, {"size": [8, 16]}, {"extra": [1, 2]}))
    assert built == [8, 16]


def test_a_failing_backend_is_noted_and_the_next_one_tried():
    exploration, _ = explored(Grid("bad", Partial, {"size": [0, 8]}), Grid("exact", ExactIndex))
    assert [(f.label, f.error) for f in exploration.failures] == [("bad size 0", "RuntimeError: size must not be 0")]
    assert {s.backend for s in exploration.settings} == {"bad", "exact"}


def test_more_effort_is_not_tried_where_something_faster_and_lighter_finds_everything():
    now = [0.0]

    class Slow(Partial):
        def _find(self, queries, k):
            now[0] += 1  # a second, where exact search takes none
            return super()._find(queries, k)

    def clock():
        now[0] += 1e-6
        return now[0]

    exploration = Exploration(Bench(TRUTH, 10, calls=2, batch_seconds=0, clock=clock), Goal(0.9))
    exploration.run([Grid("exact", ExactIndex), Grid("slow", Slow, {"size": [100]})])
    assert tried_by(exploration, "slow") == [1]
    alone = Exploration(Bench(TRUTH, 10, calls=2, batch_seconds=0, clock=clock), Goal(0.9))
    alone.run([Grid("slow", Slow, {"size": [100]})])
    assert tried_by(alone, "slow")[:8] == [1, 2, 4, 8, 16, 32, 64, 100]


def test_what_is_not_begun_in_time_is_left_out_by_name():
    now = iter([0.0, *[61.0] * 99])
    exploration, _ = explored(Grid("partial", Partial, {"size": [8, 16]}), minutes=1, clock=lambda: next(now))
    assert exploration.left_out == ["partial size 8", "partial size 16"]
    assert exploration.settings == []
    assert exploration.best is None


def test_progress_is_told():
    exploration, said = explored(Grid("exact", ExactIndex))
    assert said == ["building exact", f"exact: recall 1.0000, {exploration.settings[0].p50_ms:.3f} ms"]


def test_placeholders_of_a_label_are_filled_in_once_they_are_known():
    varied = {"factory": "IVF{cells},PQ{dim}", "k_factor": 5}
    assert label_of("faiss", varied) == "faiss IVF{cells},PQ{dim} k_factor 5"
    assert label_of("faiss", varied, {"cells": 64, "dim": 8}) == "faiss IVF64,PQ8 k_factor 5"
