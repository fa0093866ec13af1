"""Ranking metrics: pure functions of ranked lists and the relevant items, one value per user.

Conventions that all of them share:

- Relevance is binary. A list shorter than k counts its missing places as misses; `NO_ITEM` is never a hit.
- A user without relevant items has no defined value: the metric is NaN, and means are taken over the other users.
- The order of the list is the order; of equal scores the smaller id stands first, which `twotower.topk` sees to.
- An item that stands twice in a list or among the relevant ones is refused, because it would count twice.

`hit_matrix` does the only expensive step. `ranking_metrics` does it once for all metrics and cut-offs.

In the examples, hits are at ranks 1, 3 and 6 and five items are relevant.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from twotower.errors import BadConfig, BadInput
from twotower.types import NO_ITEM, Bools, Ids, Ragged, TopK

PerUser = NDArray[np.float64]
"""One value per user, NaN for users without relevant items. Shape [B]."""
Divisor = Literal["min", "rel"]


def average_precision(topk: TopK, relevant: Ragged, k: int, divisor: Divisor = "min") -> PerUser:
    """Mean of the precisions at the ranks of the hits.

    Convention: variant "min" divides by min(k, relevant items), so that a perfect list has 1 at every k; this is
    the `map@k[min]` of every report, "map@k" in code. Variant "rel", `map@k[rel]` or "map_rel@k", divides by the
    number of relevant items, as trec_eval does.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> average_precision(topk, truth, 3)[0].round(4)  # (1/1 + 2/3) / 3
    np.float64(0.5556)
    >>> average_precision(topk, truth, 3, divisor="rel")[0].round(4)  # (1/1 + 2/3) / 5
    np.float64(0.3333)
    >>> average_precision(topk, truth, 10)[0].round(4)  # (1/1 + 2/3 + 3/6) / 5
    np.float64(0.4333)
    """
    return _average_precision(hit_matrix(topk, relevant), relevant.lengths, k, divisor)


def precision(topk: TopK, relevant: Ragged, k: int) -> PerUser:
    """Hits among the first k, divided by k. Some papers print its mean as "MAP@k"; it is not average precision.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> float(precision(topk, truth, 10)[0])  # 3 / 10, though the list has six items
    0.3
    """
    return _precision(hit_matrix(topk, relevant), relevant.lengths, k)


def recall(topk: TopK, relevant: Ragged, k: int) -> PerUser:
    """Hits among the first k, divided by the number of relevant items (also where that is more than k).

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> float(recall(topk, truth, 3)[0])  # 2 / 5
    0.4
    """
    return _recall(hit_matrix(topk, relevant), relevant.lengths, k)


def f1(topk: TopK, relevant: Ragged, k: int) -> PerUser:
    """Harmonic mean of precision and recall at k; 0 without hits.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> float(f1(topk, truth, 3)[0])  # 2 * (2/3) * (2/5) / (2/3 + 2/5) = 2 * 2 / (3 + 5)
    0.5
    """
    return _f1(hit_matrix(topk, relevant), relevant.lengths, k)


def hit_rate(topk: TopK, relevant: Ragged, k: int) -> PerUser:
    """1 if any of the first k is relevant, else 0.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> float(hit_rate(topk, truth, 1)[0])
    1.0
    """
    return _hit_rate(hit_matrix(topk, relevant), relevant.lengths, k)


def reciprocal_rank(topk: TopK, relevant: Ragged, k: int) -> PerUser:
    """1 / rank of the first hit within the first k; 0 without one. Its mean is MRR@k.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> float(reciprocal_rank(topk, truth, 10)[0])
    1.0
    """
    return _reciprocal_rank(hit_matrix(topk, relevant), relevant.lengths, k)


def ndcg(topk: TopK, relevant: Ragged, k: int) -> PerUser:
    """Discounted gain Σ 1/log2(rank + 1) over the hits, divided by that of min(k, relevant items) hits at the top.

    Source: Järvelin & Kekäläinen, ACM TOIS 2002, with binary gains and the log2(rank + 1) discount.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> ndcg(topk, truth, 3)[0].round(4)  # (1 + 1/2) / (1 + 1/log2(3) + 1/2)
    np.float64(0.7039)
    """
    return _ndcg(hit_matrix(topk, relevant), relevant.lengths, k)


def ranking_metrics(
    topk: TopK, relevant: Ragged, ks: Sequence[int], names: Sequence[str] | None = None
) -> dict[str, PerUser]:
    """Every metric (or those named) at every cut-off, e.g. "map@10" and "ndcg@100"; hits are found once.

    >>> topk, truth = as_topk([[1, 90, 2, 91, 92, 3]]), Ragged.from_lists([[1, 2, 3, 4, 5]])
    >>> sorted(ranking_metrics(topk, truth, [5]))
    ['f1@5', 'hit_rate@5', 'map@5', 'map_rel@5', 'mrr@5', 'ndcg@5', 'precision@5', 'recall@5']
    """
    hits = hit_matrix(topk, relevant)
    return {f"{name}@{k}": METRICS[name](hits, relevant.lengths, k) for name in names or METRICS for k in ks}


def as_topk(rows: Sequence[Sequence[int]]) -> TopK:
    """Ranked lists without scores (of any lengths) as `TopK`; the scores are the negated ranks.

    >>> as_topk([[7, 3], [5]]).items.tolist()
    [[7, 3], [5, -1]]
    """
    lists = Ragged.from_lists(rows)
    items = lists.padded(int(lists.lengths.max(initial=0)))
    scores = np.where(items == NO_ITEM, -np.inf, -_ranks(items))
    return TopK(items, scores.astype(np.float32))


def hit_matrix(topk: TopK, relevant: Ragged) -> Bools:
    """Whether each recommended item is relevant to its user. Shape [B, K].

    Raises:
        BadInput: lists and truth have different numbers of users, or an item stands twice.
    """
    if len(topk) != len(relevant):
        raise BadInput(f"metrics: {len(topk)} lists but {len(relevant)} rows of relevant items; give one per user")
    span = 1 + max(int(topk.items.max(initial=0)), int(relevant.values.max(initial=0)))
    real = topk.items != NO_ITEM
    shown = topk.items + np.arange(len(topk))[:, None] * span  # [B, K], one key per user and item
    relevant_keys = relevant.values + relevant.row_ids() * span
    _refuse_repeats(shown[real], span, "a ranked list")
    _refuse_repeats(relevant_keys, span, "the relevant items")
    return np.asarray(np.isin(shown, relevant_keys, kind="sort") & real)


def _refuse_repeats(keys: Ids, span: int, where: str) -> None:
    ordered = np.sort(keys)
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        row, item = divmod(int(ordered[twice[0]]), span)
        raise BadInput(f"metrics: item {item} stands twice in {where} of row {row}; it would be counted twice")


def _average_precision(hits: Bools, n_relevant: Ids, k: int, divisor: Divisor = "min") -> PerUser:
    first = _first(hits, k)
    at_hits = np.where(first, np.cumsum(first, axis=1) / _ranks(first), 0.0)  # [B, <=k]
    return _ratio(at_hits.sum(axis=1), np.minimum(k, n_relevant) if divisor == "min" else n_relevant)


def _precision(hits: Bools, n_relevant: Ids, k: int) -> PerUser:
    return np.where(n_relevant > 0, _first(hits, k).sum(axis=1) / k, np.nan)


def _recall(hits: Bools, n_relevant: Ids, k: int) -> PerUser:
    return _ratio(_first(hits, k).sum(axis=1), n_relevant)


def _f1(hits: Bools, n_relevant: Ids, k: int) -> PerUser:
    doubled = 2 * _first(hits, k).sum(axis=1)  # 2PR / (P + R) = 2 * hits / (k + relevant)
    return np.where(n_relevant > 0, doubled / (k + n_relevant), np.nan)


def _hit_rate(hits: Bools, n_relevant: Ids, k: int) -> PerUser:
    return np.where(n_relevant > 0, _first(hits, k).any(axis=1), np.nan)


def _reciprocal_rank(hits: Bools, n_relevant: Ids, k: int) -> PerUser:
    first = _first(hits, k)
    best = np.max(first / _ranks(first), axis=1, initial=0.0)
    return np.where(n_relevant > 0, best, np.nan)


def _ndcg(hits: Bools, n_relevant: Ids, k: int) -> PerUser:
    first = _first(hits, k)
    gain = (first / np.log2(_ranks(first) + 1)).sum(axis=1)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])
    return _ratio(gain, ideal[np.minimum(k, n_relevant)])


METRICS: Mapping[str, Callable[[Bools, Ids, int], PerUser]] = {
    "map": _average_precision,
    "precision": _precision,
    "recall": _recall,
    "ndcg": _ndcg,
    "mrr": _reciprocal_rank,
    "hit_rate": _hit_rate,
    "f1": _f1,
    "map_rel": partial(_average_precision, divisor="rel"),
}
"""Report name to metric of (hits [B, K], relevant items per user [B], k)."""


def _first(hits: Bools, k: int) -> Bools:
    if k < 1:
        raise BadConfig(f"metrics: k={k} must be at least 1")
    return hits[:, :k]


def _ranks(lists: Bools | Ids) -> Ids:
    return np.arange(1, lists.shape[1] + 1)


def _ratio(numerator: NDArray[np.float64] | Ids, denominator: NDArray[np.float64] | Ids) -> PerUser:
    """Quotient, NaN where the denominator is 0."""
    quotient: PerUser = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
