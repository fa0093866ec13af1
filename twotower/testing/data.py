"""A small split with two planted tastes, and queries to ask of models fitted on it."""

from functools import cache

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind
from twotower.types import UNKNOWN_USER, Array, Queries, Ragged

N_USERS, N_ITEMS, N_COLD, EVENTS_PER_USER = 80, 50, 4, 10


@cache
def two_tastes(*, features: bool = True) -> Split:
    """80 users and 50 items in two groups of taste: even users touch even items, odd users odd ones, nine times of ten.

    Items 0 and 1 are liked most in each group; the last four items have no events. The last event of each user is the
    test, the one before it the validation. Values of events are 5 within the taste and 1 beyond it.

    Args:
        features: users have a region that says nothing, items their taste and a price; False: neither has any.
    """
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(N_USERS), EVENTS_PER_USER)
    appeal = 1 / (1 + np.arange((N_ITEMS - N_COLD) // 2))
    liked = np.stack([rng.choice(len(appeal), EVENTS_PER_USER, False, appeal / appeal.sum()) for _ in range(N_USERS)])
    item = 2 * liked.ravel() + (user + (rng.random(len(user)) < 0.1)) % 2
    time = np.arange(len(user)) % EVENTS_PER_USER * 86_400 + 1_500_000_000
    value = np.where(user % 2 == item % 2, 5.0, 1.0)
    events = Interactions.of(user, item, time, value=value, n_users=N_USERS, n_items=N_ITEMS).unique_pairs()
    left = events.offsets[1:][events.user] - 1 - np.arange(len(events))
    tables = _tables() if features else (FeatureTable.empty(N_USERS), FeatureTable.empty(N_ITEMS))
    ids = IdMap.of(np.arange(N_USERS), "user"), IdMap.of(np.arange(N_ITEMS), "item")
    train = events.where(left >= 2)
    validation = Holdout.of(train, events.where(left == 1), int(events.time.max()))
    test = Holdout.of(events.where(left >= 1), events.where(left == 0), int(events.time.max()))
    return Split(Dataset("two-tastes", events, *tables, *ids), train, validation, test, "leave_last(n=1)")


def _tables() -> tuple[FeatureTable, FeatureTable]:
    region = Categories.of([("north", "south", "east")[u % 3] for u in range(N_USERS)])
    users = FeatureTable(FeatureSchema((Column("region", Kind.CATEGORICAL),)), {"region": region}, N_USERS)
    columns = (Column("taste", Kind.CATEGORICAL), Column("price", Kind.CONTINUOUS))
    taste = Categories.of([("sweet", "salty")[i % 2] for i in range(N_ITEMS)])
    price = np.linspace(1, 9, N_ITEMS)
    price[3] = np.nan
    return users, FeatureTable(FeatureSchema(columns), {"taste": taste, "price": price}, N_ITEMS)


def queries_of(histories: list[list[int]], users: list[int] | None = None) -> Queries:
    """Queries of unknown users, unless users are given; nothing is excluded."""
    users = [UNKNOWN_USER] * len(histories) if users is None else users
    return Queries.of(np.array(users, np.int64), Ragged.from_lists(histories), exclude_history=False)


def asked() -> Queries:
    """Known users, unknown ones with and without history, and exclusions from none to all but a few items."""
    known, rng = two_tastes().test.queries(), np.random.default_rng(3)
    users = np.concatenate([known.users, np.full(30, UNKNOWN_USER)])
    histories: list[Array] = [*known.histories, *(rng.integers(-1, 50, size) for size in rng.integers(0, 9, 30))]
    excluded = [rng.integers(-1, 50, size) for size in rng.choice([0, 3, 40, 150], len(users))]
    return Queries(users, Ragged.from_lists(histories), Ragged.from_lists(excluded))
