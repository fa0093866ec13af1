"""From first looks to the event log: users come back to ads, look again, save, print and contact the seller."""

import numpy as np

from twotower.data.dataset import Lifetimes
from twotower.data.interactions import Interactions
from twotower.data.sources.marketplace.calendar import DAY, END, N_WEEKS, START, TEST_START, WEEK
from twotower.data.sources.marketplace.site import Looks
from twotower.types import Array, Ids, Times

KINDS = ("view", "save", "print", "contact")
KIND_SHARES = {"save": 0.126, "print": 0.0006, "contact": 0.004}
"""Shares of all events; the others are views."""
EVENTS_PER_USER = np.array([35.75017, 36.67576, 37.15980, 31.75047, 31.59619])
"""Events of each week per user of the market."""
RETURN_SHARE = 0.58
"""Mean number of later visits planned per first look; those after the sale or the window do not happen."""
DAYS_TO_RETURN = 4.0
SECONDS_TO_NEXT = 90.0


def event_log(looks: Looks, lifetimes: Lifetimes, active_in_test: Array, rng: np.random.Generator) -> Interactions:
    """All events: one view per first look and later visit, then further events until each week has its number.

    Args:
        looks: first looks, P rows.
        lifetimes: when ads were for sale.
        active_in_test: which users use the site in the last week. Shape [U].
        rng: source of chance.
    """
    pair, time = _visits(looks, lifetimes, active_in_test, rng)
    extra = _further_events(looks, pair, time, len(active_in_test), rng)
    gap = rng.exponential(SECONDS_TO_NEXT, len(extra)).astype(np.int64) + 1
    week_end = START + ((time[extra] - START) // WEEK + 1) * WEEK
    later = np.minimum(time[extra] + gap, np.minimum(week_end, lifetimes.until[looks.item[pair[extra]]]) - 1)
    liking = looks.liking[pair[extra]]
    all_pairs = np.concatenate([pair, pair[extra]])
    kind = np.concatenate([np.zeros(len(pair), np.int8), _kinds(liking, len(pair) + len(extra), rng)])
    return Interactions.of(
        looks.user[all_pairs],
        looks.item[all_pairs],
        np.concatenate([time, later]),
        kind=kind,
        kinds=KINDS,
        n_users=len(active_in_test),
        n_items=len(lifetimes.since),
    )


def _visits(looks: Looks, lifetimes: Lifetimes, active_in_test: Array, rng: np.random.Generator) -> tuple[Ids, Times]:
    """Pair number and time of the first look and of every later visit; what is liked more is visited more."""
    eager = np.exp(0.5 * np.clip(looks.liking, -6, 6).astype(np.float64))
    returns = rng.poisson(RETURN_SHARE * eager / eager.mean())
    pair = np.repeat(np.arange(len(looks.user)), returns)
    wait = rng.exponential(DAYS_TO_RETURN * DAY, len(pair)).astype(np.int64) + 3600
    time = looks.time[pair] + wait
    happens = (time < END) & (time < lifetimes.until[looks.item[pair]])
    happens &= (time < TEST_START) | active_in_test[looks.user[pair]]
    return (
        np.concatenate([np.arange(len(looks.user)), pair[happens]]),
        np.concatenate([looks.time, time[happens]]),
    )


def _further_events(looks: Looks, pair: Ids, time: Times, n_users: int, rng: np.random.Generator) -> Ids:
    """Visit number of each further event, heavy-tailed over visits; every week gets its number of events."""
    week = (time - START) // WEEK
    interest = rng.gamma(0.5, 2.0, len(pair)) * np.exp(0.2 * np.clip(looks.liking[pair], -6, 6))
    chosen = []
    for w in range(N_WEEKS):
        visits = np.flatnonzero(week == w)
        n_events = max(0, round(EVENTS_PER_USER[w] * n_users) - len(visits))
        cumulative = np.cumsum(interest[visits])
        spots = (np.arange(n_events) + rng.random(n_events)) * cumulative[-1] / max(n_events, 1)
        chosen.append(visits[np.minimum(np.searchsorted(cumulative, spots, side="right"), len(visits) - 1)])
    return np.concatenate(chosen)


def _kinds(liking: Array, n_events: int, rng: np.random.Generator) -> Array:
    """Kinds of the further events: the more an ad is liked, the likelier a save or a contact. int8 [n]."""
    kind = np.zeros(len(liking), np.int8)
    eagerness = np.clip(liking, -6, 6) + rng.gumbel(size=len(liking)) * 1.5
    order = np.argsort(-eagerness, kind="stable")
    counts = [round(share * n_events) for share in KIND_SHARES.values()]
    codes = np.repeat([KINDS.index(name) for name in KIND_SHARES], counts)
    pool = rng.permutation(order[: 2 * len(codes)])
    kind[pool[: len(codes)]] = codes
    return kind
