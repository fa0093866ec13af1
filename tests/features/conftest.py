"""A small car market with every kind of column, a price drop and a random variant of it."""

from collections.abc import Callable

import numpy as np
import pytest

from twotower.data.dataset import Dataset, ItemVersions
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind, MultiCategories
from twotower.features.encoders import FeatureEncoder

PRICE = Column("price", Kind.CONTINUOUS, 0.0, 1000.0)


def price_table(prices) -> FeatureTable:
    values = np.asarray(prices, np.float64)
    return FeatureTable(FeatureSchema((PRICE,)), {"price": values}, len(values))


def dataset_of(items: FeatureTable, events: Interactions, versions: ItemVersions | None = None) -> Dataset:
    users, n_items = IdMap.of(range(events.n_users), "user"), len(items)
    return Dataset(
        "cars", events, FeatureTable.empty(events.n_users), items, users, IdMap.of(range(n_items), "item"), versions
    )


@pytest.fixture(scope="session")
def cars() -> FeatureTable:
    """4 cars: makes b a - a, extras {x, y} {} {y} {z}, prices 100, missing, 300, 900."""
    columns = (Column("make", Kind.CATEGORICAL), Column("extras", Kind.MULTI_CATEGORICAL), PRICE)
    values = {
        "make": Categories.of(["b", "a", None, "a"]),
        "extras": MultiCategories.of([["x", "y"], [], ["y"], ["z"]]),
        "price": np.array([100.0, np.nan, 300.0, 900.0]),
    }
    return FeatureTable(FeatureSchema(columns), values, 4)


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    return dataset_of


@pytest.fixture(scope="session")
def make_prices() -> Callable[..., FeatureTable]:
    return price_table


@pytest.fixture(scope="session")
def random_market() -> Callable[[int], tuple[Dataset, FeatureEncoder]]:
    """By seed: 5 users, 8 items with missing values, 3 price changes, 60 events on 100 days, some at one second."""

    def make(seed: int) -> tuple[Dataset, FeatureEncoder]:
        rng = np.random.default_rng(seed)
        extras = [rng.choice(list("pqrs"), rng.integers(0, 4)).tolist() for _ in range(8)]
        columns = (Column("make", Kind.CATEGORICAL), Column("extras", Kind.MULTI_CATEGORICAL), PRICE)
        values = {
            "make": Categories.of(rng.choice(np.array(["a", "b", "c", None], object), 8)),
            "extras": MultiCategories.of(extras, [rng.uniform(0.1, 2, len(e)).tolist() for e in extras]),
            "price": np.where(rng.random(8) < 0.3, np.nan, rng.uniform(0, 1000, 8)),
        }
        items = FeatureTable(FeatureSchema(columns), values, 8)
        changed = np.sort(rng.choice(8, 3, replace=False))
        since = rng.integers(0, 100 * 86_400, 3)
        versions = ItemVersions(changed, since, price_table(rng.uniform(0, 1000, 3)))
        times = rng.choice(rng.integers(0, 100 * 86_400, 30), 60)
        events = Interactions.of(
            rng.integers(0, 5, 60), rng.integers(0, 8, 60), times,
            kind=rng.integers(0, 3, 60), kinds=("view", "save", "contact"), n_users=5, n_items=8,
        )  # fmt: skip
        return dataset_of(items, events, versions), FeatureEncoder.fit(items)

    return make
