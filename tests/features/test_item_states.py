"""`ItemStates`: which state an item was in at a moment, and what that state looked like."""

import numpy as np
import pytest

from twotower.data.dataset import ItemVersions
from twotower.errors import BadInput
from twotower.features.encoders import FeatureEncoder
from twotower.features.item_states import ItemStates


@pytest.fixture
def states(cars, make_prices) -> ItemStates:
    """Car 0 costs 100, from time 10 on 300, from time 20 on an unknown price; car 3 from time 5 on 100."""
    versions = ItemVersions(np.array([0, 0, 3]), np.array([10, 20, 5]), make_prices([300, np.nan, 100]))
    return ItemStates.of(FeatureEncoder.fit(cars), cars, versions)


def test_an_item_is_in_the_newest_state_at_or_before_the_moment(states):
    # states 0-3 are the cars as published, 4-6 the changes
    assert states.rows(np.array([0, 0, 0, 0, 3, 1]), np.array([9, 10, 19, 20, 5, 99])).tolist() == [0, 4, 4, 5, 6, 1]


def test_without_a_moment_the_newest_state_counts_and_one_moment_serves_all(states):
    assert states.rows(np.array([0, 1, 3])).tolist() == [5, 1, 6]
    assert states.rows(np.array([0, 1, 3]), 12).tolist() == [4, 1, 6]


def test_changed_columns_are_new_and_the_others_those_of_the_item(states, cars):
    base = FeatureEncoder.fit(cars).z_values(cars)[:, 0]
    assert np.array_equal(states.z[:, 0], [*base, base[2], np.nan, base[0]], equal_nan=True)
    assert states.codes["make"].tolist() == [2, 1, 0, 1, 2, 2, 1]
    assert [row.tolist() for row in states.codes["extras"].codes] == [[1, 2], [], [2], [3], [1, 2], [1, 2], [3]]


def test_items_that_never_change_have_one_state_each(cars):
    states = ItemStates.of(FeatureEncoder.fit(cars), cars)
    assert len(states) == 4
    assert states.rows(np.array([2, 0]), 7).tolist() == [2, 0]


@pytest.mark.parametrize("item", [-1, 4])
def test_an_item_outside_the_catalogue_is_refused(states, item):
    with pytest.raises(BadInput, match=f"item {item} is not in the catalogue of 4"):
        states.rows(np.array([0, item]))
