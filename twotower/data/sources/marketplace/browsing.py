"""Thirty-five days of browsing: sessions follow wishes, pages are shown, ads are clicked for the first time."""

from dataclasses import dataclass

import numpy as np

from twotower.data.dataset import ItemVersions
from twotower.data.sources.marketplace.calendar import DAY, END, N_DAYS, START
from twotower.data.sources.marketplace.catalogue import Ads
from twotower.data.sources.marketplace.choice import BLOCK, WIDER, Shelves, gumbel, shown_page, utility
from twotower.data.sources.marketplace.people import PAIRS_PER_ITEM, People, quantile_curve
from twotower.types import Array, Floats, Ids, Times

LOOKS_PER_SESSION = 5.0
WEEKDAYS = np.array([1.0, 1.0, 1.0, 0.98, 0.92, 1.0, 1.2])
HOURS = np.array([2, 1, 0.5, 0.4, 0.5, 1.2, 2.5, 4, 5, 5.5, 5.5, 5.5, 6, 6, 6, 6, 6.5, 7, 8, 9, 9.5, 8.5, 6, 3.5])
SECONDS_BETWEEN_LOOKS = 75.0
TRIES = 4
"""Pages a user opens, wider each time, to find an ad not looked at before."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """First looks of users at ads: one row per distinct pair, P rows.

    Attributes:
        user: internal user id. Shape [P].
        item: internal item id. Shape [P].
        time: seconds since the epoch. Shape [P].
        liking: utility of the ad beyond its page's mean. Shape [P].
    """

    user: Ids
    item: Ids
    time: Times
    liking: Floats


def planned_viewers(ads: Ads, mean: float, rng: np.random.Generator) -> Floats:
    """Viewers that each ad would get in the window: long and attractive lives rank first. Shape [N]."""
    days = np.minimum(ads.lifetimes.until, END) - np.maximum(ads.lifetimes.since, START)
    rank = np.argsort(np.argsort(np.log(days / DAY) + rng.normal(0, 1.2, len(ads))))
    curve = quantile_curve(PAIRS_PER_ITEM, (rank + 0.5) / len(ads))
    lowest = 1.0
    return np.asarray(lowest + (curve - lowest) * (mean - lowest) / (curve.mean() - lowest), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """Planned first looks, day by day: who, when, following which wish, searching how. Sorted by day. P rows."""

    user: Ids
    time: Times
    wish: Ids
    search: Ids

    def days(self) -> Ids:
        """First row of each day, and the end. Shape [N_DAYS + 1]."""
        return np.searchsorted((self.time - START) // DAY, np.arange(N_DAYS + 1))


def plan_sessions(people: People, looks: Ids, rng: np.random.Generator) -> Slots:
    """Cuts each user's weekly looks [U, 5] into sessions with a day, an hour and a wish."""
    cell = np.repeat(np.arange(looks.size), looks.ravel())
    user, week = np.divmod(cell, looks.shape[1])
    opens = (np.diff(cell, prepend=-1) > 0) | (rng.random(len(cell)) < 1 / LOOKS_PER_SESSION)
    session = np.cumsum(opens) - 1
    first = np.flatnonzero(opens)
    day = week[first] * 7 + rng.choice(7, len(first), p=WEEKDAYS / WEEKDAYS.sum())
    clock = (rng.choice(24, len(first), p=HOURS / HOURS.sum()) + rng.random(len(first))) * 3600
    weights = np.cumsum(people.wish_weights(user[first], day), axis=1)
    chosen = np.minimum((rng.random((len(first), 1)) > weights).sum(axis=1), weights.shape[1] - 1)
    elapsed = np.cumsum(rng.exponential(SECONDS_BETWEEN_LOOKS, len(cell)))
    elapsed -= elapsed[first][session]
    second = np.minimum(clock[session] + elapsed, DAY - 1)
    time = START + day[session] * DAY + second.astype(np.int64)
    order = np.argsort(day[session], kind="stable")
    wish, search = people.wish[user[first], chosen], people.search[user[first], chosen]
    return Slots(user[order], time[order], wish[session][order], search[session][order])


class Site:
    """The site over the days: present prices, who has seen what, and exposure that makes up for too few viewers."""

    def __init__(self, ads: Ads, people: People, versions: ItemVersions, viewers: Floats) -> None:
        self.ads = ads
        self.people = people
        self.versions = versions
        self.viewers = viewers
        self.shelves = Shelves.of(ads)
        self.log_price = ads.traits[:, 0].copy()
        self.seen_by = np.zeros(len(ads), np.int32)
        self.pairs = np.empty(0, np.int64)

    def run(self, slots: Slots, rng: np.random.Generator) -> Looks:
        """Fills the slots day by day; a slot whose user has seen everything in reach stays empty."""
        parts: list[Looks] = []
        days = slots.days()
        for day in range(N_DAYS):
            self._change_prices(START + day * DAY)
            rows = np.arange(days[day], days[day + 1])
            parts.append(self._one_day(day, slots, rows, rng))
        return Looks(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("user", "item", "time", "liking")))

    def exposure(self, day: int) -> Floats:
        """Places in the results on a day: viewers still missing, spread over the days that are left. Shape [N]."""
        begin, life = START + day * DAY, self.ads.lifetimes
        left = (np.minimum(life.until, END) - np.maximum(life.since, begin)) / DAY
        missing = np.maximum(self.viewers - self.seen_by, 0.03 * self.viewers)
        alive = (life.since < begin + DAY) & (life.until > begin)
        return np.where(alive, missing / np.maximum(left, 0.7), 0.0).astype(np.float32)

    def _change_prices(self, now: int) -> None:
        due = np.flatnonzero(
            (self.versions.since <= now) & (self.versions.since > now - (DAY if now > START else 10**9))
        )
        price = self.versions.features["price"]
        self.log_price[self.versions.item[due]] = np.log(np.asarray(price)[due])

    def _one_day(self, day: int, slots: Slots, rows: Ids, rng: np.random.Generator) -> Looks:
        exposure = self.exposure(day)
        cumulative = np.zeros((len(self.shelves.order), len(self.ads) + 1))
        for way, order in enumerate(self.shelves.order):
            np.cumsum(exposure[order], out=cumulative[way, 1:])
        search = slots.search[rows]
        found: list[tuple[Array, Array, Array]] = []
        for _ in range(TRIES):
            item, liking = self._look(cumulative, slots, rows, search, rng)
            new = self._remember(slots.user[rows], item)
            found.append((rows[new], item[new], liking[new]))
            rows, search = rows[~new], WIDER[search[~new]]
            if not len(rows):
                break
        row, item, liking = (np.concatenate(part) for part in zip(*found, strict=True))
        return Looks(slots.user[row], item, slots.time[row], liking)

    def _look(
        self, cumulative: Array, slots: Slots, rows: Ids, search: Ids, rng: np.random.Generator
    ) -> tuple[Ids, Floats]:
        """The chosen ad of each slot (-1 where nothing is for sale) and its liking. Shapes [n], [n]."""
        item, liking = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            user, wish, time = slots.user[part], slots.wish[part], slots.time[part, None]
            page, _ = shown_page(self.shelves, cumulative, wish, search[start : start + BLOCK], rng)
            value = utility(self.ads, self.people, self.log_price, user, wish, page)
            listed = (self.ads.lifetimes.since[page] <= time) & (self.ads.lifetimes.until[page] > time) & (page >= 0)
            heard = np.where(listed, value + gumbel(value.shape, rng), -np.inf)
            best, line = heard.argmax(axis=1), np.arange(len(part))
            item[start : start + BLOCK] = np.where(listed[line, best], page[line, best], -1)
            liking[start : start + BLOCK] = value[line, best] - value.mean(axis=1)
        return item, liking

    def _remember(self, user: Ids, item: Ids) -> Array:
        """Marks the rows that are new pairs, first of their kind, and keeps them in mind. Shape [n]."""
        key = user * len(self.ads) + item
        known = np.zeros(len(self.pairs), bool)
        position = np.searchsorted(self.pairs, key)
        if len(self.pairs):
            known = self.pairs[np.minimum(position, len(self.pairs) - 1)] == key
        else:
            known = np.zeros(len(key), bool)
        first = np.zeros(len(key), bool)
        first[np.unique(key, return_index=True)[1]] = True
        new = first & ~known & (item >= 0)
        self.pairs = np.sort(np.concatenate([self.pairs, key[new]]), kind="stable")
        self.seen_by += np.bincount(item[new], minlength=len(self.ads)).astype(np.int32)
        return new
