"""Windows: at which moments each user's profile is refreshed, and which run of events each refresh may look at."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from twotower.data.interactions import Interactions
from twotower.errors import BadInput
from twotower.types import Ids, Times, distinct

DAY = 86_400
"""Seconds."""
MONDAY = 4 * DAY
"""A Monday 00:00 UTC (5 January 1970), seconds since the epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """One entry per user and refresh moment, sorted by both: events start:stop, all strictly before `as_of`.

    Attributes:
        user: internal user id. Shape [R].
        as_of: refresh moment, seconds since the epoch. Shape [R].
        start: first event of the window. Shape [R].
        stop: one past the last event of the window. Shape [R].
    """

    user: Ids
    as_of: Times
    start: Ids
    stop: Ids

    def __len__(self) -> int:
        return len(self.user)

    def blocks(self, events: int) -> "list[Windows]":
        """Consecutive blocks whose windows hold about `events` events together, at least one window each."""
        block = (np.cumsum(self.stop - self.start) - 1) // events
        cuts = np.flatnonzero(np.diff(block)) + 1
        edges = np.concatenate([[0], cuts, [len(self)]])
        return [self._slice(a, b) for a, b in pairwise(edges) if b > a]

    def _slice(self, a: int, b: int) -> "Windows":
        return Windows(self.user[a:b], self.as_of[a:b], self.start[a:b], self.stop[a:b])


def refresh_windows(
    events: Interactions,
    *,
    window: int | None,
    refresh: int,
    min_events: int,
    origin: int = MONDAY,
    extra_moments: tuple[int, ...] = (),
) -> Windows:
    """The windows [as_of - window, as_of) of every user that hold at least `min_events` events.

    Refresh moments are `origin` + any multiple of `refresh`, up to the first one after the newest event or to the last
    extra moment, whichever is later; without a `window` a profile is only made again when events were added since the
    last moment. `extra_moments` come on top.

    Args:
        events: the events to aggregate.
        window: length in seconds; None: everything before `as_of`.
        refresh: seconds between refresh moments.
        min_events: windows with fewer events are left out.
        origin: one refresh moment, seconds since the epoch.
        extra_moments: further moments for all users, e.g. the moment of a test.
    """
    if not len(events):
        return Windows(*(np.empty(0, np.int64) for _ in range(4)))
    user, as_of = _moments(events, window, refresh, origin, extra_moments)
    base = int(events.time.min())
    width = int(as_of.max()) - base + 1
    if events.n_users * width >= 2**62:
        raise BadInput(f"events lie between {base} and {as_of.max()} s: too far apart; are the times in seconds?")
    keys = distinct((user * width + as_of - base)[as_of > base])
    user, since = np.divmod(keys, width)
    event_keys = events.user * np.int64(width) + (events.time - base)
    oldest = np.zeros_like(since) if window is None else np.maximum(since - window, 0)
    start = np.searchsorted(event_keys, user * width + oldest)
    stop = np.searchsorted(event_keys, keys)
    kept = stop - start >= max(min_events, 1)
    return Windows(user[kept], since[kept] + base, start[kept], stop[kept])


def _moments(
    events: Interactions, window: int | None, refresh: int, origin: int, extra_moments: tuple[int, ...]
) -> tuple[Ids, Times]:
    """Users and moments that may have a profile; repeats are possible. Both [n]."""
    after = origin + ((events.time - origin) // refresh + 1) * refresh
    new = np.ones(len(events), np.bool_)
    new[1:] = (np.diff(events.user) != 0) | (np.diff(after) != 0)
    user, after = events.user[new].astype(np.int64), after[new]
    steps = 1 if window is None else -(-window // refresh)
    as_of = (after[:, None] + np.arange(steps) * refresh).ravel()
    user = np.repeat(user, steps)
    known = as_of <= max((int(after.max()), *extra_moments))
    active = distinct(user)
    extra = np.asarray(extra_moments, np.int64)
    return (
        np.concatenate([user[known], np.repeat(active, len(extra))]),
        np.concatenate([as_of[known], np.tile(extra, len(active))]),
    )
