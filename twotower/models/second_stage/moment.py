"""`Moment` and `Asked`: what is known when a query is asked, and the newest events of the users who ask."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.tables import FeatureTable
from twotower.features.windows import DAY
from twotower.types import NO_ITEM, Bools, Floats, Ids, Queries, Ragged, Times

LONGEST = 300
"""Newest events of a history that pair features look at."""


class Moment:
    """Users, catalogue and events as they stand at one moment: nothing of it is later.

    Args:
        dataset: users, catalogue and later versions of items.
        events: events before `at`.
        at: the moment of asking, seconds since the epoch.
    """

    def __init__(self, dataset: Dataset, events: Interactions, at: int) -> None:
        self.dataset = dataset
        self.events = events
        self.at = at

    @cached_property
    def catalogue(self) -> FeatureTable:
        """Item features as they stand. N rows."""
        return self.dataset.items_at(self.at)

    @cached_property
    def there(self) -> Bools:
        """Which items can be had: all, where nobody says how long. Shape [N]."""
        lives = self.dataset.lifetimes
        return np.ones(self.dataset.n_items, np.bool_) if lives is None else lives.available(self.at)

    @cached_property
    def listed_at(self) -> Times:
        """When each item was listed: as the source says, else the moment of its first event, else `at`. Shape [N]."""
        if self.dataset.lifetimes is not None:
            return np.minimum(self.dataset.lifetimes.since, self.at)
        first = np.full(self.dataset.n_items, self.at, np.int64)
        np.minimum.at(first, self.events.item, self.events.time)
        return first


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The newest events of B queries, newest first, padded with `NO_ITEM`.

    Attributes:
        items: internal item ids. Shape [B, L].
        age: days between the event and the asking. Shape [B, L].
        at: moment of asking, seconds since the epoch. Shape [B].
    """

    items: Ids
    age: Floats
    at: Times

    @classmethod
    def of(cls, queries: Queries, at: int | None, length: int = LONGEST) -> Self:
        """Reads the histories of queries.

        Args:
            queries: with the times of their events; where nobody knows these, events count as just happened.
            at: moment of asking; None: each user asks at the moment of its newest event, as where the newest events of
                every user are held out.
            length: most events that are kept.
        """
        histories, n = queries.histories, len(queries)
        now = 0 if at is None else at
        times = queries.times or Ragged(np.full(len(histories.values), now), histories.offsets)
        width = min(length, int(histories.lengths.max(initial=0)))
        real: Bools = np.arange(width) < histories.lengths[:, None]  # [B, L]
        place = np.where(real, histories.offsets[1:, None] - 1 - np.arange(width), 0)
        items, moments = np.full((n, width), NO_ITEM), np.zeros((n, width), np.int64)
        items[real], moments[real] = histories.values[place[real]], times.values[place[real]]
        newest = moments[:, 0] if width else np.zeros(n, np.int64)
        asked_at = newest if at is None else np.full(n, at, np.int64)
        age = np.maximum(asked_at[:, None] - moments, 0) / DAY
        return cls(items, np.where(items >= 0, age, 0).astype(np.float32), asked_at)

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: slice) -> "Asked":
        """Consecutive queries."""
        return Asked(self.items[rows], self.age[rows], self.at[rows])

    def at_rows(self, rows: Ids) -> "Asked":
        """Queries by number, repeats allowed."""
        return Asked(self.items[rows], self.age[rows], self.at[rows])

    def last(self, n: int) -> "Asked":
        """The newest n events of each."""
        return Asked(self.items[:, :n], self.age[:, :n], self.at)

    def distinct(self) -> "Asked":
        """Each item once, at its newest place."""
        order = np.argsort(self.items, axis=1, kind="stable")
        ordered = np.take_along_axis(self.items, order, axis=1)
        again = np.zeros(self.items.shape, np.bool_)
        repeated = np.zeros_like(again)
        repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        np.put_along_axis(again, order, repeated, axis=1)
        items = np.where(again, NO_ITEM, self.items)
        kept = np.argsort(items == NO_ITEM, axis=1, kind="stable")
        age = np.where(items == NO_ITEM, np.float32(0), self.age)
        return Asked(np.take_along_axis(items, kept, 1), np.take_along_axis(age, kept, 1), self.at)

    def weights(self, half_life: float | None) -> Floats:
        """Worth of every event, halved every so many days; of a history they add up to 1. Shape [B, L]."""
        worth = np.ones_like(self.age) if half_life is None else np.exp2(-self.age / np.float32(half_life))
        worth = np.where(self.items >= 0, worth, 0)
        total = worth.sum(axis=1, keepdims=True)
        return np.asarray(worth / np.where(total > 0, total, 1), np.float32)
