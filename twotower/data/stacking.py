"""Two columns of one kind as one: their rows one after the other, whatever values each of them knows."""

import numpy as np
import pandas as pd

from twotower.data.tables import MISSING, Categories, ColumnValues, MultiCategories
from twotower.errors import BadInput
from twotower.types import Array, Ids, Ragged


def stacked(first: ColumnValues, second: ColumnValues) -> ColumnValues:
    """The rows of `first`, then those of `second`; values that only the second knows follow those of the first."""
    if isinstance(first, Categories) and isinstance(second, Categories):
        values, codes = _shared(first.values, second.values)
        moved = np.where(second.codes == MISSING, MISSING, _codes(codes, second.codes)).astype(np.int32)
        return Categories(np.append(first.codes, moved), values)
    if isinstance(first, MultiCategories) and isinstance(second, MultiCategories):
        values, codes = _shared(first.values, second.values)
        moved = _codes(codes, second.codes.values).astype(first.codes.values.dtype)
        joined = Ragged(
            np.append(first.codes.values, moved),
            np.append(first.codes.offsets, first.codes.offsets[-1] + second.codes.offsets[1:]),
        )
        return MultiCategories(joined, np.append(first.weights, second.weights).astype(np.float32), values)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    if first.shape[1:] != second.shape[1:]:
        raise BadInput(f"vectors of {second.shape[1]} numbers beside vectors of {first.shape[1]}; give as many")
    return np.concatenate([first, second.astype(first.dtype)])


def take(values: ColumnValues, rows: Ids) -> ColumnValues:
    """The given rows."""
    return values[rows] if isinstance(values, np.ndarray) else values.take(rows)


def _shared(first: Array, second: Array) -> tuple[Array, Ids]:
    """The values of both, the first ones keeping their places, and the place of each of the second."""
    places = pd.Index(first).get_indexer(pd.Index(second)).astype(np.int64)
    added = places < 0
    places[added] = len(first) + np.arange(int(added.sum()))
    return np.append(first, second[added]), places


def _codes(places: Ids, codes: Array) -> Array:
    return places[codes] if len(places) else codes
