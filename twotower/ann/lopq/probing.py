"""`best_of_cells`: the best items over the probed cells, without fetching a whole list from each of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from twotower.topk import best_of
from twotower.types import NO_ITEM, Floats, Ids, TopK

Scan = Callable[[Ids, int], TopK]
"""Given numbers of pairs of a query and a cell [P] and k: the k best of each pair's cell, padded. Shape [P, k]."""
_FEW = 20
"""Least items taken of a cell at first; up to 20, faiss keeps a cheaper heap."""
_SHARE = 4
"""How many times an equal share of k is taken of each cell at first; 4 to 8 were fastest at 1 million items."""


def best_of_cells(scan: Scan, common: Floats, k: int, largest: int) -> TopK:
    """The k best items over all cells of each query.

    First a few are taken of every cell; then k of those cells whose last taken item is still among the k best so far,
    since no other cell can hold more of them. The answer is the one that k of every cell would give.

    Args:
        scan: looks into the cells of numbered pairs; pair number b·P + p is cell p of query b.
        common: added to all scores of a pair. Shape [B, P].
        k: wanted items.
        largest: items of the largest cell.

    Returns:
        `TopK` [B, k], ties by id, padded where the cells hold fewer.
    """
    n_queries, n_cells = common.shape
    few, most = min(max(_FEW, _SHARE * k // n_cells), k, largest), min(k, largest)
    taken = scan(np.arange(common.size), few)
    items = taken.items.reshape(n_queries, n_cells, few)
    scores = taken.scores.reshape(n_queries, n_cells, few) + common[:, :, None]
    if few < most:
        hiding = _may_hold_more(scores, k)
        more = scan(np.flatnonzero(hiding), most)
        scores[hiding] = -np.inf
        items = np.concatenate([_rows(items), _rows(_scattered(more.items, hiding, NO_ITEM))], axis=1)
        further = _scattered(more.scores + common[hiding][:, None], hiding, -np.inf)
        scores = np.concatenate([_rows(scores), _rows(further)], axis=1)
    return best_of(_rows(items), _rows(scores), k)


def _may_hold_more(scores: Floats, k: int) -> Any:
    """Which cells are not exhausted and end above the k-th best of all. Shape [B, P, few] -> bool [B, P]."""
    last, flat = scores[:, :, -1], _rows(scores)
    if flat.shape[1] < k:
        return ~np.isneginf(last)
    border = np.partition(flat, flat.shape[1] - k, axis=1)[:, flat.shape[1] - k]
    return (last >= border[:, None]) & ~np.isneginf(last)


def _scattered(values: Any, marked: Any, fill: float) -> Any:
    """Rows of values, one for each mark [B, P], side by side by query. Shape [marks, n] -> [B, most of a query, n]."""
    slots = np.full((len(marked), int(marked.sum(axis=1).max(initial=0)), values.shape[1]), fill, values.dtype)
    slots[np.nonzero(marked)[0], np.cumsum(marked, axis=1)[marked] - 1] = values
    return slots


def _rows(values: Any) -> Any:
    """Shape [B, ...] -> [B, C]."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))
