"""Parts of an examination: which users, or which targets, a figure should speak of.

Slices of users are groups of per-user values that exist already. Slices of items ask again with fewer relevant items:
a user whose targets all lie outside has no value (NaN), as in every metric.
"""

from collections.abc import Sequence

import numpy as np

from twotower.errors import BadConfig, BadInput
from twotower.types import Array, Bools, Ids, Ragged


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
