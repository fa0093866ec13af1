"""Columns of fixed-size lists of numbers, as embeddings of texts and images come: Arrow lists to float32 arrays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower.errors import BadInput
from twotower.types import Array, Bools, Floats


def is_list_of_numbers(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list, of fixed or any length, of numbers."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def read_vectors(cells: pa.ChunkedArray) -> tuple[Floats, Bools]:
    """Vectors [n, V], NaN where a cell is missing, and the rows that have no vector of the commonest length V [n].

    Cells that hold another number of values, a missing value among them or one that is not finite are such rows.

    Raises:
        BadInput: the column holds no lists of numbers, or no row has one.
    """
    if not is_list_of_numbers(cells.type):
        raise BadInput(f"holds {cells.type}, no lists of numbers; give lists, all of one length")
    lists = cells.cast(pa.large_list(pa.float32()))
    chunk = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    if isinstance(chunk, pa.ChunkedArray):
        chunk = pa.concat_arrays(chunk.chunks)
    there = chunk.is_valid().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(chunk).fill_null(0).to_numpy(zero_copy_only=False)
    if not (lengths[there] > 0).any():
        raise BadInput("holds no list with a value; give lists of numbers, all of one length")
    width = int(np.bincount(lengths[there & (lengths > 0)]).argmax())
    fits = there & (lengths == width)
    vectors = np.full((len(chunk), width), np.nan, np.float32)
    vectors[fits] = chunk.filter(pa.array(fits)).flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    bad = there & ~(fits & np.isfinite(vectors).all(axis=1))
    return vectors, bad


def vector_lists(vectors: Array) -> pa.Array:
    """Vectors [n, V] as an Arrow column of lists of V numbers."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(vectors, np.float32).ravel()), vectors.shape[1]
    )
