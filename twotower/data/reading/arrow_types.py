"""Arrow tables in types that every function of Arrow takes; libraries that write views and halves need not care."""

import pyarrow as pa


def usual_types(table: pa.Table) -> pa.Table:
    """The same values in types that every function of Arrow takes; bytes that are text as text."""
    for at, field in enumerate(table.schema):
        usual = _usual(field.type, large=table.nbytes >= 1 << 30)
        try:
            table = table if usual == field.type else table.set_column(at, field.name, table[at].cast(usual))
        except pa.ArrowInvalid:
            continue  # bytes that are no text
    return table


def _usual(kind: pa.DataType, *, large: bool) -> pa.DataType:
    """The type of the same values, inside lists and dictionaries too."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if kind in (pa.string_view(), pa.large_string()):
        return pa.large_string() if large else pa.string()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inside = _usual(kind.value_type, large=large)
        return kind if inside == kind.value_type else pa.large_list(inside)
    if pa.types.is_dictionary(kind):
        inside = _usual(kind.value_type, large=large)
        return kind if inside == kind.value_type else pa.dictionary(pa.int32(), inside)
    return kind
