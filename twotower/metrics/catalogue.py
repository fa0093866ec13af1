"""Catalogue-level metrics: what a recommender shows to all users together, not how right it is for each."""

import numpy as np

from twotower.errors import BadInput
from twotower.types import NO_ITEM, Array, Ids, TopK


def shown_counts(topk: TopK, n_items: int) -> Ids:
    """How often each item is recommended. Shape [N]; counts of blocks can be added up."""
    return np.bincount(topk.items[topk.items != NO_ITEM], minlength=n_items)


def coverage(shown: Array) -> float:
    """Share of the catalogue that is recommended to anybody.

    >>> coverage(np.array([3, 0, 1, 0]))  # 2 of 4 items
    0.5
    """
    _refuse_empty(shown)
    return float(np.count_nonzero(shown) / len(shown))


def gini(shown: Array) -> float:
    """Inequality of exposure over the catalogue: 0 is the same for all items, towards 1 is all for one.

    Convention: G = Σ (2i - N - 1) x_i / (N Σ x), x rising, i from 1; 0 if nothing is shown.

    >>> gini(np.array([0, 0, 0, 8]))  # (2*4 - 4 - 1) * 8 / (4 * 8)
    0.75
    """
    _refuse_empty(shown)
    rising = np.sort(shown).astype(np.float64)
    total = rising.sum()
    weights = 2 * np.arange(1, len(rising) + 1) - len(rising) - 1
    return float((weights * rising).sum() / (len(rising) * total)) if total else 0.0


def novelty(shown: Array, popularity: Array) -> float:
    """Mean surprise of a recommended item: -log2 of its share of the training events, in bits.

    Convention: counts are smoothed by one, so that an item without training events is finite; NaN if nothing is shown.

    Source: Vargas & Castells, RecSys 2011, equation 3 (mean self-information), rank-blind.

    >>> round(novelty(np.array([1, 1]), np.array([2, 0])), 4)  # (-log2(3/4) - log2(1/4)) / 2 = (0.4150 + 2) / 2
    1.2075
    """
    _refuse_empty(shown)
    if len(shown) != len(popularity):
        raise BadInput(f"novelty: {len(shown)} items shown but popularity of {len(popularity)}; give one per item")
    smoothed = popularity.astype(np.float64) + 1
    bits = -np.log2(smoothed / smoothed.sum())
    return float((shown * bits).sum() / shown.sum()) if shown.sum() else float("nan")


def _refuse_empty(shown: Array) -> None:
    if not len(shown):
        raise BadInput("catalogue metrics: the catalogue is empty")
