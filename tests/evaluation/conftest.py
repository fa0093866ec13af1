"""A small split and recommenders whose figures are known beforehand."""

from collections.abc import Callable

import numpy as np
import pytest

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.data.splits import LeaveLast, UserHeldOut
from twotower.data.tables import FeatureTable
from twotower.models.base import ScoringModel
from twotower.types import Array, Floats, Queries

N_USERS, N_ITEMS = 60, 40


class ByScore(ScoringModel):
    """Scores are `weight` times the item's training count, plus `noise` drawn by user and seed."""

    def __init__(self, *, weight: float = 1.0, noise: float = 0.0, seed: int = 0) -> None:
        self.weight, self.noise, self.seed = weight, noise, seed
        self.counts = np.zeros(0, np.float32)

    def fit(self, split: Split) -> "ByScore":
        self.counts = split.train.item_counts().astype(np.float32)
        self.n_items = split.train.n_items
        return self

    def score(self, queries: Queries) -> Floats:
        drawn = [np.random.default_rng([self.seed, user]).random(self.n_items) for user in queries.users]
        return (self.weight * self.counts + self.noise * np.array(drawn)).astype(np.float32)

    def state(self) -> dict[str, Array]:
        return {"counts": self.counts}

    def set_state(self, state: dict[str, Array]) -> None:
        self.counts = state["counts"]


@pytest.fixture(scope="session")
def by_score() -> type[ByScore]:
    return ByScore


@pytest.fixture(scope="session")
def data() -> Dataset:
    """60 users with 4 to 12 events on 40 items of skewed popularity."""
    rng = np.random.default_rng(7)
    user = np.repeat(np.arange(N_USERS), rng.integers(4, 13, N_USERS))
    item = (N_ITEMS * rng.random(len(user)) ** 2).astype(np.int64)
    log = Interactions.of(user, item, rng.integers(0, 1000, len(user)), n_users=N_USERS, n_items=N_ITEMS)
    users, items = IdMap.of(range(N_USERS), "user"), IdMap.of(range(N_ITEMS), "item")
    return Dataset("toy", log, FeatureTable.empty(N_USERS), FeatureTable.empty(N_ITEMS), users, items)


@pytest.fixture(scope="session")
def split(data) -> Split:
    return LeaveLast(n=1).split(data)


@pytest.fixture(params=[LeaveLast(n=1), UserHeldOut(n_validation=10, n_test=10)], ids=["leave_last", "user_held_out"])
def any_split(request, data) -> Split:
    return request.param.split(data)


@pytest.fixture(scope="session")
def said() -> Callable[[], tuple[list[str], Callable[[str], None]]]:
    """Makes a list and what appends to it."""

    def make() -> tuple[list[str], Callable[[str], None]]:
        lines: list[str] = []
        return lines, lines.append

    return make
