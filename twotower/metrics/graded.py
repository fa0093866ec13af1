"""NDCG with graded relevance: how much a hit is worth depends on its grade, e.g. view 1, save 2, contact 3."""

from typing import Literal

import numpy as np

from twotower.errors import BadConfig, BadInput
from twotower.metrics.ranking import PerUser, hit_matrix
from twotower.types import Array, Ragged, TopK

Gain = Literal["linear", "exponential"]


def graded_ndcg(topk: TopK, relevant: Ragged, grades: Ragged, k: int, gain: Gain = "linear") -> PerUser:
    """Σ gain / log2(rank + 1) over the first k, divided by that of the best order of the relevant items.

    Convention: "linear" takes the grade itself, as trec_eval; "exponential" takes 2^grade - 1, as Burges. With all
    grades 1 both are `ndcg`. A user without a positive grade is NaN.

    Args:
        topk: ranked lists. Shape [B, K].
        relevant: relevant items of each user.
        grades: of the relevant items, in the same order, not negative.
        k: the cut-off.
        gain: the variant.

    Raises:
        BadInput: grades that do not fit the relevant items, negative ones or NaN.
        BadConfig: k below 1, or an unknown variant.

    Source: Järvelin & Kekäläinen, ACM TOIS 2002 (linear); Burges et al., ICML 2005 (exponential).

    >>> from twotower.metrics.ranking import as_topk
    >>> topk, truth, grades = as_topk([[7, 9, 8]]), Ragged.from_lists([[8, 7]]), Ragged.from_lists([[3, 1]])
    >>> graded_ndcg(topk, truth, grades, 3)[0].round(4)  # (1 + 3/2) / (3 + 1/log2(3))
    np.float64(0.6885)
    >>> graded_ndcg(topk, truth, grades, 3, gain="exponential")[0].round(4)  # (1 + 7/2) / (7 + 1/log2(3))
    np.float64(0.5897)
    """
    _check(relevant, grades, k, gain)
    hits = hit_matrix(topk, relevant)  # also refuses repeats
    worth = grades.values.astype(np.float64)
    gains = Ragged(worth if gain == "linear" else 2.0**worth - 1, relevant.offsets)
    discount = 1 / np.log2(np.arange(2, k + 2))  # [k]
    shown = np.where(hits, _gain_of(topk, relevant, gains), 0.0)[:, :k]
    reached = shown @ discount[: shown.shape[1]]
    ideal = _best_first(gains, k) @ discount
    ndcg: PerUser = np.full(len(topk), np.nan)
    np.divide(reached, ideal, out=ndcg, where=ideal > 0)
    return ndcg


def _gain_of(topk: TopK, relevant: Ragged, gains: Ragged) -> Array:
    """The gain of each recommended item that is relevant; anything elsewhere. Shape [B, K]."""
    if not len(relevant.values):
        return np.zeros(topk.items.shape)
    span = 1 + max(int(topk.items.max(initial=0)), int(relevant.values.max()))
    keys = relevant.values + relevant.row_ids() * span
    order = np.argsort(keys)
    shown_keys = topk.items + np.arange(len(topk))[:, None] * span
    at = np.minimum(np.searchsorted(keys[order], shown_keys), len(keys) - 1)
    return np.asarray(gains.values[order[at]])


def _best_first(gains: Ragged, k: int) -> Array:
    """The k largest gains of every row, padded with 0. Shape [B, k]."""
    order = np.lexsort((-gains.values, gains.row_ids()))
    cut = np.minimum(gains.lengths, k)
    dense = np.zeros((len(gains), k))
    columns = np.arange(len(order)) - np.repeat(gains.offsets[:-1], gains.lengths)
    within = columns < k
    dense[np.arange(k) < cut[:, None]] = gains.values[order][within]
    return dense


def _check(relevant: Ragged, grades: Ragged, k: int, gain: str) -> None:
    if k < 1 or gain not in ("linear", "exponential"):
        raise BadConfig(f"ndcg: k={k} must be at least 1, gain={gain!r} linear or exponential")
    if not np.array_equal(relevant.offsets, grades.offsets):
        raise BadInput(f"ndcg: {len(grades.values)} grades of {len(relevant.values)} relevant items; give one per item")
    if len(grades.values) and not float(np.min(grades.values)) >= 0:
        raise BadInput("ndcg: grades must not be negative or NaN; shift them first")
