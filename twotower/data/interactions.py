"""`Interactions`: who touched what, when, how; validated when made, frozen, one array a column."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from twotower.errors import BadInput
from twotower.types import Array, Bools, Ids, Ragged, Times


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Events sorted by user, then time, then their order in the source. 21 bytes an event.

    Attributes:
        user: internal user id, int32. Shape [E].
        item: internal item id, int32. Shape [E].
        time: seconds since the epoch, int64. Shape [E].
        kind: position in `kinds`, int8. Shape [E].
        value: rating, play count, … ; 1 where the source has none, float32. Shape [E].
        kinds: names of the event kinds, e.g. ("view", "save", "contact").
        n_users: size of the user id space.
        n_items: size of the item id space.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: Times
    kind: NDArray[np.int8]
    value: NDArray[np.float32]
    kinds: tuple[str, ...]
    n_users: int
    n_items: int

    def __repr__(self) -> str:
        kinds = ", ".join(self.kinds)
        return f"<Interactions: {len(self):,} events ({kinds:.60}), {self.n_users:,} users, {self.n_items:,} items>"

    def __post_init__(self) -> None:
        n = len(self.user)
        _check_lengths((self.user, self.item, self.time, self.kind, self.value))
        for name, column, size in (
            ("user", self.user, self.n_users),
            ("item", self.item, self.n_items),
            ("kind", self.kind, len(self.kinds)),
        ):
            if n and (int(column.min()) < 0 or int(column.max()) >= size):
                bad = int(((column < 0) | (column >= size)).argmax())
                raise BadInput(f"Interactions: {name} {column[bad]} of event {bad} is outside 0..{size - 1}")
        if not np.isfinite(self.value).all():
            bad = int((~np.isfinite(self.value)).argmax())
            raise BadInput(f"Interactions: value {self.value[bad]} of event {bad} is not a finite number")
        if n and bool(((np.diff(self.user) < 0) | ((np.diff(self.user) == 0) & (np.diff(self.time) < 0))).any()):
            raise BadInput("Interactions: events must be sorted by user and time; use Interactions.of")

    @classmethod
    def of(
        cls,
        user: Array,
        item: Array,
        time: Array,
        *,
        kind: Array | None = None,
        value: Array | None = None,
        kinds: tuple[str, ...] = ("event",),
        n_users: int,
        n_items: int,
    ) -> Self:
        """Sorts columns in source order; ties in time keep that order.

        Raises:
            BadInput: columns differ in length, an id is out of range, or a number is not whole or not finite.
        """
        kind = np.zeros(len(user), np.int8) if kind is None else np.asarray(kind)
        value = np.ones(len(user), np.float32) if value is None else np.asarray(value)
        columns = {
            "user": _whole("user", user, np.int32),
            "item": _whole("item", item, np.int32),
            "time": _whole("time", time, np.int64),
            "kind": _whole("kind", kind, np.int8),
            "value": value.astype(np.float32),
        }
        _check_lengths(columns.values())
        order = np.lexsort((columns["time"], columns["user"]))
        return cls(
            **{name: column[order] for name, column in columns.items()}, kinds=kinds, n_users=n_users, n_items=n_items
        )

    def __len__(self) -> int:
        return len(self.user)

    @property
    def offsets(self) -> Ids:
        """Events of user u are rows offsets[u]:offsets[u + 1]. Shape [n_users + 1]."""
        return np.searchsorted(self.user, np.arange(self.n_users + 1))

    def by_user(self) -> Ragged:
        """Item ids of every user, oldest first. n_users rows."""
        return Ragged(self.item.astype(np.int64), self.offsets)

    def where(self, mask: Bools | Array) -> "Interactions":
        """The events that a boolean mask, or rising event numbers, choose."""
        columns: dict[str, Any] = {
            name: getattr(self, name)[mask] for name in ("user", "item", "time", "kind", "value")
        }
        return Interactions(**columns, kinds=self.kinds, n_users=self.n_users, n_items=self.n_items)

    def concat(self, other: "Interactions") -> "Interactions":
        """Both, sorted again; at equal times the events of `self` come first."""
        if (self.kinds, self.n_users, self.n_items) != (other.kinds, other.n_users, other.n_items):
            raise BadInput("Interactions.concat: both sides must share kinds and id spaces")
        joined = {
            n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in ("user", "item", "time", "kind", "value")
        }
        return Interactions.of(**joined, kinds=self.kinds, n_users=self.n_users, n_items=self.n_items)

    def pair_keys(self) -> Ids:
        """One number per event: user * n_items + item. Shape [E]."""
        return self.user.astype(np.int64) * self.n_items + self.item

    def has_pairs_of(self, other: "Interactions") -> Bools:
        """Which events of `other` repeat a user-item pair of these events. Shape [len(other)]."""
        known = np.sort(self.pair_keys(), kind="stable")  # nearly sorted: far faster than np.isin, which hashes
        pairs = other.pair_keys()
        if not len(known):
            return np.zeros(len(pairs), bool)
        place = np.minimum(np.searchsorted(known, pairs), len(known) - 1)
        return np.asarray(known[place] == pairs)

    def unique_pairs(self) -> "Interactions":
        """The first event of every user-item pair."""
        first = np.unique(self.pair_keys(), return_index=True)[1]
        return self.where(np.sort(first))

    def item_counts(self) -> Ids:
        """Events per item. Shape [n_items]."""
        return np.bincount(self.item, minlength=self.n_items)

    def save(self, path: Path) -> None:
        """One Parquet file; names and sizes go into its metadata."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)[:5]}
        meta = {"kinds": json.dumps(self.kinds), "n_users": str(self.n_users), "n_items": str(self.n_items)}
        pq.write_table(pa.table(columns).replace_schema_metadata(meta), path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        table = pq.read_table(path)
        meta = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        columns = {name: table[name].to_numpy() for name in ("user", "item", "time", "kind", "value")}
        return cls(
            **columns,
            kinds=tuple(json.loads(meta["kinds"])),
            n_users=int(meta["n_users"]),
            n_items=int(meta["n_items"]),
        )


def _check_lengths(columns: Iterable[Array]) -> None:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise BadInput(
            f"Interactions: user, item, time, kind and value must have one entry per event, got {lengths} entries"
        )


def _whole(name: str, column: Array, dtype: type[np.signedinteger[Any]]) -> Array:
    """The column as whole numbers; a cast that would wrap around or cut off a fraction is refused."""
    column = np.asarray(column)
    with np.errstate(invalid="ignore"):
        cast = column.astype(dtype)
    if (cast != column).any():
        bad = int((cast != column).argmax())
        raise BadInput(f"Interactions: {name} {column[bad]} of event {bad} is not a whole number of {dtype.__name__}")
    return cast
