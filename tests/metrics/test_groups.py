"""Slices: who belongs where, and that a slice's mean is the mean of its members."""

import numpy as np
import pytest

from twotower.errors import BadConfig, BadInput
from twotower.metrics.groups import by_count, by_mass, cold, group_names, only_items, sliced_means
from twotower.metrics.ranking import as_topk, recall
from twotower.types import Ragged

TRAIN = np.array([0, 5, 50, 5, 0])


def test_cold_is_never_seen_or_seen_hardly():
    assert cold(TRAIN).tolist() == [True, False, False, False, True]
    assert cold(TRAIN, most=5).tolist() == [True, True, False, True, True]


def test_every_count_has_one_group_and_every_group_a_name():
    edges = [1, 5, 20]
    groups = by_count(TRAIN, edges)
    assert [group_names(edges)[group] for group in groups] == ["0", "5-19", "20+", "5-19", "0"]


def test_head_and_tail_hold_about_equal_parts_of_the_events():
    counts = np.sort(np.random.default_rng(0).zipf(1.6, 500).clip(max=200))
    groups = by_mass(counts)
    parts = np.bincount(groups, weights=counts) / counts.sum()
    assert np.abs(parts - 1 / 3).max() <= counts.max() / counts.sum()
    assert counts[groups == 0].min() >= counts[groups == 2].max()
    assert by_mass(np.array([3, 3, 3])).tolist() == [0, 1, 2]  # ties by id


def test_recall_on_cold_items_counts_cold_targets_only():
    topk, relevant = as_topk([[0, 1], [4, 2], [1]]), Ragged.from_lists([[0, 2, 4], [2, 4], [1]])
    found = recall(topk, only_items(relevant, cold(TRAIN)), 2)
    assert found[:2].tolist() == [1 / 2, 1 / 1]  # targets 0 and 4; 4
    assert np.isnan(found[2])  # his target is warm: he has no say


def test_means_of_slices_add_up_to_the_mean_of_all():
    values, groups = np.random.default_rng(1).random(40), np.arange(40) % 3
    found = sliced_means(values, groups, ["a", "b", "c"])
    assert found["a"] == (pytest.approx(values[::3].mean()), 14)
    assert sum(mean * n for mean, n in found.values()) / 40 == pytest.approx(values.mean())


def test_what_does_not_fit_is_refused():
    for edges in ([], [5, 5]):
        with pytest.raises(BadConfig, match="must rise"):
            by_count(TRAIN, edges)
    for shares in ([], [0.0, 0.5], [0.5, 1.0], [0.6, 0.4]):
        with pytest.raises(BadConfig, match="must rise between"):
            by_mass(TRAIN, shares)
    with pytest.raises(BadInput, match="item 9 is relevant but the mask ends at 5"):
        only_items(Ragged.from_lists([[9]]), cold(TRAIN))
    with pytest.raises(BadInput, match="do not fit"):
        sliced_means(np.ones(2), np.array([0, 3]), ["a"])
