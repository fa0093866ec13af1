"""Reads JSON into a `RawTable`: one object a line, or one array of objects; whole numbers of any size stay exact."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from twotower.data.plain_ids import plain_id
from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.file_checks import check_columns, check_file, text_lines
from twotower.data.reading.opening import first_bytes, opened
from twotower.data.reading.raw_table import RawTable
from twotower.errors import BadInput

BLOCK = 16 << 20
"""Bytes that the parser works on at once; a line must fit in."""


def read_json_lines(
    path: Path, bad: BadRows, fields: Sequence[str], types: pa.Schema | None = None, *, texts: Sequence[str] = ()
) -> RawTable:
    """Reads the wanted fields of a file of one JSON object a line, or of one array of objects.

    Args:
        path: the file.
        bad: collects lines that are not JSON objects.
        fields: fields to read; each must stand in at least one line.
        types: known types of the wanted fields; then no other field is even parsed.
        texts: fields of ids, whose numbers must not pass through floats.

    Raises:
        MissingData: there is no such file.
        BadInput: it is empty, lacks a field, or holds lines that are no objects.
    """
    check_file(path, "utf-8")
    if first_bytes(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return _table(path, bad, _array(path), fields, texts)
    options = pajson.ParseOptions(
        explicit_schema=types, unexpected_field_behavior="infer" if types is None else "ignore"
    )
    try:
        with opened(path) as stream:
            table = pajson.read_json(stream, pajson.ReadOptions(block_size=BLOCK), options)
    except pa.ArrowInvalid:
        return _line_by_line(path, bad, fields, texts)
    # a schema makes a column of nulls where the file has no such field
    filled = [n for n in table.column_names if types is None or table[n].null_count < table.num_rows]
    check_columns(path, filled, fields)
    if any(pa.types.is_floating(table[name].type) for name in texts):
        return _line_by_line(path, bad, fields, texts)  # numbers above 2^63 are inferred as floats, which merge them
    return RawTable(path, table.select(list(fields)), np.arange(1, table.num_rows + 1), bad)


def field_names(path: Path) -> list[str]:
    """Names of the fields of all objects of a file, in the order in which they first stand there."""
    if first_bytes(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        records = _array(path)
    else:
        records = [_parsed(line) for line in text_lines(path, "utf-8") if line.strip()]
    return list(dict.fromkeys(name for record in records if isinstance(record, dict) for name in record))


def _line_by_line(path: Path, bad: BadRows, fields: Sequence[str], texts: Sequence[str]) -> RawTable:
    """The slow way, for files that the fast way could not parse: line by line, mixed types as text."""
    return _table(path, bad, [_parsed(line) for line in text_lines(path, "utf-8") if line.strip()], fields, texts)


def _table(path: Path, bad: BadRows, parsed: Sequence[Any], fields: Sequence[str], texts: Sequence[str]) -> RawTable:
    """A table of parsed objects; what is no object is a bad row."""
    broken = np.asarray([not isinstance(p, dict) for p in parsed], np.bool_)
    odd = np.flatnonzero(broken).tolist()
    content = pa.table({"line": pa.array([str(parsed[i]) for i in odd], pa.string())})
    reasons = [f"{str(parsed[i])[:60]!r} is not a JSON object" for i in odd]
    bad.add(path, np.flatnonzero(broken) + 1, reasons, "write one JSON object a line", content, len(parsed))
    records = [p for p in parsed if isinstance(p, dict)]
    check_columns(path, {name for record in records for name in record}, fields)
    columns = {name: _column([record.get(name) for record in records], name in texts) for name in fields}
    return RawTable(path, pa.table(columns), np.flatnonzero(~broken) + 1, bad)


def _array(path: Path) -> list[Any]:
    with opened(path) as stream:
        raw = bytes(stream.read())
    try:
        records = json.loads(raw.decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a JSON array of objects ({error}); write one JSON object a line") from error
    return list(records)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return line


def _column(values: list[Any], is_text: bool) -> pa.Array:
    if is_text and not any(isinstance(value, list | dict) for value in values):
        return pa.array([plain_id(value) or None for value in values], pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values])
