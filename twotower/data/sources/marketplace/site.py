"""Thirty-five days on the site: pages are shown by exposure, ads clicked by utility, each pair for the first time."""

from dataclasses import dataclass

import numpy as np

from twotower.data.dataset import ItemVersions, Lifetimes
from twotower.data.sources.marketplace.calendar import DAY, END, N_DAYS, START
from twotower.data.sources.marketplace.catalogue import Ads, bargains
from twotower.data.sources.marketplace.choice import BLOCK, WIDER, Shelves, gumbel, shown_page, utility
from twotower.data.sources.marketplace.people import People, quantile_curve
from twotower.data.sources.marketplace.rules import Rules
from twotower.data.sources.marketplace.sessions import Slots
from twotower.types import Array, Bools, Floats, Ids, Times

TRIES = 6
"""Pages that a user opens, wider each time, to find an ad not looked at before."""
OVEREXPOSED = 0.005
"""Exposure of an ad that has had all its viewers, relative to its plan."""


HURRY_DAYS = 4.0
"""Softens the rush to ads whose end is near."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """First looks of users at ads: one row per distinct pair. P rows.

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

    @classmethod
    def concatenate(cls, parts: list["Looks"]) -> "Looks":
        """Parts one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def planned_viewers(rules: Rules, ads: Ads, mean: float, most: float, rng: np.random.Generator) -> Floats:
    """Viewers that each ad would get in the window: those that draw much attention and visible bargains rank first.

    Args:
        rules: of the market.
        ads: all ads.
        mean: viewers of an ad on average.
        most: viewers of an ad at most.
        rng: source of chance.

    Returns:
        Shape [N].
    """
    appeal = np.log(attention_in_window(rules, ads.lifetimes)) + rules.bargain_weight * bargains(ads)
    rank = np.argsort(np.argsort(appeal + rng.normal(0, rules.rank_noise, len(ads))))
    curve = np.minimum(quantile_curve(rules.viewers_per_ad, (rank + 0.5) / len(ads)), most)
    lowest = curve.min()
    return np.asarray(lowest + (curve - lowest) * (mean - lowest) / (curve.mean() - lowest), np.float32)


def attention(rules: Rules, age: Array) -> Array:
    """Attention to an ad that was listed `age` days ago, relative to a new one. Same shape."""
    fresh = np.exp(-np.maximum(age, 0) / rules.attention_days)
    return np.asarray(rules.attention_floor + (1 - rules.attention_floor) * fresh)


def attention_in_window(rules: Rules, life: Lifetimes) -> Array:
    """Attention that each ad draws in the five weeks, in days of a new ad: the integral of `attention`. Shape [N]."""
    start, stop = np.maximum(life.since, START), np.minimum(life.until, END)
    first, last = (np.exp(-(moment - life.since) / (DAY * rules.attention_days)) for moment in (start, stop))
    above = (1 - rules.attention_floor) * rules.attention_days * (first - last)
    return np.asarray(rules.attention_floor * ((stop - start) / DAY) + above)


class Site:
    """The site over the days: present prices, who has seen what, and exposure that makes up for missing viewers."""

    def __init__(self, rules: Rules, ads: Ads, people: People, versions: ItemVersions, viewers: Floats) -> None:
        self.rules = rules
        self.ads = ads
        self.people = people
        self.versions = versions
        self.viewers = viewers
        self.shelves = Shelves.of(rules, ads)
        self.log_price = ads.traits[:, 0].copy()
        self.seen_by = np.zeros(len(ads), np.int64)
        self.pairs = np.empty(0, np.int64)

    def run(self, slots: Slots, rng: np.random.Generator) -> Looks:
        """Fills the slots day by day; a slot whose user has seen everything in reach stays empty."""
        border = slots.day_borders()
        days = [self._one_day(day, slots, np.arange(border[day], border[day + 1]), rng) for day in range(N_DAYS)]
        return Looks.concatenate(days)

    def exposure(self, day: int) -> Floats:
        """Places in the results on a day: viewers still missing, spread over the days that are left. Shape [N]."""
        begin, life = START + day * DAY, self.ads.lifetimes
        left = (np.minimum(life.until, END) - np.maximum(life.since, begin)) / DAY
        missing = np.maximum(self.viewers - self.rules.feedback * self.seen_by, OVEREXPOSED * self.viewers)
        places = missing / (np.maximum(left, 0) + HURRY_DAYS) * attention(self.rules, (begin - life.since) / DAY)
        return np.where(life.available(begin, begin + DAY), places, 0.0).astype(np.float32)

    def _one_day(self, day: int, slots: Slots, rows: Ids, rng: np.random.Generator) -> Looks:
        """First looks of the slots `rows`; who finds nothing new searches wider."""
        self._change_prices(day)
        cumulative = self.shelves.cumulative(self.exposure(day))
        search, looked = slots.search[rows], []
        for _ in range(TRIES):
            looks = self._look(cumulative, slots, rows, search, rng)
            new = self._remember(looks)
            looked.append(Looks(looks.user[new], looks.item[new], looks.time[new], looks.liking[new]))
            rows, search = rows[~new], WIDER[search[~new]]
        return Looks.concatenate(looked)

    def _change_prices(self, day: int) -> None:
        """Applies the price drops since yesterday; on the first day all that came before."""
        now = START + day * DAY
        due = (self.versions.since <= now) & ((self.versions.since > now - DAY) | (day == 0))
        self.log_price[self.versions.item[due]] = np.log(np.asarray(self.versions.features["price"])[due])

    def _look(self, cumulative: Array, slots: Slots, rows: Ids, search: Ids, rng: np.random.Generator) -> Looks:
        """One click per slot, item -1 where the page shows nothing new that is for sale. n rows."""
        blocks = [np.empty(0, np.int64)] if not len(rows) else np.array_split(rows, -(-len(rows) // BLOCK))
        starts = np.cumsum([0, *(len(block) for block in blocks)])
        clicks = []
        for block, start in zip(blocks, starts[:-1], strict=True):
            user, wish, time = slots.user[block], slots.wish[block], slots.time[block]
            page = shown_page(self.shelves, cumulative, wish, search[start : start + len(block)], self.rules.page, rng)
            value = utility(self.rules, self.ads, self.people, self.log_price, user, wish, page)
            choice = value + gumbel(value.shape, rng)
            choice[~self._eligible(user, time, page)] = -np.inf
            best, line = choice.argmax(axis=1), np.arange(len(block))
            item = np.where(np.isneginf(choice[line, best]), -1, page[line, best])
            clicks.append(Looks(user, item, time, value[line, best] - value.mean(axis=1)))
        return Looks.concatenate(clicks)

    def _eligible(self, user: Ids, time: Times, page: Ids) -> Bools:
        """Ads of the page that are for sale at the moment and new to the user. Shape [n, M]."""
        life = self.ads.lifetimes
        listed = (life.since[page] <= time[:, None]) & (life.until[page] > time[:, None]) & (page >= 0)
        return listed & ~self._known(user[:, None] * len(self.ads) + page)

    def _known(self, keys: Ids) -> Bools:
        """Which pair keys are in memory. Same shape."""
        if not len(self.pairs):
            return np.zeros(keys.shape, bool)
        position = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        return np.asarray(self.pairs[position] == keys, bool)

    def _remember(self, looks: Looks) -> Bools:
        """Marks the clicks that are new pairs (the first of equal ones) and keeps them in mind. Shape [n]."""
        keys = looks.user * len(self.ads) + looks.item
        new = np.zeros(len(keys), bool)
        new[np.unique(keys, return_index=True)[1]] = True
        new &= looks.item >= 0
        self.pairs = np.sort(np.concatenate([self.pairs, keys[new]]), kind="stable")
        self.seen_by += np.bincount(looks.item[new], minlength=len(self.ads))
        return new
