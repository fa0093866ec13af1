"""`RawTable`: the rows of one file under check; each check types one column and refuses the rows where it cannot."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twotower.data.plain_ids import kind_name, plain_codes
from twotower.data.reading.arrow_types import usual_types
from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.cell_lists import is_list
from twotower.data.reading.raw_times import MISSING_WORDS, TimeUnit, parse_times, wrong_unit
from twotower.data.tables import MISSING_TIME
from twotower.data.vectors import read_vectors
from twotower.errors import BadInput
from twotower.types import Array, Bools, Ids

YEAR_2100 = 4_102_444_800

log = logging.getLogger(__name__)


class RawTable:
    """Rows of one file, in file order; checks change it in place.

    Attributes:
        path: the file, for messages.
        rows: number of each row in the file, 1 for the first after the header, blank lines not counted. Shape [n].
    """

    def __init__(self, path: Path, table: pa.Table, rows: Ids, bad: BadRows) -> None:
        self.path = path
        self.rows = rows
        self._table = usual_types(table)
        self._bad = bad
        self._parts = [(path, len(rows))]
        self._part = np.zeros(len(rows), np.int32)
        if not len(rows):
            raise BadInput(f"{path}: no rows; give a file with at least one row after the header")

    @classmethod
    def joined(cls, path: Path, tables: "Sequence[Self]") -> Self:
        """The rows of several files, one after the other; bad rows are still told by their own file and number.

        Args:
            path: of the folder, for messages about all of it.
            tables: unchecked tables with the same columns.
        """
        if not tables:
            raise BadInput(f"{path}: no rows; give a folder with at least one part that has some")
        try:
            rows = pa.concat_tables([t._table for t in tables], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # e.g. an id column of numbers in one part and of text in another
            rows = pa.concat_tables([_all_text(t._table) for t in tables])
        table = cls(path, rows, np.concatenate([t.rows for t in tables]), tables[0]._bad)
        table._parts = [t._parts[0] for t in tables]
        table._part = np.repeat(np.arange(len(tables)), [len(t) for t in tables])
        return table

    def __len__(self) -> int:
        return len(self.rows)

    def as_arrow(self) -> pa.Table:
        """The columns as they are now."""
        return self._table

    def constant(self, name: str, value: str) -> None:
        """Adds a text column with one value in every row."""
        self._table = self._table.append_column(name, pa.repeat(value, len(self)))

    def twin(self, column: str, name: str) -> str:
        """A second copy of a column under another name, for a column in two roles; returns the name."""
        self._table = self._table.append_column(name, self._table[column])
        return name

    def check_ids(self, column: str, what: str = "id") -> None:
        """Types a column of ids, or of names as short: any text or whole number in its plain form, none missing."""
        self._set(column, plain_codes(self._table[column], f"{self.path}: column {column!r}"))
        indices, names = self.ids(column)
        nameless = np.isin(names.astype(str), MISSING_WORDS)
        missing = (indices < 0) | np.append(nameless, True)[indices]
        self.refuse(missing, column, f"is a missing {what}", f"give every row {'an' if what == 'id' else 'a'} {what}")

    def check_numbers(
        self,
        column: str,
        low: float | None = None,
        high: float | None = None,
        *,
        required: bool = True,
        decimal: str | None = None,
    ) -> None:
        """Types a numeric column as float64.

        Args:
            column: its name.
            low: smallest sensible value.
            high: largest sensible value.
            required: refuse missing values (otherwise they are NaN).
            decimal: sign before the fraction, "." or ","; None: a comma is noticed where it can mean nothing else.
        """
        self.refuse_nested(column)
        values, parsed = self._numbers(column, decimal)
        bad = ~parsed | np.isinf(values) | (required & np.isnan(values))
        commas = bool(bad.any()) and "," in (_as_text(self._table[column].filter(pa.array(bad)))[0].as_py() or "")
        remedy = "write 12.50, or decimal: ',' for a comma before the fraction" if commas else "correct the value"
        self.refuse(bad, column, "is not a finite number", remedy, typed=pa.array(values))
        values = self.numbers(column)
        bottom, top = -np.inf if low is None else low, np.inf if high is None else high
        self.refuse((values < bottom) | (values > top), column, f"is outside {bottom:g}..{top:g}", "correct the value")

    def _numbers(self, column: str, decimal: str | None) -> tuple[Array, Bools]:
        cells = self._table[column]
        values, parsed = _parse_numbers(cells, decimal or ".")
        if decimal is None and not parsed.all():
            others, fits = _parse_numbers(cells, ",")
            told = pc.any(
                pc.match_substring_regex(_as_text(cells).cast(pa.string()), r"^\s*-?\d+,(\d{1,2}|\d{4,})\s*$")
            )
            if fits.all() and told.as_py():
                log.warning("%s: column %s is read with a decimal comma; decimal: ',' says so", self.path, column)
                return others, fits
        return values, parsed

    def refuse_nested(self, column: str, *, lists: bool = False) -> None:
        """Refuses a column of records, or of lists where they are not wanted.

        Raises:
            BadInput: the column holds such values.
        """
        kind = self._table[column].type
        if pa.types.is_nested(kind) and not (lists and is_list(kind) and not pa.types.is_nested(kind.value_type)):
            remedy = (
                "write one plain value a cell" if not is_list(kind) else "only multi_categorical columns hold lists"
            )
            raise BadInput(f"{self.path}: column {column!r} holds {kind_name(kind)}; {remedy}")
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            raise BadInput(f"{self.path}: column {column!r} holds bytes; write text or numbers")
        if pa.types.is_duration(kind):
            raise BadInput(f"{self.path}: column {column!r} holds durations ({kind}); write numbers or moments")

    def check_times(self, column: str, unit: TimeUnit = "s", *, required: bool = True) -> None:
        """Types a time column as int64 seconds since the epoch, UTC.

        Args:
            column: its name; whole numbers in `unit`, ISO 8601 texts, or timestamps and dates of the file format.
            unit: what one step of a number means.
            required: these are times of events, 1970 to 2100, and none is missing (otherwise they may be any date,
                and `MISSING_TIME` where there is none).

        Raises:
            BadInput: the numbers are in another unit, whatever the policy; or a value is no time.
        """
        self.refuse_nested(column)
        times, missing = parse_times(self._table[column], unit)
        remedy = wrong_unit(times, unit, self._table[column])
        if remedy:
            first = self._table[column][0].as_py()
            raise BadInput(f"{self.path}: row {self.rows[0]}: {column} = {first!r}: {remedy}")
        known = times != MISSING_TIME
        bad = np.where(known, required & ((times < 0) | (times > YEAR_2100)), required | ~missing)
        remedy = "write seconds or ISO 8601, 2024-01-31T18:30:00Z"
        reason = "is not a time in 1970..2100" if required else "is not a time or date"
        self.refuse(bad, column, reason, remedy, typed=pa.array(times))

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
        for part in np.unique(self._part[bad]):
            path, n_rows = self._parts[part]
            here = np.flatnonzero(self._part[bad] == part)
            told = [reasons[i] for i in here]
            self._bad.add(path, self.rows[bad[here]], told, remedy, content.take(pa.array(here)), n_rows)
        if typed is not None:
            self._set(column, typed)
        if len(bad):
            self._table, self.rows, self._part = (
                self._table.filter(pa.array(~mask)),
                self.rows[~mask],
                self._part[~mask],
            )
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
        return is_list(self._table[column].type)

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


def _all_text(table: pa.Table) -> pa.Table:
    return pa.table({name: _as_text(table[name]).cast(pa.string()) for name in table.column_names})


def _parse_numbers(column: pa.ChunkedArray, decimal: str) -> tuple[Array, Bools]:
    """Values as float64 [n], NaN where missing or not a number, and where the text made sense [n]."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy()
        return values, np.ones(len(values), np.bool_)
    text = _as_text(column).cast(pa.string()).fill_null("").to_pandas().str.strip()
    if decimal == ",":
        comma = text.str.fullmatch(r"[-+]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?") | text.isin(MISSING_WORDS)
        text = text.where(comma, "?").str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    return values, ~np.isnan(values) | text.isin(MISSING_WORDS).to_numpy()
