"""`Accumulator`: adds up an examination block by block, so that no more than one block of lists is ever held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.sparse import csr_array

from twotower.data.split import Holdout
from twotower.metrics.catalogue import (
    coverage,
    diversity_of_units,
    gini,
    novelty,
    popularity_bias,
    shown_counts,
)
from twotower.metrics.graded import Gain, graded_ndcg
from twotower.metrics.groups import only_items
from twotower.metrics.ranking import METRICS, PerUser, ranking_metrics
from twotower.types import Ids, Ragged, TopK

Key = TypeVar("Key")
GRADED: Mapping[str, Gain] = {"ndcg_linear": "linear", "ndcg_exp": "exponential"}
"""Metrics that are measured where targets have grades."""
HIGHEST_GRADE = 10.0
"""Values above it are amounts (plays, seconds), whose exponential gain would be absurd."""


@dataclass(frozen=True, slots=True, eq=False)
class Slicing:
    """The group of every user asked, or of every item of the catalogue, and the groups' names."""

    groups: Ids
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What is measured beyond metrics of whole lists.

    Attributes:
        items: groups of items; the metrics below are measured for the targets of each.
        metrics: e.g. ("map@10", "recall@10").
        features: encoded item features, rows of length 1, for the diversity of lists. Shape [N, F].
    """

    items: Slicing | None = None
    metrics: tuple[str, ...] = ()
    features: csr_array | None = None


class Accumulator:
    """Metrics per user, shown items and slices of the blocks that were added."""

    def __init__(self, holdout: Holdout, ks: Sequence[int], detail: Detail) -> None:
        self.ks, self.detail = tuple(ks), detail
        self._popularity = holdout.history.item_counts()
        self._grades = holdout.grades() if has_grades(holdout) else None
        self._shown = {k: np.zeros(holdout.target.n_items, np.int64) for k in ks}
        self._apart = dict.fromkeys(ks, (0.0, 0))
        self._found: list[dict[str, PerUser]] = []
        self._sliced: list[dict[tuple[str, str], PerUser]] = []
        self._done = 0

    def add(self, topk: TopK, relevant: Ragged) -> None:
        """Takes in the lists of the next users."""
        self._found.append(ranking_metrics(topk, relevant, self.ks) | self._graded(topk, relevant))
        for k in self.ks:
            self._shown[k] += shown_counts(topk.head(k), len(self._popularity))
            if self.detail.features is not None:
                self._add_diversity(diversity_of_units(topk, self.detail.features, k), k)
        if self.detail.items is not None:
            self._sliced.append(self._slices(topk, relevant, self.detail.items))
        self._done += len(relevant)

    def per_user(self) -> dict[str, PerUser]:
        """Metric at k to one value per user, read-only."""
        return _joined(self._found)

    def sliced(self) -> dict[str, dict[str, PerUser]]:
        """Group of items to metric to one value per user, NaN for users without a target in it."""
        found: dict[str, dict[str, PerUser]] = {}
        for (name, metric), values in _joined(self._sliced).items():
            found.setdefault(name, {})[metric] = values
        return found

    def catalogue(self) -> dict[str, float]:
        """Metrics of all lists together, at every k."""
        shown = self._shown.items()
        found = {f"coverage@{k}": coverage(counts) for k, counts in shown}
        found |= {f"gini@{k}": gini(counts) for k, counts in shown}
        found |= {f"novelty@{k}": novelty(counts, self._popularity) for k, counts in shown}
        found |= {f"popularity_bias@{k}": popularity_bias(counts, self._popularity) for k, counts in shown}
        if self.detail.features is not None:
            found |= {f"diversity@{k}": total / n if n else float("nan") for k, (total, n) in self._apart.items()}
        return found

    def _graded(self, topk: TopK, relevant: Ragged) -> dict[str, PerUser]:
        if self._grades is None:
            return {}
        grades = self._grades.take(np.arange(self._done, self._done + len(relevant)))
        return {
            f"{name}@{k}": graded_ndcg(topk, relevant, grades, k, gain)
            for name, gain in GRADED.items()
            for k in self.ks
        }

    def _add_diversity(self, values: PerUser, k: int) -> None:
        known = values[~np.isnan(values)]
        total, n = self._apart[k]
        self._apart[k] = total + float(known.sum()), n + len(known)

    def _slices(self, topk: TopK, relevant: Ragged, items: Slicing) -> dict[tuple[str, str], PerUser]:
        found: dict[tuple[str, str], PerUser] = {}
        for group, name in enumerate(items.names):
            kept = only_items(relevant, items.groups == group)
            for metric in self.detail.metrics:
                what, _, k = metric.partition("@")
                found[name, metric] = ranking_metrics(topk.head(int(k)), kept, (int(k),), (what,))[metric]
        return found


def has_grades(holdout: Holdout) -> bool:
    """Whether the targets' values are grades: not all the same, above 0, at most `HIGHEST_GRADE`."""
    values = holdout.target.value
    return bool(len(values) and 0 < values.min() < values.max() <= HIGHEST_GRADE)


def sliceable(metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics that can be measured for a part of the targets, each once."""
    return tuple(dict.fromkeys(metric for metric in metrics if metric.partition("@")[0] in METRICS))


def _joined(parts: Sequence[Mapping[Key, PerUser]]) -> dict[Key, PerUser]:
    """Blocks one after the other, read-only."""
    joined = {key: np.concatenate([part[key] for part in parts]) for key in (parts[0] if parts else {})}
    for values in joined.values():
        values.setflags(write=False)
    return joined
