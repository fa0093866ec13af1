"""Interactions and histories as sparse matrices: the form in which neighbourhood and factor models read them."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from twotower.data.interactions import Interactions
from twotower.types import Array, Bools, Floats, Queries, Ragged

Sparse = sparse.csr_array[Any, tuple[int, int]]
"""A sparse matrix by rows."""

MAX_CELLS_PER_BLOCK = 20_000_000
"""Multiplications done at once by a blockwise sparse product: about 240 MB of its result."""


def pair_matrix(events: Interactions) -> Sparse:
    """How often each user touched each item. float32. Shape [U, N]."""
    pairs = (np.ones(len(events), np.float32), (events.user, events.item))
    return sparse.coo_array(pairs, shape=(events.n_users, events.n_items)).tocsr()


def history_matrix(histories: Ragged, n_items: int, weights: Array | None = None) -> Sparse:
    """Histories in the same form as `pair_matrix`; unknown items (negative ids) are left out.

    Args:
        histories: item ids. B rows.
        n_items: size of the catalogue.
        weights: worth of every history entry; 1 when None. Shape [len(histories.values)].

    Returns:
        float32. Shape [B, N].
    """
    known = histories.values >= 0
    values = np.ones(len(known), np.float32) if weights is None else weights.astype(np.float32)
    entries = (values[known], (histories.row_ids()[known], histories.values[known]))
    return sparse.coo_array(entries, shape=(len(histories), n_items)).tocsr()


def popularity(events: Interactions) -> Floats:
    """Distinct users of every item. Shape [N]."""
    return np.bincount(events.unique_pairs().item, minlength=events.n_items).astype(np.float32)


def with_fallback(scores: Floats, fallback: Floats, rows: Bools) -> Floats:
    """`scores` [B, N] whose chosen rows are replaced by the fallback [N] (queries that say nothing of the user)."""
    scores[rows] = fallback
    return scores


def has_any(queries: Queries) -> Bools:
    """Queries whose history holds at least one known item. Shape [B]."""
    h = queries.histories
    return np.bincount(h.row_ids()[h.values >= 0], minlength=len(h)) > 0


def all_zero(vectors: Floats) -> Bools:
    """Rows that are 0 throughout: entities of whom a model knows nothing. Shape [n]."""
    return np.asarray(~vectors.any(axis=1))


def row_blocks(work: Array, limit: int = MAX_CELLS_PER_BLOCK) -> list[slice]:
    """Cuts rows into consecutive blocks whose summed work stays below a limit (a single row may exceed it).

    Args:
        work: multiplications that each row costs. Shape [n].
        limit: highest sum of a block.
    """
    total = np.concatenate([[0], np.cumsum(work, dtype=np.int64)])
    edges = [0]
    while edges[-1] < len(work):
        fits = int(np.searchsorted(total, total[edges[-1]] + limit, side="right")) - 1
        edges.append(max(fits, edges[-1] + 1))
    return [slice(a, b) for a, b in pairwise(edges)]


def largest_per_row(matrix: Sparse, n: int) -> Sparse:
    """The n largest positive entries of every row, ties by column. float32. Same shape.

    Row and value go into one integer, because sorting one key is ten times faster than sorting by two columns: the bits
    of positive floats rise with the floats.
    """
    matrix.sort_indices()
    row = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    positive = matrix.data > 0
    row, column, value = row[positive], matrix.indices[positive], matrix.data[positive].astype(np.float32)
    order = np.argsort(row << 32 | (0xFFFFFFFF ^ value.view(np.uint32).astype(np.int64)), kind="stable")
    first = np.searchsorted(row, np.arange(matrix.shape[0]))
    kept = order[np.arange(len(row)) - first[row] < n]  # `row` is sorted, so place i of `order` lies in row[i]
    return sparse.coo_array((value[kept], (row[kept], column[kept])), shape=matrix.shape).tocsr()


def products(users: Floats, items: Floats) -> Floats:
    """Inner products of all users [B, D] and all items [N, D], the same for a user alone and among others. [B, N].

    Worked out in float64: a matrix product sums in another order for every block size, which in float32 reorders items
    of nearly equal scores; the last bits of float64 are gone when the result is rounded.
    """
    return np.asarray(users.astype(np.float64) @ items.astype(np.float64).T, np.float32)
