"""Fixtures and settings shared by all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind

settings.register_profile("steady", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with public data sets; tests that need it are skipped where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("TWOTOWER_DATA", beside))
    if not root.is_dir():
        pytest.skip(f"no public data sets in {root}; set TWOTOWER_DATA")
    return root


N_USERS, N_ITEMS, N_COLD, EVENTS_PER_USER = 80, 50, 4, 10


def _two_tastes(*, features: bool) -> Split:
    """Even users touch even items, odd users odd ones (nine times of ten); item 0 and 1 are liked most in each group.

    The last four items have no events. The last event of each user is the test, the one before the validation.
    """
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(N_USERS), EVENTS_PER_USER)
    appeal = 1 / (1 + np.arange((N_ITEMS - N_COLD) // 2))
    liked = np.stack([rng.choice(len(appeal), EVENTS_PER_USER, False, appeal / appeal.sum()) for _ in range(N_USERS)])
    item = 2 * liked.ravel() + (user + (rng.random(len(user)) < 0.1)) % 2
    time = np.arange(len(user)) % EVENTS_PER_USER * 86_400 + 1_500_000_000
    events = Interactions.of(user, item, time, n_users=N_USERS, n_items=N_ITEMS).unique_pairs()
    left = events.offsets[1:][events.user] - 1 - np.arange(len(events))
    data = Dataset(
        "two-tastes", events, *(_tables() if features else (_no_features(N_USERS), _no_features(N_ITEMS))),
        IdMap.of(np.arange(N_USERS), "user"), IdMap.of(np.arange(N_ITEMS), "item"),
    )  # fmt: skip
    train = events.where(left >= 2)
    validation = Holdout.of(train, events.where(left == 1), int(events.time.max()))
    test = Holdout.of(events.where(left >= 1), events.where(left == 0), int(events.time.max()))
    return Split(data, train, validation, test, "leave_last(n=1)")


def _tables() -> tuple[FeatureTable, FeatureTable]:
    """Users: a region that says nothing. Items: the taste they meet, and a price."""
    region = Categories.of([("north", "south", "east")[u % 3] for u in range(N_USERS)])
    users = FeatureTable(FeatureSchema((Column("region", Kind.CATEGORICAL),)), {"region": region}, N_USERS)
    columns = (Column("taste", Kind.CATEGORICAL), Column("price", Kind.CONTINUOUS))
    taste = Categories.of([("sweet", "salty")[i % 2] for i in range(N_ITEMS)])
    price = np.linspace(1, 9, N_ITEMS)
    price[3] = np.nan
    return users, FeatureTable(FeatureSchema(columns), {"taste": taste, "price": price}, N_ITEMS)


def _no_features(n_rows: int) -> FeatureTable:
    return FeatureTable(FeatureSchema(()), {}, n_rows)


@pytest.fixture(scope="session")
def two_tastes() -> Split:
    """80 users and 50 items in two groups of taste, with features; see `_two_tastes`."""
    return _two_tastes(features=True)


@pytest.fixture(scope="session")
def two_tastes_bare() -> Split:
    """The same without any feature."""
    return _two_tastes(features=False)
