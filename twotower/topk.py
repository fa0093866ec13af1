"""The one place where scores become ranked lists: exclusion, top-k with ties by id, padding."""

from collections.abc import Iterator

import numpy as np

from twotower.errors import BadInput
from twotower.protocols import Recommender
from twotower.types import NO_ITEM, Array, Bools, Floats, Ids, Queries, Ragged, TopK

_ID_BITS = 0xFFFFFFFF
_BLOCK_BYTES = 1 << 22
"""Scores looked through at once: 4 MiB, which the processor's caches hold."""
_GROUPS_PER_RESULT, _FEWEST_GROUPS = 4, 256
"""Groups whose maxima bound the k-th best: with four per result about half as many more scores pass as are wanted."""
_SIEVED = 512
"""Exclusions up to which it is cheaper to leave items out of a longer list than to mask scores."""


def top_k(scores: Floats, k: int, exclude: Ragged | None = None, allowed: Bools | None = None) -> TopK:
    """The k best columns of every row.

    Worked through in blocks of rows, so that it needs some `_BLOCK_BYTES` beside scores and answer, whatever B.

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
    if exclude is not None:
        _check_exclusions(exclude, scores)
    answer = TopK.nothing(len(scores), k)
    for rows in row_parts(len(scores), 4 * scores.shape[1], _BLOCK_BYTES):
        masked = np.array(scores[rows], dtype=np.float32, copy=True)
        if allowed is not None:
            masked[:, ~allowed] = -np.inf
        if exclude is not None:
            mask_excluded(masked, exclude, rows)
        best = _best_columns(masked, k, rows.start)
        answer.items[rows], answer.scores[rows] = best.items, best.scores
    return answer


def top_k_of_shared(scores: Floats, k: int, exclude: Ragged, allowed: Bools | None = None) -> TopK:
    """`top_k` of queries that all have the same scores [N], which are sorted once and not for every query. [B, k]."""
    answer, lengths = TopK.nothing(len(exclude), k), exclude.lengths
    few, many = np.flatnonzero(lengths <= _SIEVED), np.flatnonzero(lengths > _SIEVED)
    top = top_k(scores[None], max(1, min(k + int(lengths[few].max(initial=0)), len(scores))), None, allowed)  # [1, F]
    for part in row_parts(len(few), 32 * top.k, _BLOCK_BYTES):
        rows = few[part]
        every = (len(rows), top.k)
        tiled = TopK(np.broadcast_to(top.items, every), np.broadcast_to(top.scores, every))
        best = sieve(tiled, exclude.take(rows), k)
        answer.items[rows], answer.scores[rows] = best.items, best.scores
    best = top_k(np.broadcast_to(scores, (len(many), len(scores))), k, exclude.take(many), allowed)
    answer.items[many], answer.scores[many] = best.items, best.scores
    return answer


def rescore(candidates: TopK, scores: Floats, k: int) -> TopK:
    """Orders candidates [B, C] by new scores [B, C], ties by item id, and keeps the best k; padding stays last."""
    scores = np.where(candidates.items == NO_ITEM, -np.inf, scores).astype(np.float32)
    keys = _sort_keys(candidates.items, scores)
    keys.sort(axis=1)
    return _padded(*_of_sort_keys(keys[:, :k]), k)


def best_of_pairs(row: Ids, item: Ids, scores: Floats, k: int, n_rows: int) -> TopK:
    """The k best of scored pairs, ties by item. Shape [n_rows, k].

    Args:
        row: the list that each pair belongs to, never falling. Shape [P].
        item: rising within a row. Shape [P].
        scores: finite. Shape [P].
        k: wanted items.
        n_rows: lists, those without any pair among them.
    """
    lengths = np.bincount(row, minlength=n_rows)
    if lengths.max(initial=0) > 4 * k + _SIEVED:  # a sort of all would cost more than a second choice
        kept = _chosen_pairs(scores, lengths, k)
        row, item, scores = row[kept], item[kept], scores[kept]
        lengths = np.bincount(row, minlength=n_rows)
    filled = np.arange(lengths.max(initial=0)) < lengths[:, None]  # [B, C]
    items, padded = np.full(filled.shape, NO_ITEM), np.full(filled.shape, -np.inf, np.float32)
    items[filled], padded[filled] = item, scores
    return rescore(TopK(items, padded), padded, k)


def sieve(found: TopK, exclusions: Ragged, k: int, allowed: Bools | None = None) -> TopK:
    """The k best of what is found that are allowed and not excluded, in the order in which they were found. [B, k]."""
    keep = not_excluded(found, exclusions)
    if allowed is not None:
        keep &= allowed[found.items]
    if keep[:, :k].all():
        return found.padded(k)
    order = np.argsort(~keep, axis=1, kind="stable")[:, :k]
    left = found.without(~keep)
    return TopK(np.take_along_axis(left.items, order, axis=1), np.take_along_axis(left.scores, order, axis=1)).padded(k)


def allowed_lists(recommender: Recommender, queries: Queries, k: int) -> TopK:
    """Lists of allowed items, the same from a recommender that heeds `Queries.allowed` and from one that does not.

    The latter is asked for longer lists, in the last resort for the whole catalogue. Shape [B, k].
    """
    found, allowed = recommender.recommend(queries, k), queries.allowed
    if allowed is None or bool((allowed[found.items] | (found.items == NO_ITEM)).all()):
        return found
    length = min(len(allowed), int(k / max(allowed.mean(), 1 / len(allowed))) + 1)
    while True:
        best = sieve(recommender.recommend(queries, length), queries.exclusions, k, allowed)
        if length == len(allowed) or bool((best.items != NO_ITEM).all()):
            return best
        length = min(len(allowed), 4 * length)


def not_excluded(found: TopK, exclusions: Ragged) -> Bools:
    """False where an item is excluded for its query or is padding. Shape [B, K]."""
    real: Bools = found.items != NO_ITEM
    if not len(exclusions.values):
        return real
    n = max(int(found.items.max(initial=0)), int(exclusions.values.max(initial=0))) + 1
    known = exclusions.values != NO_ITEM
    pairs = np.sort(exclusions.row_ids()[known] * n + exclusions.values[known])
    keys = np.arange(len(found))[:, None] * n + found.items
    place = np.minimum(np.searchsorted(pairs, keys), max(0, len(pairs) - 1))
    return np.asarray(real & (pairs[place] != keys)) if len(pairs) else real


def mask_excluded(scores: Floats, exclude: Ragged, rows: slice) -> None:
    """Writes -inf where an item is excluded into the scores [b, N] of some consecutive rows; padding is left out."""
    values = exclude.values[exclude.offsets[rows.start] : exclude.offsets[rows.stop]]
    row = np.repeat(np.arange(len(scores)), exclude.lengths[rows])
    inside = values >= 0
    scores[row[inside], values[inside]] = -np.inf


def places_among(exclusions: Ragged, items: Ids) -> Ragged:
    """Where excluded items stand among rising item ids; those that are not among them are left out. B rows."""
    place = np.minimum(np.searchsorted(items, exclusions.values), len(items) - 1)
    inside = items[place] == exclusions.values
    return Ragged.from_lengths(place[inside], np.bincount(exclusions.row_ids()[inside], minlength=len(exclusions)))


def candidates_of(scores: Floats, k: int, slack: Floats) -> tuple[Ids, Ids]:
    """Rows and columns of all scores that may be among the k best of their row, and of few others; no -inf.

    Args:
        scores: NaN-free. Shape [b, N].
        k: wanted columns.
        slack: how far below the k-th best a score may lie and still be found. Shape [b].

    Returns:
        Rows, never falling, and columns, rising within a row. Shapes [P].
    """
    return _reaching(scores, _border(_group_maxima(scores, k), k) - slack)


def row_parts(n_rows: int, bytes_per_row: int, limit: int) -> Iterator[slice]:
    """Consecutive rows whose arrays stay within a limit of bytes; at least one row at once."""
    size = max(1, limit // max(1, bytes_per_row))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def best_of(items: Ids, scores: Floats, k: int) -> TopK:
    """The k best of many scored candidates [B, C], ties by id, without sorting them all; -inf marks padding. [B, k]."""
    columns = top_k(scores, min(k, scores.shape[1]))
    top = TopK(np.take_along_axis(items, np.maximum(columns.items, 0), axis=1), columns.scores)
    top = top.without(columns.items == NO_ITEM)
    return rescore(top, top.scores, k)


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


def _best_columns(scores: Floats, k: int, first_row: int) -> TopK:
    """The k largest scores of every row with their columns, ties by column. Shape [b, k].

    A row is cut into many short groups: the k-th best of their maxima is reached by k scores at least, so nothing
    below it is among the k best. That reads the scores twice and sorts next to nothing.
    """
    maxima = _group_maxima(scores, k)
    nan = np.isnan(maxima).any(axis=1)  # a maximum passes NaN on
    if nan.any():
        raise BadInput(f"scores of query {first_row + int(nan.argmax())} hold NaN; check the model's input and weights")
    row, column = _reaching(scores, _border(maxima, k))
    return best_of_pairs(row, column, scores[row, column], k, len(scores))


def _group_maxima(scores: Floats, k: int) -> Floats:
    """Maxima of groups that share out the columns of each row, several for each of k results. Shape [b, groups]."""
    width = scores.shape[1]
    n_groups = min(width, max(_GROUPS_PER_RESULT * k, _FEWEST_GROUPS))
    if not n_groups:
        return scores
    size = width // n_groups
    maxima = scores[:, : size * n_groups].reshape(len(scores), size, n_groups).max(axis=1)
    rest = scores[:, size * n_groups :]
    np.maximum(maxima[:, : rest.shape[1]], rest, out=maxima[:, : rest.shape[1]])
    return np.asarray(maxima)


def _border(maxima: Floats, k: int) -> Floats:
    """A score that at least k of each row reach, -inf where there are not so many. Shape [b]."""
    n = maxima.shape[1]
    return np.partition(maxima, n - k, axis=1)[:, n - k] if k <= n else np.full(len(maxima), -np.inf, np.float32)


def _reaching(scores: Floats, border: Floats) -> tuple[Ids, Ids]:
    """Rows and columns of the scores that reach their row's border [b] and are not -inf. Shapes [P]."""
    border = np.maximum(border, np.finfo(np.float32).min).astype(np.float32)
    reached = np.flatnonzero(scores >= border[:, None])
    row = reached // max(1, scores.shape[1])
    return row, reached - row * scores.shape[1]


def _chosen_pairs(scores: Floats, lengths: Ids, k: int) -> Ids:
    """Numbers of the pairs that are among the k best of their list, ties by position. Shape [chosen]."""
    ends = np.cumsum(lengths)
    chosen = []
    for end, length in zip(ends, lengths, strict=True):
        own = scores[end - length : end]
        if length > k:
            border = np.partition(own, length - k)[length - k]
            better = np.flatnonzero(own > border)
            own_best = np.sort(np.concatenate([better, np.flatnonzero(own == border)[: k - len(better)]]))
        else:
            own_best = np.arange(length)
        chosen.append(own_best + end - length)
    return np.concatenate(chosen)


def _padded(items: Ids, scores: Floats, k: int) -> TopK:
    items = np.where(np.isneginf(scores), NO_ITEM, items).astype(np.int64)
    return TopK(items, scores.astype(np.float32)).padded(k)
