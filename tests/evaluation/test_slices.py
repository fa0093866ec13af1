"""Slices of a report: who belongs where, and every figure against arithmetic over the members alone."""

import numpy as np
import pytest

from twotower.data.interactions import Interactions
from twotower.data.split import Holdout
from twotower.errors import BadConfig
from twotower.evaluation.accumulator import Detail
from twotower.evaluation.examine import examine
from twotower.evaluation.resampling import Draws
from twotower.evaluation.slices import by_activity, by_popularity, slice_rows, slicings
from twotower.metrics.groups import only_items
from twotower.metrics.ranking import ranking_metrics
from twotower.metrics.significance import bootstrap_intervals, holm, permutation_test

METRICS = ("map@5", "recall@5")
DRAWS = Draws(resamples=200, level=0.9, seed=3)


def examined(model, split, block=1024):
    made = slicings(split.test, ("activity", "popularity"), (1, 6, 9))
    detail = Detail(made["popularity"], METRICS)
    return made, examine(model, split.test, ks=(5, 10), block=block, detail=detail)


@pytest.fixture(scope="module")
def found(split, by_score):
    made, popular = examined(by_score().fit(split), split)
    return made, {"popular": popular, "noisy": examined(by_score(weight=0.0, noise=1.0).fit(split), split)[1]}


@pytest.fixture(scope="module")
def rows(found, split):
    made, evaluations = found
    return slice_rows(evaluations, made, split.test, metrics=METRICS, baseline="popular", draws=DRAWS)


def test_users_are_grouped_by_the_length_of_their_history_and_without_one_are_cold():
    history = Interactions.of(np.array([1, 1, 2]), np.array([0, 1, 0]), np.zeros(3), n_users=4, n_items=3)
    target = Interactions.of(np.array([0, 1, 2]), np.array([2, 2, 2]), np.ones(3), n_users=4, n_items=3)
    slicing = by_activity(Holdout(history, target, 0), (1, 2))
    assert [slicing.names[group] for group in slicing.groups] == ["cold users", "2+", "1"]


def test_items_are_grouped_by_shelf_and_without_an_event_are_cold():
    counts = np.arange(100)  # item 99 has the most events, item 0 none
    user = np.zeros(counts.sum(), int)
    history = Interactions.of(user, np.repeat(np.arange(100), counts), user, n_users=2, n_items=100)
    target = Interactions.of(np.array([1]), np.array([0]), np.ones(1), n_users=2, n_items=100)
    slicing = by_popularity(Holdout(history, target, 0))
    assert [slicing.names[slicing.groups[item]] for item in (99, 98, 60, 1, 0)] == [
        "top 1 %", "1–5 %", "20–50 %", "rest", "cold items"
    ]  # fmt: skip


def test_a_user_slice_is_the_mean_of_its_members(found, rows, split):
    made, evaluations = found
    groups = made["activity"].groups
    for row in (r for r in rows if r.kind == "activity"):
        members = groups == made["activity"].names.index(row.name)
        assert row.mean == pytest.approx(evaluations[row.model].values(row.metric)[members].mean())
        assert row.users == members.sum()
        assert row.targets == split.test.relevant().lengths[members].sum()
    assert sum(r.users for r in rows if (r.kind, r.model, r.metric) == ("activity", "noisy", "map@5")) == len(groups)


def test_an_item_slice_counts_its_own_targets_alone(found, rows, split, by_score):
    made, _ = found
    lists = by_score().fit(split).recommend(split.test.queries(), 5)
    for group, name in enumerate(made["popularity"].names):
        kept = only_items(split.test.relevant(), made["popularity"].groups == group)
        expected = ranking_metrics(lists, kept, (5,), ("recall",))["recall@5"]
        match = [r for r in rows if (r.kind, r.name, r.model, r.metric) == ("popularity", name, "popular", "recall@5")]
        if np.isnan(expected).all():
            assert match == []
            continue
        (row,) = match
        assert row.mean == pytest.approx(np.nanmean(expected))
        assert (row.users, row.targets) == ((~np.isnan(expected)).sum(), kept.lengths.sum())


def test_recalls_of_item_slices_weighed_by_targets_are_the_recall_of_all(rows, split):
    parts = [r for r in rows if (r.kind, r.model, r.metric) == ("popularity", "noisy", "recall@5")]
    assert sum(r.targets for r in parts) == len(split.test.target)


def test_slices_are_the_same_for_every_block_size(split, by_score, found):
    _, small = examined(by_score().fit(split), split, block=7)
    for name, metrics in found[1]["popular"].sliced.items():
        for metric, ratio in metrics.items():
            np.testing.assert_array_equal(small.sliced[name][metric].values, ratio.values)


def test_intervals_and_tests_are_those_of_the_members_with_holm_over_models_and_slices(found, rows):
    made, evaluations = found
    family = [r for r in rows if (r.kind, r.metric) == ("activity", "map@5") and r.p_value is not None]
    assert {r.model for r in family} == {"noisy"}
    for row in family:
        members = made["activity"].groups == made["activity"].names.index(row.name)
        values = np.column_stack([evaluations[m].values("map@5")[members] for m in ("noisy", "popular")])
        change = values[:, :1] - values[:, 1:]
        interval = bootstrap_intervals(np.hstack([values[:, :1], change]), resamples=200, level=0.9, seed=3)
        assert (row.low, row.difference_low) == pytest.approx(tuple(interval.low))
        assert (row.high, row.difference_high) == pytest.approx(tuple(interval.high))
        assert row.p_value == permutation_test(change, resamples=200, seed=3)[0]
    assert [r.p_holm for r in family] == holm(np.array([r.p_value for r in family])).tolist()


def test_a_slice_of_few_users_has_a_mean_and_no_interval(split, by_score):
    made = slicings(split.test, ("activity",), (1, 11))
    found = {"popular": examine(by_score().fit(split), split.test, ks=(5,))}
    rows = slice_rows(found, made, split.test, metrics=("map@5",), baseline=None, draws=DRAWS)
    few = [row for row in rows if row.users < 10]
    assert few
    assert all((row.low, row.p_value) == (None, None) for row in few)
    assert all(row.low <= row.mean <= row.high for row in rows if row.users >= 10)


def test_what_cannot_be_sliced_is_refused(split):
    with pytest.raises(BadConfig, match="'aktivity' is unknown; choose from activity, popularity"):
        slicings(split.test, ("aktivity",))
    for edges in ((), (0, 5)):
        with pytest.raises(BadConfig, match="must rise from 1"):
            slicings(split.test, ("activity",), edges)
    with pytest.raises(BadConfig, match="must rise"):
        slicings(split.test, ("activity",), (5, 5))
    assert slicings(split.test, ()) == {}
