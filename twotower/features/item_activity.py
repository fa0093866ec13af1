"""`ItemActivity`: how often items were looked at lately and how long they have been listed, as of any moment."""

from typing import Self

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.tables import MISSING_TIME
from twotower.errors import BadInput
from twotower.features.windows import DAY
from twotower.types import Array, Float64s, Floats, Ids

WINDOW_DAYS = (1.0, 3.0, 7.0, 14.0, 35.0)
"""Lengths of the windows in which events are counted."""
LEAST_DAYS = 0.25
"""A rate is taken over no less than this, so that the first look at an ad of a minute does not count 1,440 a day."""
SORTED_FROM = 4096
"""Pairs from which sorting them pays: a fifth of the time for 100,000 pairs of 6.5 million events."""


class ItemActivity:
    """Counts of events by item and window, from the events strictly before the moment of asking.

    Events are kept as one sorted key each (item, then time), so a count is the difference of two binary searches.
    Nothing of the future enters: not an event at the very moment, not the listing of an item that is listed later.
    An item may be anything that events have a code for: its model or its seller gives that group's activity.
    """

    def __init__(
        self,
        items: Array,
        times: Array,
        *,
        n_items: int,
        kinds: Array | None = None,
        listed_at: Array | None = None,
        window_days: tuple[float, ...] = WINDOW_DAYS,
    ) -> None:
        """Sorts the events once.

        Args:
            items: what each event touched, 0..n_items-1. Shape [E].
            times: when, seconds since the epoch. Shape [E].
            n_items: size of the id space.
            kinds: kind of each event, for counts of one kind. Shape [E].
            listed_at: when each item was listed, `MISSING_TIME` where unknown; None: since its first event. [n_items].
            window_days: lengths of the windows in days, rising.

        Raises:
            BadInput: columns differ in length, an item is outside, or windows do not rise from above 0.
        """
        items, times = np.asarray(items, np.int64), np.asarray(times, np.int64)
        _check(items, times, kinds, n_items, listed_at, window_days)
        self.n_items, self.window_days = n_items, tuple(window_days)
        self._base = int(times.min()) if len(times) else 0
        self._width = (int(times.max()) if len(times) else 0) - self._base + 2
        if n_items * self._width >= 2**62:
            raise BadInput(f"ItemActivity: events lie {self._width} s apart: too far; are the times in seconds?")
        keys = items * self._width + (times - self._base)
        self._keys: dict[int | None, Ids] = {None: np.sort(keys)}
        if kinds is not None:
            kinds = np.asarray(kinds)
            self._keys |= {int(kind): np.sort(keys[kinds == kind]) for kind in np.unique(kinds)}
        self.listed_at = self._first_events() if listed_at is None else np.asarray(listed_at, np.int64)

    @classmethod
    def of(cls, dataset: Dataset, events: Interactions, *, window_days: tuple[float, ...] = WINDOW_DAYS) -> Self:
        """Activity of a data set's items in the given events; listed when their lifetimes say so."""
        return cls(
            events.item,
            events.time,
            n_items=dataset.n_items,
            kinds=events.kind,
            listed_at=dataset.lifetimes.since if dataset.lifetimes else None,
            window_days=window_days,
        )

    def counts(self, items: Array, at: Array | int, *, days: float | None = None, kind: int | None = None) -> Ids:
        """Events of each item in [at - days, at), all before `at` without `days`.

        Args:
            items: codes. Shape [P].
            at: moments, one for each item or one for all. Shape [P].
            days: length of the window.
            kind: count only events of this kind.

        Raises:
            BadInput: an item is outside the id space, or kinds were not given.
        """
        items, at = self._asked(items, at)
        keys = self._of_kind(kind)
        start = items * self._width if days is None else self._places(items, at - round(days * DAY))
        return _search(keys, self._places(items, at)) - _search(keys, start)

    def windows(self, items: Array, at: Array | int, *, kind: int | None = None) -> Ids:
        """`counts` of every window. Shape [P, W]."""
        items, at = self._asked(items, at)
        keys = self._of_kind(kind)
        moments = [at, *(at - round(days * DAY) for days in self.window_days)]
        before = np.stack([_search(keys, self._places(items, moment)) for moment in moments], axis=1)
        return before[:, :1] - before[:, 1:]

    def rates(self, items: Array, at: Array | int, *, kind: int | None = None) -> Float64s:
        """Events a day in every window, over the days in which the item was listed. Shape [P, W]."""
        return self._a_day(self.windows(items, at, kind=kind), self.days_listed(items, at))

    def days_listed(self, items: Array, at: Array | int) -> Float64s:
        """Days from listing to the moment; NaN where the item is listed later or nobody knows when. Shape [P]."""
        items, at = self._asked(items, at)
        since = self.listed_at[items]
        known = (since != MISSING_TIME) & (since <= at)
        return np.where(known, (at - np.where(known, since, at)) / DAY, np.nan)

    def days_idle(self, items: Array, at: Array | int) -> Float64s:
        """Days since the item's newest event before the moment; NaN where it has none. Shape [P]."""
        items, at = self._asked(items, at)
        keys = self._keys[None]
        if not len(keys):
            return np.full(len(items), np.nan)
        last = keys[np.maximum(_search(keys, self._places(items, at)) - 1, 0)]
        known = (last >= items * self._width) & (last < self._places(items, at))
        return np.where(known, (at - self._base - last % self._width) / DAY, np.nan)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each column of `features`."""
        counts = (f"log_views_{days:g}d" for days in self.window_days)
        rates = (f"log_rate_{days:g}d" for days in self.window_days)
        return (*counts, *rates, "log_days_listed", "log_days_idle", "days_listed?", "days_idle?")

    def features(self, items: Array, at: Array | int) -> Floats:
        """log(1 + x) of counts, rates and both ages, unknown ages 0 with an indicator. Shape [P, F]."""
        ages = np.stack([self.days_listed(items, at), self.days_idle(items, at)], axis=1)
        unknown, counts = np.isnan(ages), self.windows(items, at)
        amounts = [counts, self._a_day(counts, ages[:, 0]), np.where(unknown, 0.0, ages)]
        return np.concatenate([*(np.log1p(a) for a in amounts), unknown], axis=1).astype(np.float32)

    def _a_day(self, counts: Ids, days_listed: Float64s) -> Float64s:
        listed = np.where(np.isnan(days_listed), np.inf, days_listed)[:, None]
        return np.asarray(counts / np.maximum(np.minimum(listed, np.asarray(self.window_days)), LEAST_DAYS))

    def _asked(self, items: Array, at: Array | int) -> tuple[Ids, Ids]:
        items = np.asarray(items, np.int64)
        outside = (items < 0) | (items >= self.n_items)
        if outside.any():
            raise BadInput(f"ItemActivity: item {items[outside.argmax()]} is outside 0..{self.n_items - 1}")
        return items, np.broadcast_to(np.asarray(at, np.int64), items.shape)

    def _places(self, items: Ids, moments: Ids) -> Ids:
        """The smallest key that an event of the item at or after the moment may have."""
        return items * self._width + np.clip(moments - self._base, 0, self._width - 1)

    def _of_kind(self, kind: int | None) -> Ids:
        if kind is not None and len(self._keys) == 1 and len(self._keys[None]):
            raise BadInput(f"ItemActivity: events of kind {kind} are asked for, but no kinds were given")
        return self._keys.get(kind, np.empty(0, np.int64))

    def _first_events(self) -> Ids:
        """The time of each item's first event, `MISSING_TIME` without one. Shape [n_items]."""
        item, time = np.divmod(self._keys[None], self._width)
        touched, first = np.unique(item, return_index=True)
        listed = np.full(self.n_items, MISSING_TIME)
        listed[touched] = time[first] + self._base
        return listed


def _search(keys: Ids, places: Ids) -> Ids:
    """As `np.searchsorted`, in rising order: millions of keys are read once instead of a cache miss at every step."""
    if len(places) < SORTED_FROM:
        return np.searchsorted(keys, places)
    found, order = np.empty(len(places), np.int64), np.argsort(places)
    found[order] = np.searchsorted(keys, places[order])
    return found


def _check(
    items: Ids, times: Ids, kinds: Array | None, n_items: int, listed_at: Array | None, days: tuple[float, ...]
) -> None:
    lengths = [len(column) for column in (items, times, kinds) if column is not None]
    if len(set(lengths)) > 1:
        raise BadInput(f"ItemActivity: items, times and kinds must have one entry per event, got {lengths} entries")
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise BadInput(f"ItemActivity: items reach from {items.min()} to {items.max()}, allowed is 0..{n_items - 1}")
    if listed_at is not None and len(listed_at) != n_items:
        raise BadInput(f"ItemActivity: {len(listed_at)} listing times for {n_items} items; give one of each")
    if not len(days) or min(np.diff([0.0, *days])) <= 0:
        raise BadInput(f"ItemActivity: window_days {days} must rise from above 0")
