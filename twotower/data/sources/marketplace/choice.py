"""The discrete choice that drives the market: search results by exposure, clicks by utility plus Gumbel noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twotower.data.sources.marketplace.catalogue import Ads
from twotower.data.sources.marketplace.people import People
from twotower.data.sources.marketplace.rules import Rules
from twotower.types import Array, Floats, Ids

Ids32 = NDArray[np.int32]
WIDER = np.array([3, 3, 3, 4, 4])
"""The next wider search after each: model, near home, make -> body and price band -> body."""
BLOCK = 200_000
"""Pages looked at at once, of 18 ads: about 450 MB of temporary arrays."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelves:
    """Five ways of sorting the catalogue into cells, from narrow to wide; a search opens one cell of one way.

    Attributes:
        order: ads sorted by cell, one row per way. Shape [5, N].
        start: first position of each ad's cell in `order`. Shape [5, N].
        stop: position after each ad's cell. Shape [5, N].
    """

    order: Ids32
    start: Ids32
    stop: Ids32

    @classmethod
    def of(cls, rules: Rules, ads: Ads) -> "Shelves":
        """Cells by model · city and body and price band · make and body · body and price band · body."""
        model, make, body = (ads.codes[:, column].astype(np.int64) for column in range(3))
        bands = rules.bands(len(ads))
        limits = np.quantile(ads.traits[:, 0], np.linspace(0, 1, bands + 1)[1:-1])
        body_band = body * bands + np.searchsorted(limits, ads.traits[:, 0])
        keys = (model, ads.city * 1000 + body_band, make * 100 + body, body_band, body)
        n = len(ads)
        order, start, stop = (np.empty((len(keys), n), np.int32) for _ in range(3))
        for way, key in enumerate(keys):
            order[way] = np.argsort(key, kind="stable")
            ranked = key[order[way]]
            edges = np.flatnonzero(np.diff(ranked, prepend=-1))
            lengths = np.diff(np.append(edges, n))
            start[way, order[way]] = np.repeat(edges, lengths)
            stop[way, order[way]] = np.repeat(edges + lengths, lengths)
        return cls(order, start, stop)

    def cumulative(self, exposure: Floats) -> Array:
        """Running sums of exposure [N] along each way's order, starting with 0. float64 [5, N + 1]."""
        sums = np.zeros((len(self.order), len(exposure) + 1))
        for way, order in enumerate(self.order):
            np.cumsum(exposure[order], out=sums[way, 1:])
        return sums


def utility(rules: Rules, ads: Ads, people: People, log_price: Floats, user: Ids, wish: Ids, shown: Ids) -> Floats:
    """What an ad is worth to a user who follows a wish, in units of the choice noise.

    Args:
        rules: of the market.
        ads: all ads.
        people: hidden tastes.
        log_price: the ads' present prices. Shape [N].
        user: who looks. Shape [n].
        wish: the ad that stands for the wish. Shape [n].
        shown: ads on the page. Shape [n, M].

    Returns:
        Shape [n, M].
    """
    code, sought = ads.codes[shown], ads.codes[wish][:, None, :]
    trait, dream = ads.traits[shown], ads.traits[wish][:, None, :]
    who, worth = user[:, None], rules.worth
    same = (code[..., :3] == sought[..., :3]).astype(np.float32)
    model, make, body = (np.float32(likeness) for likeness in (worth.model, worth.make, worth.body))
    value = model * same[..., 0] + make * same[..., 1] + body * same[..., 2]
    value += people.fuel[who, code[..., 3]]
    value += people.transmission[who, code[..., 4]]
    value += people.colour[who, code[..., 5]]
    off_price = (log_price[shown] - dream[..., 0]) / people.price_width[who]
    value -= np.float32(0.5) * np.minimum(off_price**2, np.float32(16))
    value -= np.float32(worth.age) * np.minimum(np.abs(trait[..., 3] - dream[..., 3]), np.float32(12))
    if worth.mileage:
        off_km = np.abs(ads.km[shown] - ads.km[wish][:, None]) / 50_000
        value -= (worth.mileage * np.minimum(off_km, 4)).astype(np.float32)
    value -= people.travel[who] * np.log1p(_kilometres(people.place[user][:, None, :], trait) / np.float32(50))
    return np.asarray(value, np.float32)


def _kilometres(home: Floats, trait: Floats) -> Floats:
    """Distance on the equirectangular plane, good to a percent below 500 km."""
    north = trait[..., 1] - home[..., 0]
    east = (trait[..., 2] - home[..., 1]) * np.cos(np.radians(home[..., 0]))
    return np.asarray(np.float32(111.2) * np.sqrt(north**2 + east**2), np.float32)


def gumbel(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Standard Gumbel noise: choosing the largest of utility + noise is a multinomial logit choice."""
    return np.asarray(-np.log(rng.standard_exponential(shape, dtype=np.float32) + np.float32(1e-30)), np.float32)


def find_wishes(rules: Rules, ads: Ads, people: People, demand: Floats, rng: np.random.Generator) -> None:
    """Fills `people.wish` in place: the best of 24 drawn ads, the later wishes akin to the first.

    Args:
        rules: of the market.
        ads: all ads.
        people: hidden tastes; `wish` is written.
        demand: expected viewers of each ad. Shape [N].
        rng: source of chance.
    """
    cumulative = np.cumsum(demand if rules.wishes_by_demand else np.ones(len(ads)), dtype=np.float64)
    for start in range(0, len(people), BLOCK):
        user = np.arange(start, min(start + BLOCK, len(people)))
        for k in range(rules.n_wishes):
            spots = rng.random((len(user), 24)) * cumulative[-1]
            drawn = np.minimum(np.searchsorted(cumulative, spots, side="right"), len(ads) - 1)
            first = drawn[:, 0] if k == 0 else people.wish[user, 0]
            value = np.float32(0.8) * utility(rules, ads, people, ads.traits[:, 0], user, first, drawn)
            people.wish[user, k] = drawn[np.arange(len(user)), (value + gumbel(value.shape, rng)).argmax(axis=1)]


def shown_page(
    shelves: Shelves, cumulative: Array, wish: Ids, search: Ids, page_size: int, rng: np.random.Generator
) -> Ids:
    """One page of results per search, ads drawn by exposure from the searched cell; an empty cell widens the search.

    Args:
        shelves: the cells.
        cumulative: running sums of exposure from `Shelves.cumulative`. Shape [5, N + 1].
        wish: the ad whose cell is searched. Shape [n].
        search: the way of searching. Shape [n].
        page_size: ads on a page, M.
        rng: source of chance.

    Returns:
        Ads, -1 where even the widest search finds nothing. Shape [n, M].
    """
    for widened in (False, False, True):
        low = cumulative[search, shelves.start[search, wish]]
        width = cumulative[search, shelves.stop[search, wish]] - low
        if not widened:
            search = np.where(width > 0, search, WIDER[search])
    spot = low[:, None] + rng.random((len(wish), page_size)) * width[:, None]
    page = np.empty((len(wish), page_size), np.int64)
    for way in np.unique(search):
        rows = search == way
        position = np.searchsorted(cumulative[way], spot[rows], side="right") - 1
        page[rows] = shelves.order[way][np.minimum(position, shelves.order.shape[1] - 1)]
    page[width <= 0] = -1
    return page
