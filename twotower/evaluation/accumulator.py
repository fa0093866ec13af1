"""`Accumulator`: adds up an examination block by block, so that no more than one block of lists is ever held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.sparse import csr_array

from twotower.data.split import Holdout
from twotower.evaluation.ratio import Ratio, ratios_of_lists
from twotower.evaluation.shown import Shown
from twotower.metrics.graded import Gain, graded_ndcg
from twotower.metrics.groups import only_items
from twotower.metrics.metric import Metric
from twotower.metrics.ranking import PerUser, ranking_metrics
from twotower.types import Ids, Ragged, TopK

Key = TypeVar("Key")
GAINS: Mapping[str, Gain] = {"ndcg_linear": "linear", "ndcg_exp": "exponential"}
"""Metrics that are measured where targets have grades, and what a grade is worth."""


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
        metrics: e.g. ("map@10", "rmse"); graded ones cannot be measured for a part of the targets.
        features: encoded item features, rows of length 1, for the diversity of lists. Shape [N, F].
    """

    items: Slicing | None = None
    metrics: tuple[str, ...] = ()
    features: csr_array | None = None


class Accumulator:
    """Metrics of lists per user, shown items and slices of the blocks that were added.

    Args:
        holdout: what is asked.
        metrics: of lists, at least one.
        detail: what else to measure.
        shown: counts what lists hold, where several examinations are counted together; None: these lists alone.
    """

    def __init__(self, holdout: Holdout, metrics: Sequence[Metric], detail: Detail, shown: Shown | None = None) -> None:
        self.metrics, self.detail = tuple(metrics), detail
        self.ks = cut_offs(metrics)
        self._sliced_metrics = [m for m in map(Metric.parse, detail.metrics) if m.needs == "lists"]
        self._shown = shown or Shown(holdout.history.item_counts(), self.ks, detail.features)
        self._grades = holdout.grades() if any(metric.needs == "grades" for metric in metrics) else None
        self._per_user: list[dict[str, PerUser]] = []
        self._sliced: list[dict[tuple[str, str], PerUser]] = []
        self._done = 0

    def add(self, topk: TopK, relevant: Ragged) -> None:
        """Takes in the lists of the next users."""
        self._per_user.append(self._ranked(topk, relevant) | self._graded(topk, relevant))
        self._shown.add(topk)
        if self.detail.items is not None:
            self._sliced.append(self._slices(topk, relevant, self.detail.items))
        self._done += len(relevant)

    def per_user(self) -> dict[str, Ratio]:
        """Metric at k to its amounts by user."""
        return ratios_of_lists(_joined(self._per_user))

    def sliced(self) -> dict[str, dict[str, Ratio]]:
        """Group of items to metric to its amounts by user; users without a target in it have no say."""
        groups: dict[str, dict[str, Ratio]] = {}
        for (name, metric), values in _joined(self._sliced).items():
            groups.setdefault(name, {}).update(ratios_of_lists({metric: values}))
        return groups

    def catalogue(self) -> dict[str, float]:
        """Metrics of all lists together, at every k."""
        return self._shown.figures()

    def _ranked(self, topk: TopK, relevant: Ragged) -> dict[str, PerUser]:
        names = list(dict.fromkeys(metric.name for metric in self.metrics if metric.needs == "lists"))
        every = ranking_metrics(topk, relevant, self.ks, names) if names else {}
        return {str(metric): every[str(metric)] for metric in self.metrics if metric.needs == "lists"}

    def _graded(self, topk: TopK, relevant: Ragged) -> dict[str, PerUser]:
        if self._grades is None:
            return {}
        grades = self._grades.take(np.arange(self._done, self._done + len(relevant)))
        return {
            str(metric): graded_ndcg(topk, relevant, grades, metric.k or 0, GAINS[metric.name])
            for metric in self.metrics
            if metric.needs == "grades"
        }

    def _slices(self, topk: TopK, relevant: Ragged, items: Slicing) -> dict[tuple[str, str], PerUser]:
        values: dict[tuple[str, str], PerUser] = {}
        for group, name in enumerate(items.names):
            own = only_items(relevant, items.groups == group)
            for metric in self._sliced_metrics:
                k, key = metric.k or 0, str(metric)
                values[name, key] = ranking_metrics(topk.head(k), own, (k,), (metric.name,))[key]
        return values


def cut_offs(metrics: Sequence[Metric]) -> tuple[int, ...]:
    """The cut-offs of some metrics, rising."""
    return tuple(sorted({metric.k for metric in metrics if metric.k is not None}))


def _joined(parts: Sequence[Mapping[Key, PerUser]]) -> dict[Key, PerUser]:
    """Blocks one after the other."""
    return {key: np.concatenate([part[key] for part in parts]) for key in (parts[0] if parts else {})}
