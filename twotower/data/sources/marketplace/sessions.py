"""When users browse and what they then look for: each week's looks cut into sessions that follow one wish."""

from dataclasses import dataclass

import numpy as np

from twotower.data.sources.marketplace.calendar import DAY, N_DAYS, START
from twotower.data.sources.marketplace.people import SEARCHES, People
from twotower.data.sources.marketplace.rules import Rules
from twotower.types import Ids, Times

LOOKS_PER_SESSION = 5.0
WEEKDAYS = np.array([1.0, 1.0, 1.0, 0.98, 0.92, 1.0, 1.2])
"""Sessions from Monday to Sunday, relative."""
HOURS = np.array([2, 1, 0.5, 0.4, 0.5, 1.2, 2.5, 4, 5, 5.5, 5.5, 5.5, 6, 6, 6, 6, 6.5, 7, 8, 9, 9.5, 8.5, 6, 3.5])
"""Sessions over the hours of the day, relative."""
SECONDS_BETWEEN_LOOKS = 75.0


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Planned first looks, sorted by day: who looks when, following which wish. P rows.

    Attributes:
        user: internal user id. Shape [P].
        time: seconds since the epoch. Shape [P].
        wish: the ad that stands for the session's wish. Shape [P].
        search: how the session searches, position in `people.SEARCHES`. Shape [P].
    """

    user: Ids
    time: Times
    wish: Ids
    search: Ids

    def day_borders(self) -> Ids:
        """First row of each day, and the end. Shape [N_DAYS + 1]."""
        return np.searchsorted((self.time - START) // DAY, np.arange(N_DAYS + 1))


def plan_sessions(rules: Rules, n_items: int, people: People, looks: Ids, rng: np.random.Generator) -> Slots:
    """Cuts each user's weekly looks [U, 5] into sessions with a day, an hour and a wish."""
    cell = np.repeat(np.arange(looks.size), looks.ravel())
    opens = (np.diff(cell, prepend=-1) > 0) | (rng.random(len(cell)) < 1 / LOOKS_PER_SESSION)
    session, first = np.cumsum(opens) - 1, np.flatnonzero(opens)
    user, week = np.divmod(cell[first], looks.shape[1])
    day = week * 7 + rng.choice(7, len(first), p=WEEKDAYS / WEEKDAYS.sum())
    clock = (rng.choice(24, len(first), p=HOURS / HOURS.sum()) + rng.random(len(first))) * 3600
    elapsed = np.cumsum(rng.exponential(SECONDS_BETWEEN_LOOKS, len(cell)))
    second = np.minimum(clock[session] + elapsed - elapsed[first][session], DAY - 1)
    which = _drawn_wishes(people, user, day, rng)
    wish, search = people.wish[user, which], people.search[user, which]
    if rules.whim_share:
        whims = np.flatnonzero(rng.random(len(wish)) < rules.whim_share)
        wish[whims] = rng.integers(n_items, size=len(whims))
        search[whims] = rng.choice(len(SEARCHES), len(whims), p=rules.search_shares)
    order = np.argsort(day[session], kind="stable")
    session, second = session[order], second[order]
    return Slots(user[session], START + day[session] * DAY + second.astype(np.int64), wish[session], search[session])


def _drawn_wishes(people: People, user: Ids, day: Ids, rng: np.random.Generator) -> Ids:
    """The wish that each session follows, drawn by the wishes' weights on its day. Shape [n]."""
    below = np.cumsum(people.wish_weights(user, day), axis=1)[:, :-1]
    return np.asarray((rng.random((len(user), 1)) > below).sum(axis=1), np.int64)
