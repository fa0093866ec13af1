"""Feature columns as Parquet columns and back; values keep their codes whatever the file's own dictionaries do."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from twotower.data.categories import MISSING, Categories, MultiCategories
from twotower.data.schema import Column, FeatureSchema, Kind
from twotower.data.vectors import vector_lists
from twotower.errors import BadInput
from twotower.types import Array, Ragged

_WEIGHTS = "/weights"


def weights_name(column: str, names: Sequence[str]) -> str:
    """Name of the column that holds the weights of a multi-categorical one: one that no column of the schema has."""
    name = column + _WEIGHTS
    while name in names:
        name += "/"
    return name


def write_table(path: Path, schema: FeatureSchema, values: Mapping[str, Any], n_rows: int) -> None:
    """One Parquet file that other tools can read as text and numbers; schema and value lists go into its metadata."""
    arrays: dict[str, Any] = {}
    lists: dict[str, list[str]] = {}
    for name in schema.names:
        arrays.update(_to_arrow(name, values[name], weights_name(name, schema.names)))
        if isinstance(values[name], Categories | MultiCategories):
            lists[name] = values[name].values.tolist()
    table = pa.table(arrays) if arrays else pa.table({"row": np.arange(n_rows)})
    meta = {"columns": schema.to_json(), "values": json.dumps(lists, ensure_ascii=False)}
    pq.write_table(table.replace_schema_metadata(meta), path)


def read_table(path: Path) -> tuple[FeatureSchema, dict[str, Any], int]:
    """Schema, column values and number of rows of what `write_table` wrote.

    Raises:
        BadInput: the file is some other Parquet file.
    """
    table = pq.read_table(path)
    meta = table.schema.metadata or {}
    if b"columns" not in meta or b"values" not in meta:
        raise BadInput(f"{path} is not a feature table of ours (no schema inside); run pipelines/prepare.py again")
    schema = FeatureSchema.from_json(meta[b"columns"].decode())
    lists = json.loads(meta[b"values"].decode())
    return schema, _columns(schema, table, lists), table.num_rows


def _to_arrow(name: str, values: Any, weighed: str) -> dict[str, Any]:
    if isinstance(values, Categories):
        codes = pa.array(values.codes.astype(np.int32), mask=values.codes == MISSING)
        return {name: pa.DictionaryArray.from_arrays(codes, pa.array(values.values, pa.string()))}
    if isinstance(values, MultiCategories):
        text = pa.array(values.values, pa.string())
        flat = pa.DictionaryArray.from_arrays(pa.array(values.codes.values.astype(np.int32)), text)
        offsets = pa.array(values.codes.offsets.astype(np.int64))
        return {
            name: pa.LargeListArray.from_arrays(offsets, flat),
            weighed: pa.LargeListArray.from_arrays(offsets, pa.array(values.weights)),
        }
    if values.ndim == 2:
        return {name: vector_lists(values)}
    return {name: pa.array(values, pa.string()) if values.dtype == object else pa.array(values)}


def _columns(schema: FeatureSchema, table: pa.Table, lists: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        c.name: _from_arrow(c, table, lists.get(c.name, []), weights_name(c.name, schema.names)) for c in schema.columns
    }


def _from_arrow(
    column: Column, table: pa.Table, values: list[str], weighed: str
) -> Categories | MultiCategories | Array:
    chunk = _one_chunk(table, column.name)
    if column.kind is Kind.CATEGORICAL:
        return Categories(_codes(chunk, values), np.asarray(values, dtype=object))
    if column.kind is Kind.MULTI_CATEGORICAL:
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
        codes = Ragged.from_lengths(_codes(chunk.flatten(), values), lengths)
        weights = _one_chunk(table, weighed).flatten().to_numpy(zero_copy_only=False)
        return MultiCategories(codes, weights, np.asarray(values, dtype=object))
    if column.kind is Kind.TEXT:
        return np.asarray(chunk.to_pylist(), dtype=object)
    if column.kind is Kind.VECTOR:
        flat = np.array(chunk.flatten().to_numpy(zero_copy_only=False))
        return flat.reshape(len(chunk), chunk.type.list_size)
    return np.array(chunk.to_numpy(zero_copy_only=False))


def _one_chunk(table: pa.Table, name: str) -> Any:
    chunks = table[name].unify_dictionaries().combine_chunks()
    return chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks


def _codes(text: Any, values: list[str]) -> Array:
    """Codes by the stored list: Parquet may reorder a dictionary and drop unused entries."""
    encoded = text if pa.types.is_dictionary(text.type) else text.dictionary_encode()
    rank = pd.Index(values, dtype=object).get_indexer(pd.Index(encoded.dictionary.to_pylist(), dtype=object))
    codes_in_file = encoded.indices.fill_null(MISSING).to_numpy(zero_copy_only=False).astype(np.int64)
    codes = np.where(codes_in_file < 0, MISSING, rank[codes_in_file] if len(rank) else MISSING)
    return codes.astype(np.int32)
