"""`Categories` and `MultiCategories`: columns whose rows hold one, or any number of, values from a finite set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from twotower.errors import BadInput
from twotower.types import Array, Ragged

MISSING = -1
"""Code of a missing categorical value."""


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """One value per row from a finite set, integer coded. 4 bytes a row.

    Attributes:
        codes: int32, position in `values`, `MISSING` where absent. Shape [n].
        values: distinct values as text. dtype object. Shape [n_values].
    """

    codes: Array
    values: Array

    def __post_init__(self) -> None:
        _check_codes("Categories", self.codes, MISSING, len(self.values))

    @classmethod
    def of(cls, raw: Sequence[Any] | Array) -> Self:
        """Codes raw values; None, NaN and "" are missing; the values are sorted."""
        encoded = pa.array([as_text(v) for v in raw], pa.string()).dictionary_encode()
        names = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
        order = np.argsort(names) if len(names) else np.empty(0, np.int64)
        rank = np.empty(len(names), np.int32)
        rank[order] = np.arange(len(names))
        raw_codes = encoded.indices.fill_null(MISSING).to_numpy(zero_copy_only=False)
        codes = np.where(raw_codes < 0, MISSING, rank[raw_codes] if len(names) else MISSING)
        return cls(codes.astype(np.int32), names[order])

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array) -> "Categories":
        """The given rows."""
        return Categories(self.codes[rows], self.values)


@dataclass(frozen=True, slots=True, eq=False)
class MultiCategories:
    """Any number of weighted values per row from a finite set.

    Attributes:
        codes: rows of positions in `values`. n rows.
        weights: float32, aligned with codes.values; 1 where the source has none. Shape [len(codes.values)].
        values: distinct values as text. dtype object. Shape [n_values].
    """

    codes: Ragged
    weights: Array
    values: Array

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.codes.values):
            raise BadInput(f"MultiCategories: {len(self.codes.values)} codes but {len(self.weights)} weights")
        _check_codes("MultiCategories", self.codes.values, 0, len(self.values))
        if not np.isfinite(self.weights).all():
            row = int(self.codes.row_ids()[int((~np.isfinite(self.weights)).argmax())])
            raise BadInput(f"MultiCategories: a weight of row {row} is not a finite number")

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], weights: Sequence[Sequence[float]] | None = None) -> Self:
        """Codes lists of raw values (missing ones are left out when no weights are given)."""
        if weights is None:
            rows = [[v for v in row if as_text(v) is not None] for row in rows]
        coded = Categories.of([v for row in rows for v in row])
        if (coded.codes == MISSING).any():
            raise BadInput("MultiCategories: a weighted value is missing; drop it together with its weight")
        lengths = np.asarray([len(row) for row in rows], np.int64)
        flat = np.ones(len(coded), np.float32) if weights is None else _flat_weights(weights, lengths)
        return cls(Ragged.from_lengths(coded.codes, lengths), flat, coded.values)

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array) -> "MultiCategories":
        """The given rows."""
        weights = Ragged(self.weights, self.codes.offsets).take(rows).values
        return MultiCategories(self.codes.take(rows), weights, self.values)


def as_text(value: Any) -> str | None:
    """A raw value as category text: whole floats lose ".0"; None for None, NaN, NaT, NA and ""."""
    if value is None or value is pd.NA or value != value or value == "":
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _check_codes(what: str, codes: Array, lowest: int, n_values: int) -> None:
    if len(codes) and (int(codes.min()) < lowest or int(codes.max()) >= n_values):
        bad = int(((codes < lowest) | (codes >= n_values)).argmax())
        raise BadInput(f"{what}: code {codes[bad]} at position {bad} is outside {lowest}..{n_values - 1}")


def _flat_weights(weights: Sequence[Sequence[float]], lengths: Array) -> Array:
    flat = Ragged.from_lists([np.asarray(row, np.float32) for row in weights], np.float32)
    if not np.array_equal(flat.lengths, lengths):
        raise BadInput("MultiCategories: give one weight per value, row by row")
    return flat.values
