"""The one place where scores become ranked lists: exclusion, top-k with ties by id, padding."""

import numpy as np

from twotower.errors import BadInput
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Ragged, TopK

_ID_BITS = 0xFFFFFFFF


def top_k(scores: Floats, k: int, exclude: Ragged | None = None, allowed: Bools | None = None) -> TopK:
    """The k best columns of every row.

    Args:
        scores: higher is better; `-inf` marks "never return". Shape [B, N]. Not modified.
        k: wanted results; rows are padded where fewer are left.
        exclude: per row, columns that must not be returned. B rows.
        allowed: columns that may be returned at all. Shape [N].

    Returns:
        `TopK` [B, k], ties by column number: the same for every block size and thread count.

    Raises:
        BadInput: a score is NaN, k < 1, or `exclude` does not fit the scores.
    """
    if k < 1:
        raise BadInput(f"k must be at least 1, got {k}")
    if np.isnan(scores).any():
        row = int(np.isnan(scores).any(axis=1).argmax())
        raise BadInput(f"scores of query {row} hold NaN; check the model's input and weights")
    masked = np.array(scores, dtype=np.float32, copy=True)
    if allowed is not None:
        masked[:, ~allowed] = -np.inf
    if exclude is not None:
        _check_exclusions(exclude, masked)
        inside = exclude.values >= 0
        masked[exclude.row_ids()[inside], exclude.values[inside]] = -np.inf
    columns = _best_columns(masked, min(k, masked.shape[1]))
    return _padded(columns, np.take_along_axis(masked, columns, axis=1), k)


def rescore(candidates: TopK, scores: Floats, k: int) -> TopK:
    """Orders candidates [B, C] by new scores [B, C], ties by item id, and keeps the best k; padding stays last."""
    scores = np.where(candidates.items == NO_ITEM, -np.inf, scores).astype(np.float32)
    keys = _sort_keys(candidates.items, scores)
    keys.sort(axis=1)
    return _padded(*_of_sort_keys(keys[:, :k]), k)


def best_of(items: Ids, scores: Floats, k: int) -> TopK:
    """The k best of many scored candidates [B, C], ties by id, without sorting them all; -inf marks padding. [B, k]."""
    columns = top_k(scores, min(k, scores.shape[1]))
    found = TopK(np.take_along_axis(items, np.maximum(columns.items, 0), axis=1), columns.scores)
    found = found.without(columns.items == NO_ITEM)
    return rescore(found, found.scores, k)


def _sort_keys(items: Ids, scores: Floats) -> Ids:
    """One integer for a score and an item id below 2^32 - 1; rising keys are falling scores, ties by rising id.

    Sorting integers takes a tenth of the time of two stable sorts by index, and equal keys are equal in every way.
    """
    falling = ~_ordered(np.ascontiguousarray(scores + np.float32(0)).view(np.int32))  # + 0: -0 and 0 are a tie
    return (falling.astype(np.int64) << 32) | (items & _ID_BITS)


def _of_sort_keys(keys: Ids) -> tuple[Ids, Floats]:
    """Items and scores of `_sort_keys`; padding comes back as any id with the score -inf."""
    bits = np.ascontiguousarray(_ordered(~(keys >> 32).astype(np.int32)))
    return keys & _ID_BITS, bits.view(np.float32)


def _ordered(bits: Array) -> Array:
    """The bits of floats as integers of the same order, and back: negative floats have the others turned over."""
    return np.asarray(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))


def _check_exclusions(exclude: Ragged, scores: Floats) -> None:
    rows, columns = scores.shape
    if len(exclude) != rows:
        raise BadInput(f"top_k: {rows} rows of scores but {len(exclude)} rows of exclusions")
    if len(exclude.values) and int(exclude.values.max()) >= columns:
        raise BadInput(f"top_k: excluded item {exclude.values.max()} is outside the catalogue of {columns}")


def _best_columns(scores: Floats, k: int) -> Ids:
    """Columns of the k largest scores per row, best first, ties by column. Shape [B, k]."""
    n = scores.shape[1]
    if k == n:
        return np.argsort(-scores, axis=1, kind="stable")
    found = np.argpartition(scores, n - k, axis=1)[:, n - k :]
    threshold = np.take_along_axis(scores, found, 1).min(axis=1, keepdims=True)
    for row in np.flatnonzero((scores >= threshold).sum(axis=1) > k):  # a tie at the border: smallest ids win
        better = np.flatnonzero(scores[row] > threshold[row])
        equal = np.flatnonzero(scores[row] == threshold[row])
        found[row] = np.concatenate([better, equal[: k - len(better)]])
    found.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, found, 1), axis=1, kind="stable")
    return np.take_along_axis(found, order, 1)


def _padded(items: Ids, scores: Floats, k: int) -> TopK:
    items = np.where(np.isneginf(scores), NO_ITEM, items).astype(np.int64)
    return TopK(items, scores.astype(np.float32)).padded(k)
