"""Catalogue-level metrics: what a recommender shows to all users together, not how right it is for each."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

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


def popularity_bias(shown: Array, popularity: Array) -> float:
    """Mean popularity of what is recommended, over the mean popularity of what was interacted with in training.

    Convention: the popularity of an item is its number of training events; above 1 the lists are more popular than
    the log that they learnt from, below 1 less. NaN if nothing is shown or nothing was learnt.

    Source: average recommendation popularity as in Yin et al., VLDB 2012, relative to the users' own (Abdollahpouri et
    al., RecSys 2019), all users together.

    >>> round(popularity_bias(np.array([4, 0]), np.array([3, 1])), 4)  # 3 / ((3*3 + 1*1) / 4)
    1.2
    """
    _refuse_empty(shown)
    if len(shown) != len(popularity):
        raise BadInput(f"popularity: {len(shown)} items shown but counts of {len(popularity)}; give one per item")
    counts = popularity.astype(np.float64)
    if not shown.sum() or not counts.sum():
        return float("nan")
    return float((shown @ counts / shown.sum()) / (counts @ counts / counts.sum()))


def intra_list_diversity(topk: TopK, vectors: Array | csr_array, k: int) -> NDArray[np.float64]:
    """Mean cosine distance (0..2) of the pairs within the first k of each list.

    Convention: a zero vector has distance 1 from everything; a list of fewer than two items is NaN.

    Args:
        topk: ranked lists. Shape [B, K].
        vectors: of the items, dense or sparse, e.g. encoded features; not those of the model under examination.
            Shape [N, D].
        k: the cut-off.

    Source: Ziegler et al., WWW 2005, with cosine distance.

    >>> from twotower.metrics.ranking import as_topk
    >>> intra_list_diversity(as_topk([[0, 1, 2]]), np.array([[1, 0], [1, 0], [0, 1]]), 3).round(4).tolist()  # 0, 1, 1
    [0.6667]
    """
    return diversity_of_units(topk, unit_rows(vectors), k)


def unit_rows(vectors: Array | csr_array) -> csr_array:
    """Rows of length 1; a row of zeros stays one. Shape [N, D]."""
    rows: csr_array = csr_array(vectors).astype(np.float64)
    norms = np.sqrt(_square_sums(rows))
    inverse = np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0)
    units = csr_array(rows.multiply(inverse[:, None]))
    units.eliminate_zeros()
    return units


def diversity_of_units(topk: TopK, units: csr_array, k: int) -> NDArray[np.float64]:
    """`intra_list_diversity` of rows that `unit_rows` made once for many lists. Shape [B]."""
    items = topk.items[:, :k]
    real = items != NO_ITEM
    n = real.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(n)])
    listed = csr_array((np.ones(int(n.sum())), items[real], offsets), shape=(len(topk), units.shape[0]))  # [B, N]
    sums: csr_array = csr_array((listed @ units).tocsr())  # [B, D]
    known = listed @ (np.diff(units.indptr) > 0)  # zero vectors have no length to be taken off
    # |Σ u|² = Σ |u|² + 2 Σ of the pairs' cosines
    cosines = (_square_sums(sums) - known) / 2
    pairs = n * (n - 1) / 2
    mean: NDArray[np.float64] = np.full(len(topk), np.nan)
    np.divide(pairs - cosines, pairs, out=mean, where=pairs > 0)
    return mean


def _square_sums(rows: csr_array) -> NDArray[np.float64]:
    """Sum of the squares of every row. Shape [B]."""
    row_ids = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    return np.asarray(np.bincount(row_ids, rows.data**2, minlength=rows.shape[0]), np.float64)


def _refuse_empty(shown: Array) -> None:
    if not len(shown):
        raise BadInput("catalogue metrics: the catalogue is empty")
