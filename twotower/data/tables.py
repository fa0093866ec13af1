"""`FeatureTable`: the values of the features of users or items, one column each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.data.categories import MISSING, Categories, MultiCategories
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.table_files import read_table, write_table
from twotower.errors import BadInput
from twotower.types import Array, Bools

__all__ = [
    "MISSING",
    "MISSING_TIME",
    "Categories",
    "Column",
    "ColumnValues",
    "FeatureSchema",
    "FeatureTable",
    "Kind",
    "MultiCategories",
]

MISSING_TIME = np.iinfo(np.int64).min
"""A missing timestamp."""

ColumnValues = Categories | MultiCategories | Array
"""Array: float64 (continuous, place; NaN = missing), object (text, "" = missing), int64 (timestamp, MISSING_TIME) or
float32 [n, V] (vector, missing = all NaN)."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The values of a schema's columns; row i belongs to internal id i.

    Attributes:
        schema: the columns.
        values: column name to its values, each with `n_rows` rows.
        n_rows: number of users or items.
    """

    schema: FeatureSchema
    values: Mapping[str, ColumnValues]
    n_rows: int

    def __repr__(self) -> str:
        names = ", ".join(self.schema.names) or "no columns"
        return f"<FeatureTable: {self.n_rows:,} rows, {names:.120}>"

    def __post_init__(self) -> None:
        if set(self.values) != set(self.schema.names):
            raise BadInput(
                f"FeatureTable: schema names {sorted(self.schema.names)}, values given for {sorted(self.values)}"
            )
        for name, values in self.values.items():
            if len(values) != self.n_rows:
                raise BadInput(f"FeatureTable: column {name!r} has {len(values)} rows, the table {self.n_rows}")
            _check_kind(self.schema[name], values)

    @classmethod
    def empty(cls, n_rows: int) -> Self:
        """A table without columns."""
        return cls(FeatureSchema(()), {}, n_rows)

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, name: str) -> ColumnValues:
        self.schema[name]
        return self.values[name]

    def described(self) -> Bools:
        """Rows of which at least one value is known. Shape [n]."""
        known = np.zeros(self.n_rows, np.bool_)
        for values in self.values.values():
            if isinstance(values, Categories):
                known |= values.codes != MISSING
            elif isinstance(values, MultiCategories):
                known |= values.codes.lengths > 0
            elif values.dtype == object:
                known |= values != ""
            else:
                known |= values != MISSING_TIME if values.dtype.kind == "i" else ~np.isnan(values)
        return known

    def take(self, rows: Array) -> "FeatureTable":
        """The given rows, in the given order."""
        rows = np.asarray(rows)
        taken = {n: v[rows] if isinstance(v, np.ndarray) else v.take(rows) for n, v in self.values.items()}
        return FeatureTable(self.schema, taken, len(rows))

    def replace(self, name: str, values: ColumnValues) -> "FeatureTable":
        """The same table with one column's values exchanged."""
        self.schema[name]
        return FeatureTable(self.schema, {**self.values, name: values}, self.n_rows)

    def describe(self, row: int) -> dict[str, Any]:
        """One row for people: names to plain values, missing ones and vectors left out."""
        shown: dict[str, Any] = {}
        for column in self.schema.columns:
            values = self.values[column.name]
            if isinstance(values, Categories):
                if values.codes[row] != MISSING:
                    shown[column.name] = values.values[values.codes[row]]
            elif isinstance(values, MultiCategories):
                if len(values.codes[row]):
                    shown[column.name] = [values.values[c] for c in values.codes[row]]
            elif column.kind is Kind.TIMESTAMP:
                if values[row] != MISSING_TIME:
                    shown[column.name] = moment_text(int(values[row]))
            elif values.ndim == 1 and not _is_missing(values[row]):
                shown[column.name] = values[row].item() if isinstance(values[row], np.generic) else values[row]
        return shown

    def save(self, path: Path) -> None:
        """One Parquet file; kinds, limits and lists of values go into its metadata."""
        write_table(path, self.schema, self.values, self.n_rows)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            BadInput: the file is some other Parquet file.
        """
        return cls(*read_table(path))


def moment_text(seconds: int) -> str:
    """A moment for people, in UTC: the date, with the time of day unless that is midnight.

    >>> moment_text(1_704_672_000), moment_text(1_704_672_060)
    ('2024-01-08', '2024-01-08T00:01:00Z')
    """
    moment = str(np.datetime64(seconds, "s"))
    return moment.removesuffix("T00:00:00") if moment.endswith("T00:00:00") else f"{moment}Z"


DTYPES = {
    Kind.CONTINUOUS: ("f", "float64"),
    Kind.PLACE: ("f", "float64"),
    Kind.VECTOR: ("f", "float32 [n, V]"),
    Kind.TIMESTAMP: ("i", "int64"),
    Kind.TEXT: ("O", "object"),
}


def _check_kind(column: Column, values: ColumnValues) -> None:
    """Refuses values whose form does not belong to the column's kind, and infinite numbers."""
    if column.kind is Kind.CATEGORICAL:
        fits, expected = isinstance(values, Categories), "Categories"
    elif column.kind is Kind.MULTI_CATEGORICAL:
        fits, expected = isinstance(values, MultiCategories), "MultiCategories"
    else:
        letter, expected = DTYPES[column.kind]
        shaped = values.ndim == (2 if column.kind is Kind.VECTOR else 1) if isinstance(values, np.ndarray) else False
        fits = shaped and isinstance(values, np.ndarray) and values.dtype.kind == letter
    if not fits:
        actual = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise BadInput(f"FeatureTable: column {column.name!r} is {column.kind}, give {expected}, got {actual}")
    if isinstance(values, np.ndarray) and values.dtype.kind == "f" and np.isinf(values).any():
        row = int(np.argwhere(np.isinf(values))[0, 0])
        raise BadInput(f"FeatureTable: column {column.name!r} of row {row} is infinite; use NaN for a missing value")


def _is_missing(value: Any) -> bool:
    return bool(value != value or value == "" or value == MISSING_TIME)
