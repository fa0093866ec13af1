"""Parts of an examination: which users, or which targets, a figure should speak of.

Slices of users are groups of per-user values that exist already. Slices of items ask again with fewer relevant items:
a user whose targets all lie outside has no value (NaN), as in every metric.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from twotower.errors import BadConfig, BadInput
from twotower.types import Array, Bools, Ids, Ragged


def cold(train_events: Array, most: int = 0) -> Bools:
    """Users or items with at most `most` training events.

    >>> cold(np.array([0, 3, 1]), most=1).tolist()
    [True, False, True]
    """
    return np.asarray(train_events <= most)


def by_count(train_events: Array, edges: Sequence[int]) -> Ids:
    """The group of every user (activity) or item (popularity): the number of edges at or below its count.

    Raises:
        BadConfig: edges that do not rise.

    >>> by_count(np.array([0, 1, 9, 10, 500]), edges=[1, 10, 100]).tolist()  # 0 | 1-9 | 10-99 | 100 and more
    [0, 1, 1, 2, 3]
    """
    if not len(edges) or (np.diff(edges) <= 0).any():
        raise BadConfig(f"slices: edges {list(edges)} must rise and not be empty")
    return np.searchsorted(np.asarray(edges), train_events, side="right").astype(np.int64)


def group_names(edges: Sequence[int]) -> list[str]:
    """Names of the groups that `by_count` gives.

    >>> group_names([1, 2, 10])
    ['0', '1', '2-9', '10+']
    """
    lows = [0, *edges]
    highs = [edge - 1 for edge in edges]
    return [str(a) if a == b else f"{a}-{b}" for a, b in zip(lows, highs, strict=False)] + [f"{lows[-1]}+"]


def by_mass(train_events: Array, shares: Sequence[float] = (1 / 3, 2 / 3)) -> Ids:
    """Items in groups that hold equal parts of the training events: 0 is the head, the last group the tail.

    Convention: items by falling count, ties by id; an item belongs where the events of the items before it end.

    Args:
        train_events: per item. Shape [N].
        shares: where to cut the running share of events, rising, between 0 and 1.

    Raises:
        BadConfig: shares that do not rise within (0, 1).

    >>> by_mass(np.array([1, 6, 3, 0]), shares=[0.5]).tolist()  # 6 of 10 events are before item 2 already
    [1, 0, 1, 1]
    """
    if not len(shares) or shares[0] <= 0 or shares[-1] >= 1 or (np.diff(shares) <= 0).any():
        raise BadConfig(f"slices: shares {list(shares)} must rise between 0 and 1")
    order = np.argsort(-np.asarray(train_events, np.int64), kind="stable")
    falling = np.asarray(train_events, np.float64)[order]
    before = np.cumsum(falling) - falling
    groups = np.empty(len(order), np.int64)
    groups[order] = np.searchsorted(np.asarray(shares) * falling.sum(), before, side="right")
    return groups


SHELVES = (
    (0.0, 0.01, "top 1 %"),
    (0.01, 0.05, "1–5 %"),
    (0.05, 0.2, "5–20 %"),
    (0.2, 0.5, "20–50 %"),
    (0.5, 1.0, "rest"),
)
"""Shares of the catalogue, ordered by training events."""


def by_shelf(train_events: Array) -> Ids:
    """The shelf of every item: its place in `SHELVES`; ties by id.

    >>> by_shelf(np.arange(100))[[99, 98, 0]].tolist()  # the first, the second and the last of a hundred
    [0, 1, 4]
    """
    rank = np.empty(len(train_events), np.int64)
    rank[np.argsort(-np.asarray(train_events, np.int64), kind="stable")] = np.arange(len(train_events))
    ends = np.ceil([high * len(train_events) for _, high, _ in SHELVES]).astype(np.int64)
    return np.asarray(np.searchsorted(ends, rank, side="right"))


def only_items(relevant: Ragged, kept: Bools) -> Ragged:
    """The relevant items that belong to a slice of the catalogue; the lists stay as they are.

    Args:
        relevant: of each user.
        kept: whether an item belongs. Shape [N].

    >>> only_items(Ragged.from_lists([[0, 1], [1]]), np.array([True, False])).lengths.tolist()
    [1, 0]
    """
    if len(relevant.values) and int(relevant.values.max()) >= len(kept):
        raise BadInput(f"slices: item {int(relevant.values.max())} is relevant but the mask ends at {len(kept)}")
    mask = kept[relevant.values]
    return Ragged.from_lengths(
        relevant.values[mask], np.bincount(relevant.row_ids()[mask], minlength=len(relevant)).astype(np.int64)
    )


def sliced_means(per_user: NDArray[np.float64], groups: Ids, names: Sequence[str]) -> Mapping[str, tuple[float, int]]:
    """Mean and number of users of every group; users without a value are left out, a group of none is NaN.

    >>> sliced_means(np.array([1.0, 0.0, np.nan]), np.array([0, 0, 1]), ["new", "old"])
    {'new': (0.5, 2), 'old': (nan, 0)}
    """
    if len(per_user) != len(groups) or int(groups.max(initial=0)) >= len(names):
        raise BadInput(f"slices: {len(per_user)} values, {len(groups)} groups, {len(names)} names do not fit")
    defined = ~np.isnan(per_user)
    found = {}
    for number, name in enumerate(names):
        members = per_user[defined & (groups == number)]
        found[name] = (float(members.mean()) if len(members) else float("nan"), len(members))
    return found
