"""Feature columns of your own tables: kind and options as the YAML gives them, checked and typed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.data.reading.cell_lists import split_cells
from twotower.data.reading.raw_table import RawTable
from twotower.data.reading.raw_times import TimeUnit
from twotower.data.tables import Categories, Column, ColumnValues, Kind, MultiCategories
from twotower.errors import BadConfig, BadInput, MissingData
from twotower.types import Array, Bools

_NULLS = ("NULL", "\\N")
AS_TEXT = (Kind.CATEGORICAL, Kind.MULTI_CATEGORICAL, Kind.TEXT)
"""Kinds whose values are read as text, so that the postcode "01067" stays as it is."""


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One feature column.

    Attributes:
        kind: what it holds.
        low: (continuous, place) smaller values count as missing.
        high: (continuous, place) larger values count as missing.
        separator: (multi_categorical) between the values in one cell, where the file has no lists; cells that hold JSON
            or Python lists are read as such.
        weights: (multi_categorical) column that holds one number per value, separated likewise.
        file: (vector) a .npy file of as many rows as the table, relative to `root`; None: the table holds lists.
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    separator: str = "|"
    weights: str | None = None
    file: str | None = None

    @classmethod
    def of(cls, name: str, spec: Any) -> Self:
        """From `continuous`, or from `{kind: continuous, low: 0}`."""
        options = dict(spec) if isinstance(spec, Mapping) else {"kind": spec}
        for limit in ("low", "high"):
            options[limit] = _limit(name, limit, options.get(limit))
        options = {key: value for key, value in options.items() if value is not None}
        accepted = [f.name for f in fields(cls)]
        if "kind" not in options or not set(options) <= set(accepted):
            raise BadConfig(f"column {name}: {sorted(options)}: write kind, and if needed {', '.join(accepted[1:])}")
        if options["kind"] not in list(Kind):
            raise BadConfig(f"column {name}: kind {options['kind']!r}: choose one of {', '.join(Kind)}")
        return cls(**options | {"kind": Kind(options["kind"])})


def column_of(name: str, spec: ColumnSpec) -> Column:
    """The column's place in the schema."""
    return Column(name, spec.kind, spec.low, spec.high)


def check_column(table: RawTable, name: str, spec: ColumnSpec, time_unit: TimeUnit, decimal: str | None = None) -> None:
    """Refuses rows whose value is not of the column's kind; missing values are fine."""
    if spec.file is not None:
        return
    table.refuse_nested(name, lists=spec.kind in (Kind.MULTI_CATEGORICAL, Kind.VECTOR))
    if spec.kind in (Kind.CONTINUOUS, Kind.PLACE):
        table.check_numbers(name, required=False, decimal=decimal)
    elif spec.kind is Kind.TIMESTAMP:
        table.check_times(name, time_unit, required=False)
    elif spec.kind is Kind.VECTOR:
        table.check_vectors(name)
    elif spec.kind is Kind.MULTI_CATEGORICAL:
        for listed in filter(None, (name, spec.weights)):
            table.refuse_nested(listed, lists=True)
            if not table.is_list(listed):
                odd = split_cells(_text(table, listed), spec.separator)[1]
                table.refuse(odd, listed, "is no flat list of values", f'write ["a", "b"] or a{spec.separator}b')
    if spec.kind is Kind.MULTI_CATEGORICAL and spec.weights is not None:
        table.refuse(_uneven(table, name, spec), spec.weights, "gives no number for each value", "give one per value")


def column_values(table: RawTable, name: str, spec: ColumnSpec, root: Path) -> ColumnValues:
    """The values of a checked column; files are relative to `root`. n rows."""
    match spec.kind:
        case Kind.CONTINUOUS | Kind.PLACE:
            return table.numbers(name)
        case Kind.TIMESTAMP:
            return table.times(name)
        case Kind.TEXT:
            return _text(table, name)
        case Kind.CATEGORICAL:
            return Categories.of(_text(table, name))
        case Kind.MULTI_CATEGORICAL:
            return _multi(table, name, spec)
        case Kind.VECTOR:
            return table.vectors(name) if spec.file is None else _rows_of(root / spec.file, table)


def _multi(table: RawTable, name: str, spec: ColumnSpec) -> MultiCategories:
    if spec.weights is not None:
        weights = [[float(str(w)) for w in row] for row in _cells(table, spec.weights, spec.separator)]
        return MultiCategories.of(_cells(table, name, spec.separator), weights)
    return MultiCategories.of(_cells(table, name, spec.separator))


def _rows_of(path: Path, table: RawTable) -> Array:
    """The table's rows of a .npy file that has one for each row of the table's file. Shape [n, V]."""
    if not path.is_file():
        raise MissingData(f"{path} is not there; it should hold a row of numbers for each row of {table.path}")
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise BadInput(f"{path} is no .npy file of numbers ({error}); write it with numpy.save") from None
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(vectors) < table.rows.max():
        raise BadInput(
            f"{path} holds {vectors.dtype} {vectors.shape}; give floats [rows of {table.path.name}, numbers a row]"
        )
    return np.asarray(vectors[table.rows - 1], np.float32)


def _uneven(table: RawTable, name: str, spec: ColumnSpec) -> Bools:
    """Rows whose weights are not one finite number per value. Shape [n]."""
    values, weights = _cells(table, name, spec.separator), _cells(table, spec.weights or "", spec.separator)
    fits = [len(v) == len(w) and all(map(_is_number, w)) for v, w in zip(values, weights, strict=True)]
    return ~np.asarray(fits, np.bool_)


def _cells(table: RawTable, name: str, separator: str) -> list[list[object]]:
    """Each row's values as a list."""
    if table.is_list(name):
        return table.lists(name)
    return [list(row) for row in split_cells(_text(table, name), separator)[0]]


def _text(table: RawTable, name: str) -> Array:
    """A column as text, "" where it is missing; what databases write for NULL is missing in every kind of column."""
    values = table.text(name)
    return np.where(np.isin(values.astype(str), _NULLS), "", values).astype(object)


def _limit(name: str, limit: str, value: Any) -> float | None:
    """A limit as a number, however the YAML writes it."""
    try:
        return None if value is None or value == "" or value == "null" else float(value)
    except (TypeError, ValueError) as error:
        raise BadConfig(f"column {name}: {limit}={value!r} is not a number") from error


def _is_number(value: object) -> bool:
    try:
        return bool(np.isfinite(float(str(value))))
    except ValueError:
        return False
