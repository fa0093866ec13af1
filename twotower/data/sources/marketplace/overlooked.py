"""Ads that nobody has looked at yet get one look each, taken from ads that have had more than they needed."""

import numpy as np

from twotower.data.sources.marketplace.calendar import END, START, TEST_START
from twotower.data.sources.marketplace.catalogue import Ads
from twotower.data.sources.marketplace.choice import gumbel, utility
from twotower.data.sources.marketplace.people import People
from twotower.data.sources.marketplace.rules import Rules
from twotower.data.sources.marketplace.site import Looks
from twotower.types import Array, Floats, Ids

CANDIDATES = 24
"""Looks that are weighed for each overlooked ad."""
ROUNDS = 12
"""The last third of the rounds takes looks at any kind of vehicle."""


def redirect_looks(
    rules: Rules, ads: Ads, people: People, viewers: Floats, looks: Looks, rng: np.random.Generator
) -> Looks:
    """Redirects looks so that the published catalogue holds no ad without a viewer, as the real one does.

    For each overlooked ad some looks at ads of the same body are drawn whose moment lies in its life; the user whom it
    suits best takes it instead. Users keep their number of looks; an ad gives only what it has beyond its plan, at
    most one look a round, so that none is left without.

    Args:
        rules: of the market.
        ads: all ads.
        people: hidden tastes.
        viewers: planned viewers of each ad. Shape [N].
        looks: first looks, P rows.
        rng: source of chance.

    Returns:
        P rows: the same users and times.
    """
    item, body = looks.item.copy(), ads.codes[:, 2].astype(np.int64)
    for turn in range(ROUNDS):
        count = np.bincount(item, minlength=len(ads))
        overlooked = np.flatnonzero(count == 0)
        if not len(overlooked):
            break
        if turn == ROUNDS - ROUNDS // 3:
            body = np.zeros_like(body)
        giving = np.flatnonzero(count[item] > np.maximum(1, viewers[item] - 0.5 - turn))
        overlooked, row = _drawn_looks(rules, ads, overlooked, giving, looks, body, item, rng)
        chosen = _best(rules, ads, people, overlooked, row, looks, item, rng)
        once = np.unique(item[chosen], return_index=True)[1]
        item[chosen[once]] = overlooked[once]
    return Looks(looks.user, item, looks.time, looks.liking)


def _drawn_looks(
    rules: Rules, ads: Ads, overlooked: Ids, giving: Ids, looks: Looks, body: Ids, item: Ids, rng: np.random.Generator
) -> tuple[Ids, Ids]:
    """The overlooked ads [n] for which there are looks, and rows of random looks of their body and life [n, M]."""
    span = END - START + 1

    def key(bodies: Ids, time: Array) -> Ids:
        return np.asarray(bodies * span + np.clip(time - START, 0, span - 1), np.int64)

    since, until = ads.lifetimes.since[overlooked], ads.lifetimes.until[overlooked]
    if not rules.late_looks:
        until = np.where(since < TEST_START, np.minimum(until, TEST_START), until)
    keys = key(body[item[giving]], looks.time[giving])
    order = np.argsort(keys, kind="stable")
    low = np.searchsorted(keys[order], key(body[overlooked], since))
    high = np.searchsorted(keys[order], key(body[overlooked], until))
    some = high > low
    spot = low[some, None] + rng.random((int(some.sum()), CANDIDATES)) * (high - low)[some, None]
    return overlooked[some], giving[order[spot.astype(np.int64)]]


def _best(
    rules: Rules, ads: Ads, people: People, overlooked: Ids, row: Ids, looks: Looks, item: Ids, rng: np.random.Generator
) -> Ids:
    """The look that each overlooked ad takes: that of the user whom it suits best. Shape [n]."""
    shown = np.repeat(overlooked, row.shape[1])[:, None]
    value = utility(rules, ads, people, ads.traits[:, 0], looks.user[row].ravel(), item[row].ravel(), shown).reshape(
        row.shape
    )
    return np.asarray(row[np.arange(len(row)), (value + gumbel(value.shape, rng)).argmax(axis=1)], np.int64)
