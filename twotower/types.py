"""Values that cross module borders: id arrays, `Ragged`, `Queries`, `TopK`, and the letters that name shapes.

Shape letters used everywhere: B queries, K results, C candidates, N items, D dimensions, H history length,
E interactions (events), F features, P pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from twotower.errors import BadInput

Ids = NDArray[np.int64]
"""Internal ids: row numbers 0..n-1, or `NO_ITEM` / `UNKNOWN_USER`."""
Floats = NDArray[np.float32]
Float64s = NDArray[np.float64]
Times = NDArray[np.int64]
"""Seconds since the epoch, UTC."""
Bools = NDArray[np.bool_]
Array = NDArray[Any]

NO_ITEM = -1
"""Pads a `TopK` row that has fewer than K results."""
UNKNOWN_USER = -1
"""The internal id of a user who is not in the data set."""


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Rows of different lengths in two flat arrays: row b is `values[offsets[b]:offsets[b + 1]]`.

    Attributes:
        values: all rows one after the other, any dtype. Shape [sum of lengths].
        offsets: int64, starts at 0, never decreases, ends at len(values). Shape [B + 1].
    """

    values: Array
    offsets: Ids

    def __repr__(self) -> str:
        return f"<Ragged: {len(self):,} rows, {len(self.values):,} values>"

    def __post_init__(self) -> None:
        o = self.offsets
        if o.ndim != 1 or len(o) == 0 or o[0] != 0 or o[-1] != len(self.values) or bool((np.diff(o) < 0).any()):
            raise BadInput(
                f"Ragged: offsets must rise from 0 to len(values) = {len(self.values)}, got {o[:3]} … {o[-1:]}"
            )

    @classmethod
    def from_lists(cls, rows: Iterable[Sequence[int] | Array], dtype: Any = np.int64) -> Self:
        """Packs any sequence of sequences."""
        arrays = [np.asarray(row, dtype=dtype) for row in rows]
        lengths = np.fromiter((len(a) for a in arrays), dtype=np.int64, count=len(arrays))
        return cls.from_lengths(np.concatenate(arrays) if arrays else np.empty(0, dtype), lengths)

    @classmethod
    def from_lengths(cls, values: Array, lengths: Array) -> Self:
        """Cuts `values` into consecutive rows of the given lengths."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    @classmethod
    def empty(cls, n_rows: int, dtype: Any = np.int64) -> Self:
        """`n_rows` rows without values."""
        return cls(np.empty(0, dtype), np.zeros(n_rows + 1, np.int64))

    @property
    def lengths(self) -> Ids:
        """Length of every row. Shape [B]."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Array:
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[Array]:
        return (self[row] for row in range(len(self)))

    def row_ids(self) -> Ids:
        """The row number of every value. Shape [len(values)]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: Array) -> "Ragged":
        """The given rows, in the given order (repeats allowed)."""
        positions, lengths = self.positions(rows)
        return Ragged.from_lengths(self.values[positions], lengths)

    def positions(self, rows: Array) -> tuple[Ids, Ids]:
        """Where in `values` the given rows lie, one after the other, and their lengths; costs what the rows hold."""
        starts = self.offsets[:-1][rows]
        lengths = self.offsets[1:][rows] - starts
        return runs(starts, lengths), lengths

    def known(self) -> "Ragged":
        """Every row without `NO_ITEM`, which stands for an item that nobody knows."""
        kept = self.values != NO_ITEM
        if kept.all():
            return self
        return Ragged.from_lengths(self.values[kept], np.bincount(self.row_ids()[kept], minlength=len(self)))

    def first_occurrences(self) -> "Ragged":
        """Every row without its repeated values, each at its first place."""
        if not len(self.values):
            return self
        row = self.row_ids()
        keys = row * (int(self.values.max()) + 1) + self.values
        kept = np.sort(np.unique(keys, return_index=True)[1])
        return Ragged.from_lengths(self.values[kept], np.bincount(row[kept], minlength=len(self)))

    def joined(self, other: "Ragged") -> "Ragged":
        """Row by row, these values followed by those of another of as many rows."""
        rows = np.concatenate([self.row_ids(), other.row_ids()])
        values = np.concatenate([self.values, other.values])
        return Ragged.from_lengths(values[np.argsort(rows, kind="stable")], self.lengths + other.lengths)

    def last(self, n: int) -> "Ragged":
        """Every row cut to its last `n` values."""
        lengths = np.minimum(self.lengths, n)
        return Ragged.from_lengths(self.values[runs(self.offsets[1:] - lengths, lengths)], lengths)

    def padded(self, width: int, fill: Any = NO_ITEM) -> Array:
        """Dense [B, width]: the last `width` values of every row, left-aligned, the rest `fill`."""
        rows = self.last(width)
        dense = np.full((len(self), width), fill, self.values.dtype)
        dense[np.arange(width) < rows.lengths[:, None]] = rows.values
        return dense


def runs(starts: Ids, lengths: Ids) -> Ids:
    """Runs of consecutive numbers, one after the other: run i is starts[i] .. starts[i] + lengths[i] - 1.

    >>> runs(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))


def distinct(keys: Ids) -> Ids:
    """The different numbers, rising: `np.unique` by sorting. NumPy hashes first, which takes five times as long.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    ordered = np.sort(keys)
    kept: Ids = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Users to serve. An unknown user who brings a history is an ordinary query.

    Attributes:
        users: internal user ids, `UNKNOWN_USER` where unknown. Shape [B].
        histories: internal item ids, oldest first (repeats allowed). B rows.
        exclusions: internal item ids that must not be returned. B rows.
        allowed: items that may be returned at all, the same for every query; None: all. Shape [N].
        times: when the events of the histories happened, seconds since the epoch; None: nobody knows. B rows, as long
            as the histories.
    """

    users: Ids
    histories: Ragged
    exclusions: Ragged
    allowed: Bools | None = None
    times: Ragged | None = None

    def __repr__(self) -> str:
        known = int((self.users >= 0).sum())
        return f"<Queries: {len(self):,} users ({known:,} known), {len(self.histories.values):,} events of history>"

    def __post_init__(self) -> None:
        if not len(self.users) == len(self.histories) == len(self.exclusions):
            raise BadInput(
                f"Queries: {len(self.users)} users, {len(self.histories)} histories, "
                f"{len(self.exclusions)} exclusions; give one of each per query"
            )
        if self.times is not None and not np.array_equal(self.times.offsets, self.histories.offsets):
            raise BadInput("Queries: times must have one entry for each event of the histories")

    @classmethod
    def of(cls, users: Array, histories: Ragged | None = None, *, exclude_history: bool = True) -> Self:
        """Queries whose exclusions are their histories (or nothing)."""
        users = np.asarray(users, np.int64)
        histories = Ragged.empty(len(users)) if histories is None else histories
        return cls(users, histories, histories if exclude_history else Ragged.empty(len(users)))

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Array) -> "Queries":
        """The given queries, in the given order."""
        times = None if self.times is None else self.times.take(rows)
        return Queries(self.users[rows], self.histories.take(rows), self.exclusions.take(rows), self.allowed, times)

    def blocks(self, size: int) -> Iterator["Queries"]:
        """Consecutive blocks of at most `size` queries."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """Ranked lists, best first, ties by internal id, padded with `NO_ITEM` and `-inf`.

    Attributes:
        items: internal item ids, int64. Shape [B, K].
        scores: higher is better, float32. Shape [B, K].
    """

    items: Ids
    scores: Floats

    def __repr__(self) -> str:
        n_lists, k = self.items.shape
        return f"<TopK: {n_lists:,} lists of {k:,}>"

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise BadInput(f"TopK: items {self.items.shape} and scores {self.scores.shape} must both be [B, K]")
        if np.isnan(self.scores).any():
            raise BadInput("TopK: a score is NaN; check the model's input and weights")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def k(self) -> int:
        """Columns, padding included."""
        return int(self.items.shape[1])

    def head(self, k: int) -> "TopK":
        """The first `k` columns."""
        return TopK(self.items[:, :k], self.scores[:, :k])

    def padded(self, k: int) -> "TopK":
        """Exactly `k` columns: cut, or filled up."""
        if self.k >= k:
            return self.head(k)
        missing = ((0, 0), (0, k - self.k))
        items = np.pad(self.items, missing, constant_values=NO_ITEM)
        return TopK(items, np.pad(self.scores, missing, constant_values=-np.inf))

    def without(self, drop: Bools) -> "TopK":
        """The same columns with padding where `drop` is true. Shape [B, K]."""
        return TopK(np.where(drop, NO_ITEM, self.items), np.where(drop, np.float32(-np.inf), self.scores))

    @classmethod
    def nothing(cls, n_queries: int, k: int) -> "TopK":
        """Padding only."""
        return cls(np.full((n_queries, k), NO_ITEM), np.full((n_queries, k), -np.inf, np.float32))

    @classmethod
    def concatenate(cls, blocks: Sequence["TopK"]) -> "TopK":
        """Blocks of queries, one after the other."""
        return cls(np.concatenate([b.items for b in blocks]), np.concatenate([b.scores for b in blocks]))
