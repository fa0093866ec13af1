"""Lists in one cell of a table: "a|b", JSON and Python lists, Postgres arrays; and lists of the file format itself."""

import ast
import csv
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from twotower.types import Array, Bools

_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def is_list(kind: pa.DataType) -> bool:
    """Whether a file format holds lists in such a column, of any or of one fixed length."""
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def split_cells(texts: Sequence[str] | Array, separator: str) -> tuple[list[list[str]], Bools]:
    """The values in every cell [n], and which cells cannot be read [n].

    Where every cell that is not empty stands in brackets, cells are read as JSON or Python lists, in braces also as
    Postgres arrays; else they are cut at the separator. Blanks around values, and empty values, are left out.
    """
    cells = [text.strip() for text in texts]
    if not all(c[0] in _BRACKETS and c[-1] == _BRACKETS[c[0]] for c in cells if c) or not any(cells):
        return [_cleaned(cell.split(separator)) for cell in cells], np.zeros(len(cells), np.bool_)
    known = {cell: _in_brackets(cell) for cell in set(cells)}
    read = [known[cell] for cell in cells]
    return [values or [] for values in read], np.asarray([values is None for values in read], np.bool_)


def _in_brackets(cell: str) -> list[str] | None:
    """The values of a bracketed cell; None: it is no flat list."""
    values: object = None
    if not cell:
        return []
    try:
        values = json.loads(cell)
    except ValueError:
        try:
            values = ast.literal_eval(cell) if cell != "{}" else ()
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            values = next(csv.reader([cell[1:-1]], escapechar="\\"), []) if cell[0] == "{" else None
    if values == {}:
        return []
    if isinstance(values, set):
        values = sorted(values, key=str)
    if isinstance(values, str | int | float) and cell[0] == "(":
        values = (values,)  # ('a') is no tuple in Python, but was one for whoever wrote it
    if not isinstance(values, list | tuple) or any(isinstance(v, list | dict | tuple | set) for v in values):
        return None
    return _cleaned(["" if v is None else str(v) for v in values])


def _cleaned(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip()]
