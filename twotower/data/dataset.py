"""`Dataset`: interactions, users and the catalogue of one data set, with its fingerprint; saved as Parquet."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, FeatureTable, MultiCategories
from twotower.errors import BadInput, MissingData
from twotower.types import Array, Bools, Ids, Times


@dataclass(frozen=True, slots=True, eq=False)
class ItemVersions:
    """Later states of items whose features change (price drops, edits), so that no event sees the future.

    Attributes:
        item: internal item id of each change. Shape [V].
        since: when the change took effect, seconds since the epoch. Sorted by (item, since). Shape [V].
        features: the changed columns only (a subset of the catalogue's schema). V rows.
    """

    item: Ids
    since: Times
    features: FeatureTable

    def __post_init__(self) -> None:
        if not len(self.item) == len(self.since) == len(self.features):
            raise BadInput("ItemVersions: item, since and features must have one entry per change")
        d_item, d_since = np.diff(self.item), np.diff(self.since)
        if bool(((d_item < 0) | ((d_item == 0) & (d_since <= 0))).any()):
            raise BadInput("ItemVersions: changes must be sorted by item and time, one per item and moment")

    def latest(self, item: Array, time: Array) -> Ids:
        """Row of the newest change of each item at or before each time, -1 where none. Shape [n]."""
        time = np.broadcast_to(np.asarray(time, np.int64), np.shape(item))
        order = np.lexsort((np.concatenate([np.zeros(len(self.item)), np.ones(len(item))]),
                            np.concatenate([self.since, time]), np.concatenate([self.item, item])))  # fmt: skip
        is_change = order < len(self.item)
        last = np.maximum.accumulate(np.where(is_change, np.arange(len(order)), -1))
        row = np.where(last < 0, -1, order[last])
        found = np.empty(len(item), np.int64)
        found[order[~is_change] - len(self.item)] = row[~is_change]
        if not len(self.item):
            return found
        return np.where((found >= 0) & (self.item[found] == item), found, -1)


@dataclass(frozen=True, slots=True, eq=False)
class Lifetimes:
    """When each item was for sale: from `since` until `until` (exclusive), seconds since the epoch. Shape [N]."""

    since: Times
    until: Times

    def available(self, start: int, end: int | None = None) -> Bools:
        """Items for sale at `start`, or at some time in [start, end). Shape [N]."""
        end = start + 1 if end is None else end
        return (self.since < end) & (self.until > start)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Everything known of users, items and what happened between them.

    Attributes:
        name: short name, e.g. "ml-1m".
        interactions: the events.
        users: user features (may have no columns). n_users rows.
        items: the catalogue: item features as first published. n_items rows.
        user_ids: external user ids.
        item_ids: external item ids.
        versions: later states of items, if the source has them.
        lifetimes: when items were for sale, if the source says so.
        category: name of a categorical item column that groups alternatives (for category-aware negatives).
        title: name of an item column that names an item to people.
    """

    name: str
    interactions: Interactions
    users: FeatureTable
    items: FeatureTable
    user_ids: IdMap
    item_ids: IdMap
    versions: ItemVersions | None = None
    lifetimes: Lifetimes | None = None
    category: str | None = None
    title: str | None = None

    def __post_init__(self) -> None:
        sizes = {
            "users": (self.interactions.n_users, len(self.users), len(self.user_ids)),
            "items": (self.interactions.n_items, len(self.items), len(self.item_ids)),
        }
        for what, (space, rows, ids) in sizes.items():
            if not space == rows == ids:
                raise BadInput(
                    f"Dataset {self.name}: {what}: id space {space}, feature rows {rows}, ids {ids} must agree"
                )
        for name in (self.category, self.title):
            if name is not None:
                self.items.schema[name]

    @property
    def n_users(self) -> int:
        """Users, active or not."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items in the catalogue, touched or not."""
        return len(self.item_ids)

    def with_interactions(self, interactions: Interactions) -> "Dataset":
        """The same users and catalogue with other events."""
        return Dataset(
            self.name, interactions, self.users, self.items, self.user_ids, self.item_ids,
            self.versions, self.lifetimes, self.category, self.title,
        )  # fmt: skip

    def items_at(self, time: int) -> FeatureTable:
        """The catalogue as it stood at a moment: later versions are applied, future ones are not."""
        if self.versions is None:
            return self.items
        items = np.arange(self.n_items)
        row = self.versions.latest(items, np.full(self.n_items, time))
        table = self.items
        for name in self.versions.features.schema.names:
            table = table.replace(name, overlay(table[name], self.versions.features[name], row))
        return table

    def fingerprint(self) -> str:
        """SHA-256 over ids, events and features: equal data, equal fingerprint, whatever the source format."""
        digest = hashlib.sha256()
        for array in self._arrays():
            digest.update(str((array.dtype, array.shape)).encode())
            digest.update("\0".join(array).encode() if array.dtype == object else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _arrays(self) -> Iterator[Array]:
        i = self.interactions
        yield from (self.user_ids.external, self.item_ids.external, i.user, i.item, i.time, i.kind, i.value)
        for table in (self.users, self.items, *((self.versions.features,) if self.versions else ())):
            for name in table.schema.names:
                values = table[name]
                if isinstance(values, Categories):
                    yield from (values.codes, values.values)
                elif isinstance(values, MultiCategories):
                    yield from (values.codes.values, values.codes.offsets, values.weights, values.values)
                else:
                    yield values
        if self.versions:
            yield from (self.versions.item, self.versions.since)
        if self.lifetimes:
            yield from (self.lifetimes.since, self.lifetimes.until)

    def save(self, directory: Path) -> None:
        """Parquet files and `dataset.json` in a directory that is made if needed; `dataset.json` comes last."""
        directory.mkdir(parents=True, exist_ok=True)
        self.interactions.save(directory / "interactions.parquet")
        self.users.save(directory / "users.parquet")
        self.items.save(directory / "items.parquet")
        self.user_ids.save(directory / "user_ids.parquet")
        self.item_ids.save(directory / "item_ids.parquet")
        if self.versions:
            self.versions.features.save(directory / "versions.parquet")
            changes = {"item": self.versions.item, "since": self.versions.since}
            pd.DataFrame(changes).to_parquet(directory / "version_keys.parquet")
        if self.lifetimes:
            spans = {"since": self.lifetimes.since, "until": self.lifetimes.until}
            pd.DataFrame(spans).to_parquet(directory / "lifetimes.parquet")
        facts = {"name": self.name, "category": self.category, "title": self.title,
                 "versions": self.versions is not None, "lifetimes": self.lifetimes is not None}  # fmt: skip
        (directory / "dataset.json").write_text(json.dumps(facts, indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            MissingData: the directory holds no complete data set.
        """
        if not (directory / "dataset.json").exists():
            raise MissingData(f"{directory} holds no prepared data set (no dataset.json); run pipelines/prepare.py")
        facts = json.loads((directory / "dataset.json").read_text())
        versions = lifetimes = None
        if facts["versions"]:
            keys = pd.read_parquet(directory / "version_keys.parquet")
            table = FeatureTable.load(directory / "versions.parquet")
            versions = ItemVersions(keys["item"].to_numpy(), keys["since"].to_numpy(), table)
        if facts["lifetimes"]:
            spans = pd.read_parquet(directory / "lifetimes.parquet")
            lifetimes = Lifetimes(spans["since"].to_numpy(), spans["until"].to_numpy())
        return cls(
            facts["name"],
            Interactions.load(directory / "interactions.parquet"),
            FeatureTable.load(directory / "users.parquet"),
            FeatureTable.load(directory / "items.parquet"),
            IdMap.load(directory / "user_ids.parquet", "user"),
            IdMap.load(directory / "item_ids.parquet", "item"),
            versions,
            lifetimes,
            facts["category"],
            facts["title"],
        )


def overlay(base: object, changes: object, row: Ids) -> "Categories | Array":
    """`base[i]`, or `changes[row[i]]` where row[i] >= 0; both sides categorical with equal values, or plain arrays."""
    if isinstance(base, Categories) and isinstance(changes, Categories):
        if not np.array_equal(base.values, changes.values):
            raise BadInput("ItemVersions: a categorical column must use the catalogue's values")
        return Categories(overlay_array(base.codes, changes.codes, row), base.values)
    if isinstance(base, np.ndarray) and isinstance(changes, np.ndarray):
        return overlay_array(base, changes, row)
    raise BadInput("ItemVersions: only categorical, continuous, text and timestamp columns can change")


def overlay_array(base: Array, changes: Array, row: Ids) -> Array:
    """Elementwise choice between `base` and `changes[row]`."""
    return np.where(row >= 0, changes[np.maximum(row, 0)], base) if len(changes) else base
