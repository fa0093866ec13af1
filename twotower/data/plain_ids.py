"""The plain form of an id: the one text that stands for it, however a file, a caller or a batch job writes it."""

import re
import uuid
from collections.abc import Mapping, Sequence, Set
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower.errors import BadInput

WHOLE = r"-?(?:0|[1-9][0-9]*)"
"""A whole number as people write it: "007", "+7" and "4_2" are texts, not numbers."""
_WHOLE = re.compile(rf"({WHOLE})(?:\.0+)?")
_BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
"""What `str.strip` takes for blanks."""
_EXACT = 2**53
"""Whole numbers from here on are not told apart by floats."""


def plain_id(value: Any) -> str:
    """The plain form of one id; "" is no id.

    Text loses blanks around it. Numbers lose a fraction of zero (42.0 is 42). Sixteen bytes that are no text are a
    UUID, other bytes are text or hexadecimal.
    """
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bytes):
        return _of_bytes(value)
    if isinstance(value, float | np.floating | Decimal):
        if value != value:
            return ""
        return str(int(value)) if np.isfinite(float(value)) and value == int(value) else str(value)
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return str(value).strip()


def one_id(value: Any, what: str) -> Any:
    """An id as it was asked for.

    Raises:
        BadInput: it is no id at all (NaN, empty), or several.
    """
    if isinstance(value, Sequence | Set | Mapping | np.ndarray) and not isinstance(value, str | bytes):
        raise BadInput(f"{what} {value!r:.80} is not one id; ask for one {what} at a time")
    if plain_id(value) in ("", "<NA>", "NaT"):
        raise BadInput(f"{what} {value!r:.80} is no id; give one as in your data")
    return value


def whole_number(text: str) -> int | None:
    """The number that a plain id writes, for data whose ids are numbers; None: it writes none ("042", "4_2")."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def plain_codes(column: pa.ChunkedArray, what: str) -> pa.DictionaryArray:
    """A column of ids in their plain form; each distinct value is looked at once.

    A text column that holds nothing but whole numbers, some of them written 7.0 as pandas does beside missing values,
    loses the .0.

    Args:
        column: any text, numbers, UUIDs or bytes. Shape [n].
        what: names the column in messages.

    Raises:
        BadInput: it holds lists or records, or floats too large to tell whole numbers apart.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_nested(column.type):
        raise BadInput(f"{what} holds {kind_name(column.type)}; an id is text or a whole number")
    chunk = column.unify_dictionaries().combine_chunks()
    encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # no rows at all, in some versions of pyarrow
        encoded = encoded.combine_chunks()
    names = _plain_texts(encoded.dictionary, what).dictionary_encode()
    indices = pc.take(names.indices, encoded.indices).cast(pa.int32())
    return pa.DictionaryArray.from_arrays(indices, names.dictionary)


def kind_name(kind: pa.DataType) -> str:
    """What a nested column holds, in words."""
    if pa.types.is_struct(kind) or pa.types.is_map(kind) or pa.types.is_union(kind):
        return f"records ({kind!s:.60})"
    return f"lists ({kind!s:.60})"


def _plain_texts(distinct: pa.Array, what: str) -> pa.Array:
    """The plain form of distinct values, null where there is none. Shape [m]."""
    kind = distinct.type
    if pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        return pa.array([None if v is None else str(uuid.UUID(bytes=v)) for v in distinct.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            distinct = distinct.cast(pa.string())
        except pa.ArrowInvalid:
            return _each(distinct)
    if pa.types.is_floating(kind):
        if pc.any(pc.greater_equal(pc.abs(distinct), float(_EXACT))).as_py():
            raise BadInput(f"{what} holds floats beyond 2^53, which merge ids; write whole numbers or text")
        return _each(distinct)
    if pa.types.is_integer(kind):
        return distinct.cast(pa.string())
    texts = (pa.string(), pa.large_string(), pa.string_view())
    return _without_zero_fractions(_trimmed(distinct)) if distinct.type in texts else _each(distinct)


def _trimmed(texts: pa.Array) -> pa.Array:
    return pc.utf8_trim(texts.cast(pa.string()), characters=_BLANKS)


def _each(distinct: pa.Array) -> pa.Array:
    return pa.array([plain_id(value) or None for value in distinct.to_pylist()], pa.string())


def _without_zero_fractions(texts: pa.Array) -> pa.Array:
    written_as_floats = pc.any(pc.ends_with(texts, ".0")).as_py()
    if not written_as_floats:
        return texts
    whole = pc.match_substring_regex(texts, rf"^{WHOLE}(\.0)?$")
    empty = pc.is_in(pc.utf8_lower(texts), pa.array(["", "nan", "null", "none", "na", "n/a", "\\n"]))
    if not pc.all(pc.or_(pc.fill_null(whole, True), pc.fill_null(empty, True))).as_py():
        return texts
    return pc.replace_substring_regex(texts, r"\.0$", "")


def _of_bytes(value: bytes) -> str:
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable():
        return text
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()
