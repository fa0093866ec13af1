"""Reads CSV, JSON lines, Parquet and `::` files into a `RawTable`; damage is reported with file, row and remedy."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.file_checks import check_columns, check_file, text_lines, undecodable
from twotower.data.reading.raw_table import RawTable
from twotower.errors import BadInput

BLOCK = 16 << 20
"""Bytes that a parser works on at once; a row must fit in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimited:
    """How a text table is written.

    Attributes:
        delimiter: one character between values.
        encoding: of the file.
        names: column names of a file without a header.
        quoting: whether `"` encloses values; off where `"` is an ordinary character.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    names: tuple[str, ...] | None = None
    quoting: bool = True


CSV = Delimited()


def read_rows(
    path: Path, bad: BadRows, *, texts: Sequence[str], others: Sequence[str] = (), form: Delimited = CSV
) -> RawTable:
    """Reads the wanted columns of a file; its suffix (.csv .tsv .jsonl .json .parquet, text ones also .gz) tells how.

    Args:
        path: the file.
        bad: collects rows that cannot be parsed.
        texts: columns to keep as text, so that the id "007" stays "007".
        others: columns of any other kind; their types are inferred.
        form: how a text table is written.

    Raises:
        MissingData: there is no such file.
        BadInput: it is empty, lacks a column, has another encoding or holds rows that cannot be parsed.
    """
    check_file(path, form.encoding)
    suffix = Path(path.name.removesuffix(".gz")).suffix
    columns = tuple(dict.fromkeys((*texts, *others)))
    if suffix == ".parquet":
        return read_parquet(path, bad, columns)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return read_json_lines(path, bad, columns)
    return read_delimited(path, bad, texts=texts, others=others, form=form)


def read_delimited(
    path: Path, bad: BadRows, *, texts: Sequence[str], others: Sequence[str] = (), form: Delimited = CSV
) -> RawTable:
    """Reads the wanted columns of a delimited text file; arguments and errors as `read_rows`."""
    check_file(path, form.encoding)
    if form.names is None:
        check_columns(path, _header(path, form), (*texts, *others))
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        table = _parse_csv(path, form, dict.fromkeys(texts, text), (*texts, *others))
        return RawTable(path, table, np.arange(1, table.num_rows + 1), bad)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error) or "UTF-8" in str(error):
            raise BadInput(undecodable(path, form.encoding)) from error
    except UnicodeDecodeError as error:
        raise BadInput(undecodable(path, form.encoding)) from error
    return _read_delimited_as_text(path, bad, form, tuple(dict.fromkeys((*texts, *others))))


def _read_delimited_as_text(path: Path, bad: BadRows, form: Delimited, columns: tuple[str, ...]) -> RawTable:
    """The slow way, for files that the fast way could not parse: all columns as text, odd rows collected."""
    odd: list[Any] = []

    def collect(row: Any) -> str:
        odd.append(row)
        return "skip"

    table = _parse_csv(path, form, {name: pa.string() for name in columns}, columns, collect)
    shift = 0 if form.names else 1
    n_rows = table.num_rows + len(odd)
    numbers = np.asarray([row.number - shift for row in odd], np.int64)
    reasons = [f"{row.actual_columns} values where {row.expected_columns} columns are expected" for row in odd]
    content = pa.table({"line": pa.array([row.text for row in odd], pa.string())})
    bad.add(path, numbers, reasons, f"quote values that hold {form.delimiter!r} or correct the row", content, n_rows)
    return RawTable(path, table, np.setdiff1d(np.arange(1, n_rows + 1), numbers), bad)


def _parse_csv(
    path: Path, form: Delimited, types: dict[str, pa.DataType], columns: Iterable[str], odd_rows: Any = None
) -> pa.Table:
    return pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(
            column_names=form.names, encoding=form.encoding, block_size=BLOCK, use_threads=odd_rows is None
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=form.delimiter,
            quote_char='"' if form.quoting else False,
            newlines_in_values=form.quoting and odd_rows is None,
            invalid_row_handler=odd_rows,
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            include_columns=list(dict.fromkeys(columns)),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def read_separated(path: Path, bad: BadRows, names: Sequence[str], separator: str, encoding: str) -> RawTable:
    """Reads a small file without header whose separator is longer than one character (`::`); all columns as text."""
    check_file(path, encoding)
    split = [line.split(separator) for line in text_lines(path, encoding) if line]
    fits = np.asarray([len(values) == len(names) for values in split], np.bool_)
    odd = np.flatnonzero(~fits)
    reasons = [f"{len(split[i])} values where {len(names)} columns are expected" for i in odd]
    content = pa.table({"line": pa.array([separator.join(split[i]) for i in odd], pa.string())})
    bad.add(path, odd + 1, reasons, "correct the row", content, len(split))
    rows = [values for values, fit in zip(split, fits, strict=True) if fit]
    columns = {name: pa.array([v[i] or None for v in rows], pa.string()) for i, name in enumerate(names)}
    return RawTable(path, pa.table(columns), np.flatnonzero(fits) + 1, bad)


def read_json_lines(path: Path, bad: BadRows, fields: Sequence[str], types: pa.Schema | None = None) -> RawTable:
    """Reads the wanted fields of a file of one JSON object a line.

    Args:
        path: the file.
        bad: collects lines that are not JSON objects.
        fields: fields to read; each must stand in at least one line.
        types: known types of the wanted fields; then no other field is even parsed.
    """
    check_file(path, "utf-8")
    options = pajson.ParseOptions(
        explicit_schema=types, unexpected_field_behavior="infer" if types is None else "ignore"
    )
    try:
        table = pajson.read_json(path, pajson.ReadOptions(block_size=BLOCK), options)
    except pa.ArrowInvalid:
        return _read_json_as_text(path, bad, fields)
    # a schema makes a column of nulls where the file has no such field
    filled = [n for n in table.column_names if types is None or table[n].null_count < table.num_rows]
    check_columns(path, filled, fields)
    return RawTable(path, table.select(list(fields)), np.arange(1, table.num_rows + 1), bad)


def _read_json_as_text(path: Path, bad: BadRows, fields: Sequence[str]) -> RawTable:
    """The slow way, for files that the fast way could not parse: line by line, mixed types as text."""
    parsed = [_parse_json(line) for line in text_lines(path, "utf-8") if line.strip()]
    broken = np.asarray([isinstance(p, str) for p in parsed], np.bool_)
    odd = np.flatnonzero(broken)
    content = pa.table({"line": pa.array([parsed[i] for i in odd], pa.string())})
    reasons = [f"{str(parsed[i])[:60]!r} is not a JSON object" for i in odd]
    bad.add(path, odd + 1, reasons, "write one JSON object a line", content, len(parsed))
    records = [p for p in parsed if isinstance(p, dict)]
    check_columns(path, {name for record in records for name in record}, fields)
    columns = {name: _any_array([record.get(name) for record in records]) for name in fields}
    return RawTable(path, pa.table(columns), np.flatnonzero(~broken) + 1, bad)


def _parse_json(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return line
    return value if isinstance(value, dict) else line


def _any_array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values])


def read_parquet(path: Path, bad: BadRows, columns: Sequence[str]) -> RawTable:
    """Reads the wanted columns of a Parquet file."""
    check_file(path, None)
    try:
        names = pq.read_schema(path).names
    except pa.ArrowInvalid as error:
        raise BadInput(f"{path}: not a Parquet file ({error}); export it again") from error
    check_columns(path, names, columns)
    table = pq.read_table(path, columns=list(columns))
    return RawTable(path, table, np.arange(1, table.num_rows + 1), bad)


def _header(path: Path, form: Delimited) -> list[str]:
    with pa.input_stream(path) as stream:
        first = stream.read(1 << 16).decode(form.encoding, errors="replace").lstrip("\ufeff").splitlines()
    return next(csv.reader(first, delimiter=form.delimiter), [])
