"""`RawTable`: the rows of one file under check; each check types one column and refuses the rows where it cannot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.raw_times import TimeUnit, parse_times, wrong_unit
from twotower.data.tables import MISSING_TIME
from twotower.data.vectors import read_vectors
from twotower.errors import BadInput
from twotower.types import Array, Bools, Ids

MISSING_WORDS = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None", "\\N")
"""Texts that exports write where they have no value; never an id, and missing in a column of numbers."""

YEAR_2100 = 4_102_444_800


class RawTable:
    """Rows of one file, in file order; checks change it in place.

    Attributes:
        path: the file, for messages.
        rows: number of each row in the file, 1 for the first after the header, blank lines not counted. Shape [n].
    """

    def __init__(self, path: Path, table: pa.Table, rows: Ids, bad: BadRows) -> None:
        self.path = path
        self.rows = rows
        self._table = table
        self._bad = bad
        self._n_rows = len(rows)
        if not len(rows):
            raise BadInput(f"{path}: no rows; give a file with at least one row after the header")

    def __len__(self) -> int:
        return len(self.rows)

    def check_ids(self, column: str) -> None:
        """Types an id column: any text or whole number; missing ids are refused."""
        text = _as_text(self._table[column])
        codes = text if pa.types.is_dictionary(text.type) else pc.dictionary_encode(text)
        self._set(column, codes.unify_dictionaries().combine_chunks())
        indices, names = self.ids(column)
        nameless = np.isin(names.astype(str), MISSING_WORDS)
        self.refuse(
            (indices < 0) | np.append(nameless, True)[indices], column, "is a missing id", "give every row an id"
        )

    def check_numbers(
        self, column: str, low: float | None = None, high: float | None = None, *, required: bool = True
    ) -> None:
        """Types a numeric column as float64.

        Args:
            column: its name.
            low: smallest sensible value.
            high: largest sensible value.
            required: refuse missing values (otherwise they are NaN).
        """
        values, parsed = _parse_numbers(self._table[column])
        bad = ~parsed | np.isinf(values) | (required & np.isnan(values))
        self.refuse(bad, column, "is not a finite number", "correct the value", typed=pa.array(values))
        values = self.numbers(column)
        bottom, top = -np.inf if low is None else low, np.inf if high is None else high
        self.refuse((values < bottom) | (values > top), column, f"is outside {bottom:g}..{top:g}", "correct the value")

    def check_times(self, column: str, unit: TimeUnit = "s", *, required: bool = True) -> None:
        """Types a time column as int64 seconds since the epoch, UTC.

        Args:
            column: its name; whole numbers in `unit`, ISO 8601 texts, or timestamps and dates of the file format.
            unit: what one step of a number means.
            required: refuse missing times (otherwise they are `MISSING_TIME`).

        Raises:
            BadInput: the numbers are in another unit, whatever the policy; or a value is no time.
        """
        times, missing = parse_times(self._table[column], unit)
        remedy = wrong_unit(times, unit, self._table[column])
        if remedy:
            first = self._table[column][0].as_py()
            raise BadInput(f"{self.path}: row {self.rows[0]}: {column} = {first!r}: {remedy}")
        known = times != MISSING_TIME
        bad = np.where(known, (times < 0) | (times > YEAR_2100), required | ~missing)
        remedy = "write seconds or ISO 8601, 2024-01-31T18:30:00Z"
        self.refuse(bad, column, "is not a time in 1970..2100", remedy, typed=pa.array(times))

    def check_vectors(self, column: str) -> None:
        """Refuses rows whose list of numbers is not as long as most; missing lists are fine.

        Raises:
            BadInput: the column holds no lists of numbers.
        """
        try:
            vectors, bad = read_vectors(self._table[column])
        except BadInput as error:
            raise BadInput(f"{self.path}: column {column} {error}") from None
        width = vectors.shape[1]
        self.refuse(bad, column, f"is no list of {width} finite numbers", f"give each row {width} numbers or none")

    def check_unique(self, column: str) -> None:
        """Refuses every row of a checked id column whose id stood in an earlier row."""
        again = pd.Series(self.ids(column)[0]).duplicated().to_numpy()
        self.refuse(again, column, "stands twice", "keep one row per id")

    def refuse(self, mask: Bools, column: str, reason: str, remedy: str, *, typed: pa.Array | None = None) -> None:
        """Refuses the rows of a mask [n]; with `typed`, the column is exchanged for the rows that stay."""
        bad = np.flatnonzero(mask)
        content = self._table.take(pa.array(bad))
        shown = _as_text(content[column]).to_pylist()
        reasons = [f"{column} {'is missing' if v is None else f'{v!r} {reason}'}" for v in shown]
        self._bad.add(self.path, self.rows[bad], reasons, remedy, content, self._n_rows)
        if typed is not None:
            self._set(column, typed)
        if len(bad):
            self._table, self.rows = self._table.filter(pa.array(~mask)), self.rows[~mask]
        if not len(self.rows):
            raise BadInput(f"{self.path}: no rows are left after the bad ones were dropped; {remedy}")

    def refuse_where(self, column: str, wrong: Callable[[Array], Bools], reason: str, remedy: str) -> None:
        """Refuses rows by the id in a checked id column: `wrong` maps distinct ids (text) to a mask."""
        indices, names = self.ids(column)
        self.refuse(wrong(names)[indices], column, reason, remedy)

    def ids(self, column: str) -> tuple[Ids, Array]:
        """A checked id column: position of each row's id [n] among the distinct ids as text [m]; -1 is missing."""
        codes = self._table[column].combine_chunks()
        indices = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return indices, np.asarray(codes.dictionary.to_pylist(), dtype=object)

    def numbers(self, column: str) -> Array:
        """A checked numeric column, float64, NaN where missing. Shape [n]."""
        return np.asarray(self._table[column].to_numpy(), np.float64)

    def times(self, column: str) -> Array:
        """A checked time column, int64 seconds. Shape [n]."""
        return np.asarray(self._table[column].to_numpy(), np.int64)

    def vectors(self, column: str) -> Array:
        """A checked column of vectors, float32, NaN where missing. Shape [n, V]."""
        return read_vectors(self._table[column])[0]

    def text(self, column: str) -> Array:
        """Any column as text, "" where missing. dtype object. Shape [n]."""
        text = _as_text(self._table[column]).cast(pa.string()).fill_null("")
        return np.asarray(text.to_pandas(), dtype=object)

    def is_list(self, column: str) -> bool:
        """Whether the file holds a list of values in this column (Parquet, JSON)."""
        kind = self._table[column].type
        return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))

    def lists(self, column: str) -> list[list[object]]:
        """A list column; a missing list is empty. n lists."""
        return [row or [] for row in self._table[column].to_pylist()]

    def _set(self, column: str, values: pa.Array) -> None:
        self._table = self._table.set_column(self._table.column_names.index(column), column, values)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text (or dictionary of text); whole numbers held as floats, as pandas does beside missing values, lose the .0."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        return column
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53))
        column = column.cast(pa.int64()) if pc.all(whole).as_py() else column
    if pa.types.is_nested(kind):
        return pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])
    return column.cast(pa.string())


def _parse_numbers(column: pa.ChunkedArray) -> tuple[Array, Bools]:
    """Values as float64 [n], NaN where missing or not a number, and where the text made sense [n]."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy()
        return values, np.ones(len(values), np.bool_)
    text = _as_text(column).cast(pa.string()).fill_null("").to_pandas()
    values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    return values, ~np.isnan(values) | text.isin(MISSING_WORDS).to_numpy()
