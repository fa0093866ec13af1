"""Tables of any library as Arrow tables: pandas, pyarrow, and whatever speaks the Arrow protocol, such as polars."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from twotower.data.plain_ids import plain_id
from twotower.errors import BadConfig, BadInput
from twotower.text import one_line


def arrow_table(table: Any, what: str, ids: Iterable[str] = ()) -> pa.Table:
    """A table in memory as an Arrow table; copied only where the library's own form differs.

    Args:
        table: a pandas DataFrame, an Arrow table, a mapping of columns, or what gives `__arrow_c_stream__`.
        what: how messages call it.
        ids: columns of ids, which pandas may hold as objects of any type.

    Raises:
        BadConfig: it is no table.
        BadInput: a column mixes types, or two columns have one name.
    """
    try:
        if isinstance(table, pd.DataFrame):
            return _of_pandas(table, what, list(ids))
        if isinstance(table, pa.Table):
            return table
        if isinstance(table, Mapping):
            return _of_pandas(pd.DataFrame(dict(table)), what, list(ids))
        if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
            return pa.table(table)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{what}: {one_line(error)}; give every column values of one type") from error
    raise BadConfig(
        f"{what}: {type(table).__name__} is no table; give a DataFrame of pandas or polars, an Arrow table, or a path"
    )


def _of_pandas(frame: pd.DataFrame, what: str, ids: list[str]) -> pa.Table:
    """The columns, and the named levels of the index where an id column stands there."""
    named = {name for name in frame.index.names if name is not None and name not in frame.columns}
    if named & set(ids):
        frame = frame.reset_index()
    frame = frame.rename(columns=str)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise BadInput(f"{what}: several columns are named {twice[0]!r}; rename all but one")
    for name in ids:
        if name in frame.columns and frame[name].dtype == object:
            plain = [None if _is_missing(value) else plain_id(value) for value in frame[name]]
            frame = frame.assign(**{name: pd.Series(plain, index=frame.index, dtype="object")})
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))
