"""A newer state in the numbers of an older one: ids keep their numbers, features and events follow their ids."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset, ItemVersions, Lifetimes
from twotower.data.growth import grown
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Column, FeatureSchema, FeatureTable, Kind

OLD_USERS, OLD_ITEMS = IdMap.of(["b", "z", "gone"], "user"), IdMap.of([7, 3, 99], "item")


def newer(**more) -> Dataset:
    """Users a b z, items 3 5 7 with price 30 50 70: a bought 5, b bought 3 and 7, z bought 7."""
    events = Interactions.of(
        np.array([0, 1, 1, 2]), np.array([1, 0, 2, 2]), np.array([4, 1, 2, 3]), value=np.arange(4.0) + 1,
        n_users=3, n_items=3,
    )  # fmt: skip
    prices = FeatureTable(FeatureSchema((Column("price", Kind.CONTINUOUS),)), {"price": np.array([30.0, 50, 70])}, 3)
    ids = IdMap.of(["a", "b", "z"], "user"), IdMap.of([3, 5, 7], "item")
    return Dataset("toy", events, FeatureTable.empty(3), prices, *ids, **more)


def external(data: Dataset, events: Interactions) -> set[tuple[str, int, int]]:
    users, items = data.user_ids.to_external(events.user), data.item_ids.to_external(events.item)
    return set(zip(users.tolist(), items.tolist(), events.time.tolist(), strict=True))


def test_known_ids_keep_their_numbers_and_new_ones_follow():
    data = grown(newer(), OLD_USERS, OLD_ITEMS)
    assert data.user_ids.external.tolist() == ["b", "z", "gone", "a"]
    assert data.item_ids.external.tolist() == [7, 3, 99, 5]
    assert external(data, data.interactions) == external(newer(), newer().interactions)
    np.testing.assert_array_equal(data.items["price"], [70, 30, np.nan, 50])
    assert data.lifetimes.available(0).tolist() == [True, True, False, True]  # what is gone is not sold


def test_items_that_the_model_cannot_take_are_left_out_with_their_events():
    data = grown(newer(log=newer().interactions), OLD_USERS, OLD_ITEMS, new_items=False)
    assert data.item_ids.external.tolist() == [7, 3, 99]
    expected = {("b", 3, 1), ("b", 7, 2), ("z", 7, 3)}  # not (a, 5, 4)
    assert external(data, data.interactions) == external(data, data.log) == expected


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_versions_and_lifetimes_follow_their_items(order):
    schema = FeatureSchema((Column("price", Kind.CONTINUOUS),))
    versions = ItemVersions(
        np.array([0, 2, 2]), np.array([1, 1, 2]), FeatureTable(schema, {"price": np.array([31.0, 71, 72])}, 3)
    )
    lifetimes = Lifetimes(np.array([0, 1, 2]), np.array([10, 11, 12]))
    ids = IdMap.of([[7, 3, 5][i] for i in order], "item")
    data = grown(newer(versions=versions, lifetimes=lifetimes), OLD_USERS, ids)
    now = dict(zip(data.item_ids.external.tolist(), data.items_at(5)["price"].tolist(), strict=True))
    assert now == {3: 31.0, 5: 50.0, 7: 72.0}
    assert dict(zip(data.item_ids.external.tolist(), data.lifetimes.until.tolist(), strict=True)) == {
        3: 10,
        5: 11,
        7: 12,
    }


def test_the_same_state_comes_back_as_it_is():
    data = newer()
    assert grown(data, data.user_ids, data.item_ids).fingerprint() == data.fingerprint()
