"""`ItemVersions` and `Lifetimes`: how items change over time and when they are for sale."""

from dataclasses import dataclass

import numpy as np

from twotower.data.tables import Categories, FeatureTable
from twotower.errors import BadInput
from twotower.types import Array, Bools, Ids, Times


@dataclass(frozen=True, slots=True, eq=False)
class ItemVersions:
    """Later states of items whose features change (price drops, edits), so that no event sees the future.

    Attributes:
        item: internal item id of each change. Shape [V].
        since: when the change took effect, seconds since the epoch. Sorted by (item, since). Shape [V].
        features: the changed columns only (a subset of the catalogue's schema). V rows.
    """

    item: Ids
    since: Times
    features: FeatureTable

    def __post_init__(self) -> None:
        if not len(self.item) == len(self.since) == len(self.features):
            raise BadInput("ItemVersions: item, since and features must have one entry per change")
        d_item, d_since = np.diff(self.item), np.diff(self.since)
        if bool(((d_item < 0) | ((d_item == 0) & (d_since <= 0))).any()):
            raise BadInput("ItemVersions: changes must be sorted by item and time, one per item and moment")

    def latest(self, item: Array, time: Array) -> Ids:
        """Row of the newest change of each item at or before each time, -1 where none. Shape [n]."""
        time = np.broadcast_to(np.asarray(time, np.int64), np.shape(item))
        order = np.lexsort((np.concatenate([np.zeros(len(self.item)), np.ones(len(item))]),
                            np.concatenate([self.since, time]), np.concatenate([self.item, item])))  # fmt: skip
        is_change = order < len(self.item)
        last = np.maximum.accumulate(np.where(is_change, np.arange(len(order)), -1))
        row = np.where(last < 0, -1, order[last])
        rows = np.empty(len(item), np.int64)
        rows[order[~is_change] - len(self.item)] = row[~is_change]
        if not len(self.item):
            return rows
        return np.where((rows >= 0) & (self.item[rows] == item), rows, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Lifetimes:
    """When each item was for sale: from `since` until `until` (exclusive), seconds since the epoch. Shape [N]."""

    since: Times
    until: Times

    def __post_init__(self) -> None:
        if len(self.since) != len(self.until):
            raise BadInput(f"Lifetimes: {len(self.since)} starts but {len(self.until)} ends; give one of each per item")

    def available(self, start: int, end: int | None = None) -> Bools:
        """Items for sale at `start`, or at some time in [start, end). Shape [N]."""
        end = start + 1 if end is None else end
        return (self.since < end) & (self.until > start)


def overlay(base: object, changes: object, row: Ids) -> "Categories | Array":
    """`base[i]`, or `changes[row[i]]` where row[i] >= 0; both sides categorical with equal values, or plain arrays."""
    if isinstance(base, Categories) and isinstance(changes, Categories):
        if not np.array_equal(base.values, changes.values):
            raise BadInput("ItemVersions: a categorical column must use the catalogue's values")
        return Categories(overlay_array(base.codes, changes.codes, row), base.values)
    if isinstance(base, np.ndarray) and isinstance(changes, np.ndarray):
        return overlay_array(base, changes, row)
    raise BadInput("ItemVersions: multi-categorical columns cannot change")


def overlay_array(base: Array, changes: Array, row: Ids) -> Array:
    """Elementwise choice between `base` and `changes[row]`."""
    changed = (row >= 0).reshape(-1, *(1,) * (base.ndim - 1))
    return np.where(changed, changes[np.maximum(row, 0)], base) if len(changes) else base
