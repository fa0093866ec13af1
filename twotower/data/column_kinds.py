"""What the columns of a table are for, by what they hold: kinds of features where nobody names them."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from twotower.data.plain_ids import kind_name
from twotower.data.reading.cell_lists import is_list
from twotower.data.tables import Kind
from twotower.errors import BadConfig
from twotower.text import near

FEW = 20
"""So many values may be categories however few rows there are."""
_TITLES = ("title", "name")


def column_kinds(
    table: pa.Table, what: str, given: Mapping[str, Any] | None, *, leave_out: list[str]
) -> dict[str, Any]:
    """The feature columns of a table and their kinds, in order.

    Numbers are continuous, dates timestamps, lists of as many fractions a row vectors, other lists and texts between
    bars (`Action|Drama`) multi_categorical; texts are categorical, or text where most rows have one of their own.
    Columns without any value are left out.

    Args:
        table: the rows.
        what: how messages call it.
        given: kinds by column that win, or mappings with `kind`; None leaves a column out.
        leave_out: columns that are no features, such as ids.

    Raises:
        BadConfig: there is no such column, or one holds what is no feature.
    """
    given = dict(given or {})
    for name in given:
        if name not in table.column_names:
            raise BadConfig(f"{what}: no column {name!r}; {near(str(name), table.column_names)}")
    kinds: dict[str, Any] = {}
    for name in table.column_names:
        if name in leave_out and name not in given:
            continue
        kind = given[name] if name in given else _kind_of(table[name], f"{what}: column {name!r}")
        if kind is not None:
            kinds[name] = kind
    return kinds


def title_column(table: pa.Table, leave_out: list[str]) -> str | None:
    """The column of texts that is called title or name, if there is one."""
    there = {name.lower(): name for name in table.column_names if name not in leave_out and _is_text(table[name].type)}
    return next((there[name] for name in _TITLES if name in there), None)


def _kind_of(column: pa.ChunkedArray, where: str) -> str | None:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.null_count == len(column):
        return None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return str(Kind.CONTINUOUS)
    if pa.types.is_boolean(kind):
        return str(Kind.CATEGORICAL)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return str(Kind.TIMESTAMP)
    if _is_text(kind):
        return str(Kind.CATEGORICAL if pa.types.is_dictionary(column.type) else _kind_of_text(column))
    if is_list(kind) and not pa.types.is_nested(kind.value_type):
        lengths = pc.unique(pc.list_value_length(column).drop_null())
        fractions = pa.types.is_floating(kind.value_type) and len(lengths) == 1
        return str(Kind.VECTOR if fractions else Kind.MULTI_CATEGORICAL)
    said = kind_name(kind) if pa.types.is_nested(kind) else str(kind)
    raise BadConfig(f"{where} holds {said}, which is no feature; leave it out with None as its kind")


def _kind_of_text(column: pa.ChunkedArray) -> Kind:
    texts = column.cast(pa.string()).drop_null()
    if pc.sum(pc.match_substring(texts, "|")).as_py() * 5 > len(texts):
        return Kind.MULTI_CATEGORICAL
    return Kind.TEXT if pc.count_distinct(texts).as_py() > max(FEW, len(texts) // 2) else Kind.CATEGORICAL


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())
