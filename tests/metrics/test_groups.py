"""Slices: who belongs where, and that a slice of items counts its own targets alone."""

import numpy as np
import pytest

from twotower.errors import BadConfig, BadInput
from twotower.metrics.groups import by_count, group_names, only_items
from twotower.metrics.ranking import as_topk, recall
from twotower.types import Ragged

TRAIN = np.array([0, 5, 50, 5, 0])


def test_every_count_has_one_group_and_every_group_a_name():
    edges = [1, 5, 20]
    groups = by_count(TRAIN, edges)
    assert [group_names(edges)[group] for group in groups] == ["0", "5-19", "20+", "5-19", "0"]


def test_recall_on_cold_items_counts_cold_targets_only():
    topk, relevant = as_topk([[0, 1], [4, 2], [1]]), Ragged.from_lists([[0, 2, 4], [2, 4], [1]])
    found = recall(topk, only_items(relevant, TRAIN == 0), 2)
    assert found[:2].tolist() == [1 / 2, 1 / 1]  # targets 0 and 4; 4
    assert np.isnan(found[2])  # his target is warm: he has no say


def test_what_does_not_fit_is_refused():
    for edges in ([], [5, 5]):
        with pytest.raises(BadConfig, match="must rise"):
            by_count(TRAIN, edges)
    with pytest.raises(BadInput, match="item 9 is relevant but the mask ends at 5"):
        only_items(Ragged.from_lists([[9]]), TRAIN == 0)
