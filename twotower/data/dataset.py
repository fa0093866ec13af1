"""`Dataset`: interactions, users and the catalogue of one data set, with its fingerprint; saved as Parquet."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, FeatureTable, MultiCategories, moment_text
from twotower.data.versions import ItemVersions, Lifetimes, overlay
from twotower.errors import BadInput, MissingData
from twotower.shortcuts import shortcut
from twotower.text import html_table
from twotower.types import Array

__all__ = ["Dataset", "ItemVersions", "Lifetimes"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Everything known of users, items and what happened between them.

    Attributes:
        name: short name, e.g. "ml-1m".
        interactions: the events that models learn from and foresee: all, or the positive ones.
        users: user features (may have no columns). n_users rows.
        items: the catalogue: item features as first published. n_items rows.
        user_ids: external user ids.
        item_ids: external item ids.
        versions: later states of items, if the source has them.
        lifetimes: when items were for sale, if the source says so.
        category: name of a categorical item column that groups alternatives (for category-aware negatives).
        title: name of an item column that names an item to people.
        log: all events as read, where they are more than `interactions`; nobody gets back what stands there.
        disliked: those of them that say no; what they name never comes back, not even where seen items may.
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
    log: Interactions | None = None
    disliked: Interactions | None = None

    def __repr__(self) -> str:
        sizes = f"{self.n_users:,} users, {self.n_items:,} items, {len(self.interactions):,} events"
        return f"<Dataset {self.name}: {sizes}>"

    def _repr_html_(self) -> str:
        return html_table(self.facts(), repr(self))

    def facts(self) -> list[tuple[str, str]]:
        """What there is, for people: name and description."""
        times = self.interactions.time
        return [
            ("users", f"{self.n_users:,}{_columns(self.users)}"),
            ("items", f"{self.n_items:,}{_columns(self.items)}"),
            ("events", f"{len(self.interactions):,} ({', '.join(self.interactions.kinds)})"),
            ("events as read", f"{len(self.touched):,}"),
            ("from", moment_text(int(times.min())) if len(times) else "never"),
            ("to", moment_text(int(times.max())) if len(times) else "never"),
        ]

    @classmethod
    def from_frames(
        cls,
        events: Any,
        *,
        items: Any = None,
        users: Any = None,
        user: str = "user",
        item: str = "item",
        time: str | None = None,
        kind: str | None = None,
        value: str | None = None,
        **options: Any,
    ) -> "Dataset":
        """A data set of tables in memory (pandas, Arrow, or what speaks the Arrow protocol, as polars) or of paths.

        Where an items table is given it is the catalogue: events of items that it lacks are refused; so with users.
        Features are the other columns, by what they hold: numbers continuous, dates timestamps, lists of fractions
        vectors, other lists and `a|b` multi_categorical, texts categorical, or text where most rows have their own.

        Args:
            events: one row an event.
            items: one row an item.
            users: one row a user.
            user: column of user ids, in events and users.
            item: column of item ids, in events and items.
            time: column of times: dates, ISO texts, or numbers in `time_unit`; None: rows stand in their order.
            kind: column of event kinds, e.g. view, buy; None: all alike.
            value: column of numbers, e.g. ratings; None: 1 each.
            options: `target` and `dislike` (roles of events, as in the YAML of own data), `time_unit` (s, or d, ms, us,
                ns), `title` (item column; None: that of texts called title or name), `category`, `item_columns` and
                `user_columns` (kinds by column that win; None leaves one out), `name` of the data set, `on_bad_rows`
                (raise or drop).

        Raises:
            BadConfig: an option or column kind that does not exist, or something that is no table.
            BadInput: a column is missing or holds what cannot be read; the text names table, row and value.
        """
        made: Dataset = shortcut("from_frames")(
            events, items=items, users=users, user=user, item=item, time=time, kind=kind, value=value, **options
        )
        return made

    def __post_init__(self) -> None:
        sizes = {
            "users": (self.interactions.n_users, len(self.users), len(self.user_ids)),
            "items": (self.interactions.n_items, len(self.items), len(self.item_ids)),
        }
        for more in (self.log, self.disliked):
            if more is not None and (more.n_users, more.n_items) != (self.n_users, self.n_items):
                raise BadInput(f"Dataset {self.name}: log and disliked must share the id spaces of the interactions")
        for what, (space, rows, ids) in sizes.items():
            if not space == rows == ids:
                raise BadInput(
                    f"Dataset {self.name}: {what}: id space {space}, feature rows {rows}, ids {ids} must agree"
                )
        for name in (self.category, self.title):
            if name is not None:
                self.items.schema[name]
        self._check_changes()

    def _check_changes(self) -> None:
        if self.lifetimes is not None and len(self.lifetimes.since) != self.n_items:
            raise BadInput(f"Dataset {self.name}: {len(self.lifetimes.since)} lifetimes for {self.n_items} items")
        if self.versions is None:
            return
        for column in self.versions.features.schema.columns:
            if self.items.schema[column.name].kind is not column.kind:
                raise BadInput(f"Dataset {self.name}: column {column.name!r} changes its kind in the item versions")
        item = self.versions.item
        if len(item) and (item.min() < 0 or item.max() >= self.n_items):
            raise BadInput(f"Dataset {self.name}: item versions name items outside 0..{self.n_items - 1}")

    @property
    def n_users(self) -> int:
        """Users, active or not."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items in the catalogue, touched or not."""
        return len(self.item_ids)

    @property
    def touched(self) -> Interactions:
        """All events as read, positive or not."""
        return self.interactions if self.log is None else self.log

    def with_interactions(self, interactions: Interactions) -> "Dataset":
        """The same users and catalogue with these events alone."""
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
        digest.update(repr(self._names()).encode())
        for array in self._arrays():
            digest.update(f"{array.dtype.kind}{array.shape}".encode())
            digest.update(_bytes(array))
        return digest.hexdigest()

    def _names(self) -> tuple[object, ...]:
        """What the figures mean: event kinds, columns, roles of columns."""
        changed = self.versions.features.schema.to_json() if self.versions else None
        tables = (self.users.schema.to_json(), self.items.schema.to_json(), changed)
        return (self.interactions.kinds, *tables, self.category, self.title)

    def _arrays(self) -> Iterator[Array]:
        yield from (self.user_ids.external, self.item_ids.external)
        for i in (self.interactions, *(more for more in (self.log, self.disliked) if more is not None)):
            yield from (i.user, i.item, i.time, i.kind, i.value)
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
        (directory / "dataset.json").unlink(missing_ok=True)
        self.interactions.save(directory / "interactions.parquet")
        for name, more in (("log", self.log), ("disliked", self.disliked)):
            if more is not None:
                more.save(directory / f"{name}.parquet")
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
                 "versions": self.versions is not None, "lifetimes": self.lifetimes is not None,
                 "log": self.log is not None, "disliked": self.disliked is not None}  # fmt: skip
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
            *(Interactions.load(directory / f"{n}.parquet") if facts.get(n) else None for n in ("log", "disliked")),
        )


def _columns(table: FeatureTable) -> str:
    names = ", ".join(f"{column.name} {column.kind.value}" for column in table.schema.columns)
    return f": {names}" if names else ""


def _bytes(array: Array) -> bytes:
    """The same bytes for the same values, whatever their width in memory."""
    if array.dtype == object:
        return "".join(f"{len(text)}:{text}" for text in array).encode()
    return array.astype({"i": np.int64, "u": np.int64, "f": np.float64}[array.dtype.kind]).tobytes()
