"""How one list scores under the definitions that libraries and papers give the same names.

Each definition is a formula over (hits of the first k, relevant items, k), with the place where it is defined. A sum of
precisions is Σ over hits of (hits up to the rank / rank), within the first k.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twotower.errors import BadInput
from twotower.metrics.labels import metric_label
from twotower.metrics.ranking import METRICS
from twotower.types import Bools


@dataclass(frozen=True, slots=True)
class Definition:
    """One library's metric.

    Attributes:
        library: who calls it so.
        name: what they call it.
        same_as: our label of the same formula, or a dash.
        formula: in words.
        value: of (hits of one list, relevant items, k).
    """

    library: str
    name: str
    same_as: str
    formula: str
    value: Callable[[Bools, int, int], float]


def hits_at(ranks: Sequence[int], length: int) -> Bools:
    """A list of `length` places with hits at the given ranks, from 1.

    Raises:
        BadInput: a rank outside the list, or twice.

    >>> hits_at([1, 3], 4).tolist()
    [True, False, True, False]
    """
    if len(set(ranks)) < len(ranks) or any(not 1 <= rank <= length for rank in ranks):
        raise BadInput(f"hits at ranks {list(ranks)} must be different and lie within 1 and the length {length}")
    return np.isin(np.arange(1, length + 1), ranks)


def scores(hits: Bools, n_relevant: int, ks: Sequence[int]) -> list[tuple[Definition, list[float]]]:
    """The value of every definition at every cut-off.

    Args:
        hits: of one list. Shape [K].
        n_relevant: relevant items, at least as many as hits.
        ks: the cut-offs.

    Raises:
        BadInput: fewer relevant items than hits, or none.

    >>> found = {f"{d.library} {d.name}": values for d, values in scores(hits_at([1, 3, 6], 6), 5, [3])}
    >>> [round(found[name][0], 4) for name in ("Spark meanAveragePrecisionAt(k)", "ranx map@k")]
    [0.5556, 0.3333]
    """
    if n_relevant < max(1, int(hits.sum())):
        raise BadInput(f"{int(hits.sum())} hits need at least so many relevant items, and one; got {n_relevant}")
    return [(d, [d.value(hits, n_relevant, k) for k in ks]) for d in (*_ours(), *OTHERS)]


def _ours() -> list[Definition]:
    names = ("map", "map_rel", "precision", "recall", "ndcg")
    return [Definition("twotower", metric_label(name), metric_label(name), FORMULAS[name], _of(name)) for name in names]


def _of(name: str) -> Callable[[Bools, int, int], float]:
    return lambda hits, n_relevant, k: float(METRICS[name](hits[None, :], np.array([n_relevant]), k)[0])


def _over_hits(hits: Bools, n_relevant: int, k: int) -> float:
    n_hits = int(hits[:k].sum())
    return _of("map_rel")(hits, n_relevant, k) * n_relevant / n_hits if n_hits else 0.0


def _over_reachable(hits: Bools, n_relevant: int, k: int) -> float:
    return float(hits[:k].sum() / min(k, n_relevant))


FORMULAS: Mapping[str, str] = {
    "map": "sum of precisions / min(k, relevant)",
    "map_rel": "sum of precisions / relevant",
    "precision": "hits / k",
    "recall": "hits / relevant",
    "ndcg": "log2 discount, ideal of min(k, relevant) hits",
}
OTHERS: tuple[Definition, ...] = (
    Definition("trec_eval, ir-measures", "map_cut.k, AP@k", "map@k[rel]", FORMULAS["map_rel"], _of("map_rel")),
    Definition("ranx", "map@k", "map@k[rel]", FORMULAS["map_rel"], _of("map_rel")),
    Definition("Spark", "meanAveragePrecisionAt(k)", "map@k[min]", FORMULAS["map"], _of("map")),
    Definition("implicit", "mean_average_precision_at_k", "map@k[min]", FORMULAS["map"], _of("map")),
    Definition("RecBole", "MAP@k", "map@k[min]", FORMULAS["map"], _of("map")),
    Definition("torchmetrics", "RetrievalMAP", "–", "sum of precisions / hits within k", _over_hits),
    Definition("reference paper", "MAP@k", "precision@k", FORMULAS["precision"], _of("precision")),
    Definition("implicit", "precision_at_k", "–", "hits / min(k, relevant)", _over_reachable),
    Definition("implicit", "ndcg_at_k", "ndcg@k", FORMULAS["ndcg"], _of("ndcg")),
)
"""Read off their sources: RankingMetrics.scala (Spark 3), evaluation.pyx (implicit), metrics.py (RecBole),
retrieval_average_precision (torchmetrics); those of trec_eval and ranx are held by tests."""
