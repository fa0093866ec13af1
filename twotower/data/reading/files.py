"""Reads CSV, JSON, Parquet and `::` files into a `RawTable`; damage is reported with file, row and remedy."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.file_checks import check_columns, check_file, text_lines, undecodable
from twotower.data.reading.json_files import field_names, read_json_lines
from twotower.data.reading.opening import (
    Delimited,
    format_of,
    header,
    opened,
    partition_of,
    parts_of,
    refuse_binary,
    settled,
)
from twotower.data.reading.raw_table import RawTable
from twotower.errors import BadInput

__all__ = ["Delimited", "read_delimited", "read_json_lines", "read_parquet", "read_rows", "read_separated"]

BLOCK = 16 << 20
"""Bytes that a parser works on at once; a row must fit in."""

CSV = Delimited()


def read_rows(
    path: Path, bad: BadRows, *, texts: Sequence[str], others: Sequence[str] = (), form: Delimited = CSV
) -> RawTable:
    """Reads the wanted columns of a file or of a folder of parts.

    The suffix tells the format: .parquet; .jsonl, .ndjson and .json (one object a line, or one array of objects); every
    other name is a text table. Text and JSON files may also be packed: .gz, .zst, .bz2, or alone in a .zip.

    Args:
        path: the file, or a folder of files of one format.
        bad: collects rows that cannot be parsed.
        texts: columns to keep as text, so that the id "007" stays "007".
        others: columns of any other kind; their types are inferred.
        form: how a text table is written.

    Raises:
        MissingData: there is no such file.
        BadInput: it is empty, lacks a column, has another encoding or holds rows that cannot be parsed.
    """
    if not path.is_dir():
        return _read_part(path, bad, texts, others, form)
    tables = []
    for part in parts_of(path):
        if format_of(part) == "parquet" and not n_rows_of(part):
            continue  # Spark writes a part for every task, also for those without rows
        named = {n: v for n, v in partition_of(part, path).items() if n in (*texts, *others)}
        read, more = ([name for name in names if name not in named] for names in (texts, others))
        table = _read_part(part, bad, read, more, form)
        for name, value in named.items():
            table.constant(name, value)
        tables.append(table)
    return RawTable.joined(path, tables)


def column_names(path: Path, wanted: Sequence[str]) -> list[str]:
    """Names of the columns of a file, or of the first part of a folder; `wanted` ones help to find the delimiter."""
    part = parts_of(path)[0]
    match format_of(part):
        case "parquet":
            return list(pq.read_schema(pa.BufferReader(opened(part).read())).names)
        case "json":
            return field_names(part)
    refuse_binary(part)
    return header(part, settled(part, CSV, wanted))


def n_rows_of(path: Path) -> int:
    """Rows of a Parquet file, by its footer."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowInvalid as error:
        raise BadInput(f"{path}: not a Parquet file ({error}); export it again") from error


def _read_part(path: Path, bad: BadRows, texts: Sequence[str], others: Sequence[str], form: Delimited) -> RawTable:
    check_file(path, form.encoding)
    match format_of(path):
        case "parquet":
            return read_parquet(path, bad, tuple(dict.fromkeys((*texts, *others))), texts=texts)
        case "json":
            return read_json_lines(path, bad, tuple(dict.fromkeys((*texts, *others))), texts=texts)
    refuse_binary(path)
    return read_delimited(path, bad, texts=texts, others=others, form=form)


def read_delimited(
    path: Path, bad: BadRows, *, texts: Sequence[str], others: Sequence[str] = (), form: Delimited = CSV
) -> RawTable:
    """Reads the wanted columns of a delimited text file; arguments and errors as `read_rows`."""
    check_file(path, form.encoding)
    form = settled(path, form, (*texts, *others))
    if form.names is None:
        check_columns(path, header(path, form), (*texts, *others))
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        table = _parse_csv(path, form, dict.fromkeys(texts, text), (*texts, *others))
        return RawTable(path, table, np.arange(1, table.num_rows + 1), bad)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error) or "UTF-8" in str(error):
            raise BadInput(undecodable(path, str(form.encoding))) from error
    except UnicodeDecodeError as error:
        raise BadInput(undecodable(path, str(form.encoding))) from error
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
        opened(path) if path.suffix == ".zip" else path,
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


def read_parquet(path: Path, bad: BadRows, columns: Sequence[str], *, texts: Sequence[str] = ()) -> RawTable:
    """Reads the wanted columns of a Parquet file; text columns among `texts` as codes, which takes less memory."""
    check_file(path, None)
    source = path if path.suffix in (".parquet", ".parq", ".pq") else pa.BufferReader(opened(path).read())
    try:
        with pq.ParquetFile(source) as file:
            schema = file.schema_arrow
        check_columns(path, schema.names, columns)
        coded = [name for name in texts if pa.types.is_string(schema.field(name).type)]
        with pq.ParquetFile(source, read_dictionary=coded) as file:
            table = file.read(columns=list(columns)).select(list(columns))
    except pa.ArrowInvalid as error:
        raise BadInput(f"{path}: not a Parquet file ({error}); export it again") from error
    return RawTable(path, table, np.arange(1, table.num_rows + 1), bad)
