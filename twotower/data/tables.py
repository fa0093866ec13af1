"""`FeatureSchema` and `FeatureTable`: names, kinds and values of the features of users or items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twotower.errors import BadInput
from twotower.types import Array, Ragged

MISSING = -1
"""Code of a missing categorical value."""
MISSING_TIME = np.iinfo(np.int64).min
"""A missing timestamp."""


class Kind(StrEnum):
    """What a column holds."""

    CATEGORICAL = "categorical"
    MULTI_CATEGORICAL = "multi_categorical"
    CONTINUOUS = "continuous"
    TEXT = "text"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Column:
    """Name and kind of one feature; `low`/`high` are outlier limits of a continuous one (outside: missing)."""

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The columns of a table, in order."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) < len(names):
            raise BadInput(f"FeatureSchema: a column name stands twice in {names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(c.name for c in self.columns)

    def of_kind(self, *kinds: Kind) -> tuple[Column, ...]:
        """The columns of the given kinds, in order."""
        return tuple(c for c in self.columns if c.kind in kinds)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise BadInput(f"no column {name!r}; there are {', '.join(self.names) or 'none'}")


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """One value per row from a finite set, integer coded. 4 bytes a row.

    Attributes:
        codes: int32, position in `values`, `MISSING` where absent. Shape [n].
        values: distinct values as text. dtype object. Shape [n_values].
    """

    codes: Array
    values: Array

    @classmethod
    def of(cls, raw: Sequence[Any] | Array) -> Self:
        """Codes raw values; None, NaN and "" are missing; the values are sorted."""
        encoded = pa.array([_as_text(v) for v in raw], pa.string()).dictionary_encode()
        names = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
        order = np.argsort(names) if len(names) else np.empty(0, np.int64)
        rank = np.empty(len(names), np.int32)
        rank[order] = np.arange(len(names))
        raw_codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
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

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]], weights: Sequence[Sequence[float]] | None = None) -> Self:
        """Codes lists of raw values (missing ones are left out when no weights are given)."""
        if weights is None:
            rows = [[v for v in row if _as_text(v) is not None] for row in rows]
        coded = Categories.of([v for row in rows for v in row])
        if (coded.codes == MISSING).any():
            raise BadInput("MultiCategories: a weighted value is missing; drop it together with its weight")
        flat = (
            np.concatenate([np.asarray(w, np.float32) for w in weights]) if weights else np.ones(len(coded), np.float32)
        )
        lengths = np.asarray([len(row) for row in rows], np.int64)
        return cls(Ragged.from_lengths(coded.codes, lengths), flat.astype(np.float32), coded.values)

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array) -> "MultiCategories":
        """The given rows."""
        weights = Ragged(self.weights, self.codes.offsets).take(rows).values
        return MultiCategories(self.codes.take(rows), weights, self.values)


Values = Categories | MultiCategories | Array
"""Array: float64 (continuous, NaN = missing), object (text, "" = missing) or int64 (timestamp, MISSING_TIME)."""


def _as_text(value: Any) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The values of a schema's columns; row i belongs to internal id i.

    Attributes:
        schema: the columns.
        values: column name to its values, each with `n_rows` rows.
        n_rows: number of users or items.
    """

    schema: FeatureSchema
    values: Mapping[str, Values]
    n_rows: int

    def __post_init__(self) -> None:
        if set(self.values) != set(self.schema.names):
            raise BadInput(
                f"FeatureTable: schema names {sorted(self.schema.names)}, values given for {sorted(self.values)}"
            )
        for name, values in self.values.items():
            if len(values) != self.n_rows:
                raise BadInput(f"FeatureTable: column {name!r} has {len(values)} rows, the table {self.n_rows}")

    @classmethod
    def empty(cls, n_rows: int) -> Self:
        """A table without columns."""
        return cls(FeatureSchema(()), {}, n_rows)

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, name: str) -> Values:
        self.schema[name]
        return self.values[name]

    def take(self, rows: Array) -> "FeatureTable":
        """The given rows, in the given order."""
        rows = np.asarray(rows)
        taken = {n: v[rows] if isinstance(v, np.ndarray) else v.take(rows) for n, v in self.values.items()}
        return FeatureTable(self.schema, taken, len(rows))

    def replace(self, name: str, values: Values) -> "FeatureTable":
        """The same table with one column's values exchanged."""
        self.schema[name]
        return FeatureTable(self.schema, {**self.values, name: values}, self.n_rows)

    def describe(self, row: int) -> dict[str, Any]:
        """One row for people: names to plain values, missing ones left out."""
        shown: dict[str, Any] = {}
        for column in self.schema.columns:
            values = self.values[column.name]
            if isinstance(values, Categories):
                if values.codes[row] != MISSING:
                    shown[column.name] = values.values[values.codes[row]]
            elif isinstance(values, MultiCategories):
                if len(values.codes[row]):
                    shown[column.name] = [values.values[c] for c in values.codes[row]]
            elif not _is_missing(values[row]):
                shown[column.name] = values[row].item() if isinstance(values[row], np.generic) else values[row]
        return shown

    def save(self, path: Path) -> None:
        """One Parquet file; kinds and limits go into its metadata."""
        arrays: dict[str, pa.Array] = {}
        for column in self.schema.columns:
            arrays.update(_to_arrow(column.name, self.values[column.name]))
        table = pa.table(arrays) if arrays else pa.table({"row": np.arange(self.n_rows)})
        pq.write_table(table.replace_schema_metadata({"columns": _schema_text(self.schema)}), path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        table = pq.read_table(path)
        schema = _schema_of((table.schema.metadata or {})[b"columns"].decode())
        return cls(schema, {c.name: _from_arrow(c, table) for c in schema.columns}, table.num_rows)


def _is_missing(value: Any) -> bool:
    return bool(value == "" or value == MISSING_TIME or (isinstance(value, float) and np.isnan(value)))


def _to_arrow(name: str, values: Values) -> dict[str, pa.Array]:
    if isinstance(values, Categories):
        codes = pa.array(values.codes, mask=values.codes == MISSING)
        return {name: pa.DictionaryArray.from_arrays(codes, pa.array(values.values, pa.string()))}
    if isinstance(values, MultiCategories):
        text = pa.array(values.values, pa.string())
        codes = pa.DictionaryArray.from_arrays(pa.array(values.codes.values.astype(np.int32)), text)
        return {
            name: pa.LargeListArray.from_arrays(values.codes.offsets, codes),
            f"{name}/weights": pa.LargeListArray.from_arrays(values.codes.offsets, pa.array(values.weights)),
        }
    return {name: pa.array(values, pa.string()) if values.dtype == object else pa.array(values)}


def _from_arrow(column: Column, table: pa.Table) -> Values:
    chunk = table[column.name].combine_chunks()
    if column.kind is Kind.CATEGORICAL:
        codes = chunk.indices.fill_null(MISSING).to_numpy(zero_copy_only=False).astype(np.int32)
        return Categories(codes, np.asarray(chunk.dictionary.to_pylist(), dtype=object))
    if column.kind is Kind.MULTI_CATEGORICAL:
        weights = table[f"{column.name}/weights"].combine_chunks().flatten().to_numpy()
        flat = chunk.flatten()
        offsets = chunk.offsets.to_numpy().astype(np.int64)
        codes = Ragged(flat.indices.to_numpy(zero_copy_only=False).astype(np.int32), offsets - offsets[0])
        return MultiCategories(codes, weights, np.asarray(flat.dictionary.to_pylist(), dtype=object))
    if column.kind is Kind.TEXT:
        return np.asarray(chunk.to_pylist(), dtype=object)
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


def _schema_text(schema: FeatureSchema) -> str:
    def limit(x: float | None) -> str:
        return "" if x is None else repr(float(x))

    return "\n".join("\t".join((c.name, c.kind.value, limit(c.low), limit(c.high))) for c in schema.columns)


def _schema_of(text: str) -> FeatureSchema:
    rows = [line.split("\t") for line in text.split("\n") if line]
    limits = [(float(low) if low else None, float(high) if high else None) for _, _, low, high in rows]
    return FeatureSchema(tuple(Column(r[0], Kind(r[1]), *lim) for r, lim in zip(rows, limits, strict=True)))
