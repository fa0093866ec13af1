"""Inputs of the towers: identities by number of events, and the row that stands for an unknown user."""

import numpy as np
import torch

from twotower.data.interactions import Interactions
from twotower.features.encoded import Bags, EncodedTable
from twotower.models.two_tower.inputs import TowerInputs, number_identities, with_unknown_row
from twotower.types import Ragged


def events_on(items: list[int], n_items: int) -> Interactions:
    n = len(items)
    return Interactions.of(np.zeros(n, int), np.array(items), np.arange(n), n_users=1, n_items=n_items)


def table() -> EncodedTable:
    bags = Bags(Ragged.from_lists([[1], [2, 3]], np.int32), np.array([1, 0.5, 0.5], np.float32))
    codes = {"city": np.array([3, 1], np.int32), "likes": bags}
    return EncodedTable({"city": 4, "likes": 5}, codes, np.array([[0.5], [-2]], np.float32), ("age",))


def test_items_with_enough_events_are_numbered_from_one():
    events = events_on([0, 2, 2, 3, 3, 3], 5)
    assert number_identities(events, 1).tolist() == [1, 0, 2, 3, 0]
    assert number_identities(events, 2).tolist() == [0, 0, 1, 2, 0]
    assert number_identities(events, 4).tolist() == [0, 0, 0, 0, 0]


def test_items_without_events_never_have_an_identity():
    assert number_identities(events_on([1], 3), 0).tolist() == [0, 1, 0]


def test_the_added_row_knows_nothing():
    grown = with_unknown_row(table())
    assert len(grown) == 3
    assert grown.codes["city"].tolist() == [3, 1, 0]
    assert grown.codes["likes"].codes[2].tolist() == []
    assert grown.continuous[2].tolist() == [0]
    assert (grown.sizes, grown.continuous_names) == (table().sizes, table().continuous_names)


def test_unknown_users_read_the_last_row():
    inputs = TowerInputs(
        with_unknown_row(table()), EncodedTable.empty(3), EncodedTable.empty(4), np.zeros(4, np.int64), 9
    )
    assert inputs.user_rows(np.array([0, -1, 1])).tolist() == [0, 2, 1]


def test_on_a_device_they_are_the_same_numbers():
    inputs = TowerInputs(table(), EncodedTable.empty(3), table(), np.array([1, 0]), 9)
    there = inputs.to(torch.device("cpu"))
    assert (len(there.users), len(there.profiles), len(there.items)) == (2, 3, 2)
    assert there.identities.tolist() == [1, 0]
    assert there.items.codes["likes"].weights.tolist() == [1, 0.5, 0.5]
