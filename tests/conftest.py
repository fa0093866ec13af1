"""Fixtures and settings shared by all tests."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.data.splitters import LeaveLast, RandomSplit, UserHeldOut
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind
from twotower.models.base import ScoringModel
from twotower.testing import two_tastes as _two_tastes
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Ids, Queries, Times

settings.register_profile("steady", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered of published indexes goes with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with public data sets; tests that need it are skipped where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("TWOTOWER_DATA", beside))
    if not root.is_dir():
        pytest.skip(f"no public data sets in {root}; set TWOTOWER_DATA")
    return root


@pytest.fixture(scope="session")
def two_tastes() -> Split:
    """80 users and 50 items in two groups of taste, with features; see `_two_tastes`."""
    return _two_tastes(features=True)


@pytest.fixture(scope="session")
def two_tastes_bare() -> Split:
    """The same without any feature."""
    return _two_tastes(features=False)


@dataclass(frozen=True)
class SmallRun:
    """A published run of 60 cars (ids 100 to 159) and users u0 to u24; u24 has done nothing."""

    runs_dir: Path
    dataset: Dataset
    dim: int = 8

    @property
    def n_items(self) -> int:
        return self.dataset.n_items

    @property
    def n_active(self) -> int:
        return int((self.dataset.interactions.by_user().lengths > 0).sum())

    def seen(self, user: str) -> list[int]:
        """External ids of what a user has touched, each once."""
        events = self.dataset.interactions.by_user()[self.dataset.user_ids.to_internal([user])[0]]
        return [100 + int(item) for item in np.unique(events)]

    def popular(self, k: int) -> list[int]:
        """External ids of the k items with most events, ties by id."""
        return [100 + int(i) for i in np.argsort(-self.dataset.interactions.item_counts(), kind="stable")[:k]]

    def fuel(self, item: int) -> str:
        return ("diesel", "petrol", "electric")[item % 3]


def _cars() -> Dataset:
    rng = np.random.default_rng(5)
    user, n = np.repeat(np.arange(24), 12), 60
    item = (user % 3 + 3 * rng.geometric(0.15, len(user))) % n
    events = Interactions.of(user, item, np.arange(len(user)) * 3600 + 1_500_000_000, n_users=25, n_items=n)
    columns = (Column("name", Kind.TEXT), Column("fuel", Kind.CATEGORICAL), Column("price", Kind.CONTINUOUS))
    values = {
        "name": np.asarray([f"car {i}" for i in range(n)], dtype=object),
        "fuel": Categories.of([("diesel", "petrol", "electric")[(100 + i) % 3] for i in range(n)]),
        "price": np.linspace(1000, 12_800, n),
    }
    users, items = FeatureTable.empty(25), FeatureTable(FeatureSchema(columns), values, n)
    user_ids, item_ids = IdMap.of([f"u{i}" for i in range(25)], "user"), IdMap.of(np.arange(100, 100 + n), "item")
    return Dataset("cars", events, users, items, user_ids, item_ids, category="fuel", title="name")


@pytest.fixture(scope="session")
def _trained_small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Trained once; `small_run` gives each test a copy of its own."""
    from twotower.data.splitters import LeaveLast
    from twotower.models.two_tower.estimator import TwoTower
    from twotower.models.two_tower.options import TowerOptions, TrainOptions
    from twotower.runs.publishing import publish
    from twotower.runs.serving_files import write_serving_files

    runs_dir, dataset = tmp_path_factory.mktemp("small") / "runs", _cars()
    options = {"towers": TowerOptions(dim=SmallRun.dim, history_layers=1), "training": TrainOptions(epochs=1)}
    model = TwoTower(**options).fit(LeaveLast(n=1).split(dataset))
    model.serve(dataset, dataset.interactions, int(dataset.interactions.time.max()))

    def write(directory: Path) -> None:
        model.save(directory)
        write_serving_files(directory, dataset, dataset.interactions)
        (directory / "config.yaml").write_text("model_name: two_tower\ndata: {name: cars}\n")

    publish(runs_dir, "small", write, {"dataset": dataset.fingerprint()})
    return SmallRun(runs_dir, dataset)


@pytest.fixture
def small_run(_trained_small_run: SmallRun, tmp_path: Path) -> SmallRun:
    """A small published run without an index, in a folder that the test may damage."""
    shutil.copytree(_trained_small_run.runs_dir, tmp_path / "runs", symlinks=True)
    return SmallRun(tmp_path / "runs", _trained_small_run.dataset)


TOY_USERS, TOY_ITEMS = 60, 40


class ByScore(ScoringModel):
    """Scores are `weight` times the item's training count, plus `noise` drawn by user and seed."""

    def __init__(self, *, weight: float = 1.0, noise: float = 0.0, seed: int = 0) -> None:
        self.weight, self.noise, self.seed = weight, noise, seed
        self.counts = np.zeros(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET) -> "ByScore":
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
    user = np.repeat(np.arange(TOY_USERS), rng.integers(4, 13, TOY_USERS))
    item = (TOY_ITEMS * rng.random(len(user)) ** 2).astype(np.int64)
    log = Interactions.of(user, item, rng.integers(0, 1000, len(user)), n_users=TOY_USERS, n_items=TOY_ITEMS)
    users, items = IdMap.of(range(TOY_USERS), "user"), IdMap.of(range(TOY_ITEMS), "item")
    return Dataset("toy", log, FeatureTable.empty(TOY_USERS), FeatureTable.empty(TOY_ITEMS), users, items)


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


class Means:
    """Predicts the mean of train, moved towards the item's mean by `trust` and then scaled; gives no lists."""

    def __init__(self, *, trust: float = 1.0, scale: float = 1.0) -> None:
        self.trust, self.scale = trust, scale

    def fit(self, split: Split, context: FitContext = QUIET) -> "Means":
        log = split.train
        mean = log.value.mean()
        sums = np.bincount(log.item, log.value - mean, minlength=log.n_items)
        self.item = mean + self.trust * sums / (2 + log.item_counts())
        return self

    def predict(self, users: Ids, items: Ids, at: Times | None = None) -> Floats:
        return (self.item[items] / self.scale).astype(np.float32)


@pytest.fixture(scope="session")
def means() -> type[Means]:
    return Means


@pytest.fixture(scope="session")
def rated(data) -> Split:
    """The toy data with ratings 1 to 5 that depend on the item, cut at random."""
    log = data.interactions
    rng = np.random.default_rng(5)
    return _valued(data, np.clip(np.round(1 + 4 * log.item / 40 + rng.normal(0, 0.5, len(log))), 1, 5))


@pytest.fixture(scope="session")
def liked(data) -> Split:
    """The toy data with outcomes 0 and 1 that depend on the item, cut at random."""
    log = data.interactions
    return _valued(data, np.random.default_rng(6).random(len(log)) < 0.2 + 0.6 * log.item / 40)


def _valued(data: Dataset, value: Array) -> Split:
    log = data.interactions
    columns = {"kind": log.kind, "value": value, "kinds": log.kinds, "n_users": log.n_users, "n_items": log.n_items}
    valued = data.with_interactions(Interactions.of(log.user, log.item, log.time, **columns))
    return RandomSplit(validation=0.1, test=0.3, seed=0).split(valued)
