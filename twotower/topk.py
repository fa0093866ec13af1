"""The one place where scores become ranked lists: exclusion, top-k with ties by id, padding."""

import numpy as np

from twotower.errors import BadInput
from twotower.types import NO_ITEM, Bools, Floats, Ids, Ragged, TopK


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
    by_id = np.argsort(candidates.items, axis=1, kind="stable")
    order = np.argsort(-np.take_along_axis(scores, by_id, 1), axis=1, kind="stable")
    order = np.take_along_axis(by_id, order, 1)[:, :k]
    return _padded(np.take_along_axis(candidates.items, order, 1), np.take_along_axis(scores, order, 1), k)


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
