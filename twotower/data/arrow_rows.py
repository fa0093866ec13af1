"""Rows of any Parquet file as a `FeatureTable`: the columns that a schema names, in whatever Arrow type they come."""

from typing import Any

import numpy as np
import pyarrow as pa

from twotower.data.categories import MISSING, Categories, MultiCategories, as_text
from twotower.data.reading.cell_lists import is_list, split_cells
from twotower.data.reading.raw_times import parse_times
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.table_files import weights_name
from twotower.data.tables import ColumnValues, FeatureTable
from twotower.data.vectors import read_vectors
from twotower.errors import BadInput
from twotower.types import Array, Ragged


def table_of_rows(rows: pa.Table, schema: FeatureSchema, separator: str = "|") -> FeatureTable:
    """The schema's columns out of rows of a Parquet file; columns beyond the schema are ignored.

    Args:
        rows: n rows. A file that `FeatureTable.save` wrote comes back as it was, up to unused category values.
        schema: names and kinds of the wanted columns. Numbers outside a column's limits become missing.
        separator: between the values of a multi-categorical cell that holds text and no list.

    Raises:
        BadInput: a column is absent, or a value cannot be one of its kind.
    """
    values: dict[str, ColumnValues] = {}
    for column in schema.columns:
        if column.name not in rows.column_names:
            raise BadInput(f"no column {column.name!r} among {', '.join(rows.column_names)}; the towers learnt from it")
        try:
            values[column.name] = _values(rows, column, separator, schema.names)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise BadInput(f"column {column.name!r} cannot be read as {column.kind}: {error}") from error
    return FeatureTable(schema, values, len(rows))


def _values(rows: pa.Table, column: Column, separator: str, names: tuple[str, ...]) -> ColumnValues:
    cells = rows[column.name]
    match column.kind:
        case Kind.CATEGORICAL:
            return Categories(*_coded(cells))
        case Kind.MULTI_CATEGORICAL:
            return _sets(rows, column.name, separator, weights_name(column.name, names))
        case Kind.CONTINUOUS | Kind.PLACE:
            return _numbers(cells, column)
        case Kind.TIMESTAMP:
            return parse_times(cells, "s")[0]
        case Kind.TEXT:
            return _texts(cells)
        case Kind.VECTOR:
            return _vectors(cells)


def _coded(cells: pa.ChunkedArray | pa.Array) -> tuple[Array, Array]:
    """Codes [n], `MISSING` for none, and the distinct texts; each distinct value is looked at once."""
    chunk = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.unify_dictionaries().combine_chunks()
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    distinct = Categories.of([as_text(value) for value in encoded.dictionary.to_pylist()])
    indices = encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.append(distinct.codes, MISSING).astype(np.int32)[indices], distinct.values


def _sets(rows: pa.Table, name: str, separator: str, weighed: str) -> MultiCategories:
    cells = rows[name].combine_chunks()
    if isinstance(cells, pa.ChunkedArray):
        cells = pa.concat_arrays(cells.chunks)
    if not is_list(cells.type):
        lists, odd = split_cells(_texts(rows[name]), separator)
        if odd.any():
            raise BadInput(f"row {int(odd.argmax()) + 1} is no flat list of values")
        return MultiCategories.of(lists)
    if not (pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type)):
        cells = cells.cast(pa.large_list(cells.type.value_type))  # lists of one fixed length
    lengths = cells.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    codes, names = _coded(cells.flatten())
    weights = np.ones(len(codes), np.float32)
    if weighed in rows.column_names:
        weights = rows[weighed].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if len(weights) != len(codes):
        raise BadInput(f"column {weighed!r} has {len(weights)} weights for {len(codes)} values")
    known = codes != MISSING
    row = np.repeat(np.arange(len(rows)), lengths)[known]
    return MultiCategories(
        Ragged.from_lengths(codes[known], np.bincount(row, minlength=len(rows))), weights[known], names
    )


def _numbers(cells: pa.ChunkedArray, column: Column) -> Array:
    numbers: Any = cells.cast(pa.float64()).to_numpy()
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    with np.errstate(invalid="ignore"):
        return np.where((numbers < low) | (numbers > high) | np.isinf(numbers), np.nan, numbers)


def _vectors(cells: pa.ChunkedArray) -> Array:
    vectors, bad = read_vectors(cells)
    if bad.any():
        row = int(bad.argmax())
        raise BadInput(f"row {row} has no {vectors.shape[1]} finite numbers, as most rows have")
    return vectors


def _texts(cells: pa.ChunkedArray) -> Array:
    return np.asarray(cells.cast(pa.string()).fill_null("").to_pylist(), dtype=object)
