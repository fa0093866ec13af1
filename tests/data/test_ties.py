"""Ties: what the order of equal times decides, by hand; reversing it twice gives the file's order again."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.splitters import ByTime, LeaveLast
from twotower.data.tables import FeatureTable
from twotower.data.ties import ties_of, ties_reversed


def dataset(*events: tuple[int, int, int]) -> Dataset:
    user, item, time = np.array(events, np.int64).T
    log = Interactions.of(user, item, time, n_users=4, n_items=8)
    ids = IdMap.of(range(4), "user"), IdMap.of(range(8), "item")
    return Dataset("ties", log, FeatureTable.empty(4), FeatureTable.empty(8), *ids)


TIED = (
    (0, 0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 3),  # two at the last moment: one of them is the target
    (1, 0, 1), (1, 1, 9), (1, 2, 9), (1, 3, 9),  # three: the target, the validation, one to train on
    (2, 0, 1), (2, 1, 2), (2, 2, 3), (2, 3, 4),  # none
    (3, 0, 1), (3, 1, 5), (3, 0, 6), (3, 2, 6),  # the other event of the last moment repeats item 0: it is no target
)  # fmt: skip


def test_shares_of_users_and_targets_by_hand():
    """Users 0 and 1 of four are tied. Another order exchanges 1 · 1 / 2 of user 0's target, 1 · 2 / 3 of user 1's."""
    ties = ties_of(LeaveLast(n=1).split(dataset(*TIED)).test)
    assert ties.users == 2 / 4
    assert ties.targets == pytest.approx((1 / 2 + 2 / 3) / 4)


def test_all_orders_tried_out_exchange_that_share():
    """User 1 alone: of the 3! orders of the last three events, a third keeps the target."""
    rng, kept, n = np.random.default_rng(0), 0, 300
    before, tied = TIED[4], list(TIED[5:8])
    for _ in range(n):
        order = [tied[at] for at in rng.permutation(3)]
        kept += LeaveLast(n=1).split(dataset(before, *order)).test.target.item[0] == 3
    ties = ties_of(LeaveLast(n=1).split(dataset(before, *tied)).test)
    assert kept / n == pytest.approx(1 - ties.targets, abs=0.08)


def test_a_cut_at_one_moment_has_no_ties():
    ties = ties_of(ByTime(validation=2, test=4).split(dataset(*TIED)).test)
    assert (ties.users, ties.targets) == (0, 0)


def test_the_opposite_order_changes_ties_and_nothing_else():
    once = ties_reversed(dataset(*TIED))
    assert once.interactions.item.tolist() == [0, 1, 3, 2, 0, 3, 2, 1, 0, 1, 2, 3, 0, 1, 2, 0]
    np.testing.assert_array_equal(once.interactions.time, dataset(*TIED).interactions.time)
    twice = ties_reversed(once)
    np.testing.assert_array_equal(twice.interactions.item, dataset(*TIED).interactions.item)
