"""`Watch`: what early stopping asks of a model after every epoch: a metric of lists or of values, on validation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.errors import BadConfig, BadInput
from twotower.metrics.metric import VALUE_METRICS, Metric
from twotower.metrics.ranking import ranking_metrics
from twotower.metrics.rating import auc_per_user, log_loss, mae, refuse_other_than_0_and_1, rmse
from twotower.protocols import PairPredictor, Recommender
from twotower.types import Array, Ids, Queries, Ragged

WATCHED_USERS, WATCHED_PAIRS = 5_000, 4_000_000_000
"""Validation users, at most, whose lists decide when to stop; in large catalogues fewer, by user-item pairs."""


def _aucs(truth: Array, predicted: Array, users: Ids) -> Array:
    """AUC of each user, NaN without both outcomes. Shape [B]."""
    return auc_per_user(truth, predicted, np.unique(users, return_inverse=True)[1])


_FIGURES: Mapping[str, Callable[[Array, Array, Ids], float]] = {
    "rmse": lambda truth, predicted, users: rmse(truth, predicted),
    "mae": lambda truth, predicted, users: mae(truth, predicted),
    "log_loss": lambda truth, predicted, users: log_loss(truth, predicted),
    "auc": lambda truth, predicted, users: float(np.nanmean(_aucs(truth, predicted, users))),
}
"""Metric of predicted values, of truth, prediction and user of pairs [P]; AUC is the mean over users, as in reports."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The figure by which a training chooses its best epoch.

    Attributes:
        metric: which, such as map@10 or rmse; it says whether higher or lower is better.
        examine: works it out for the weights as they are.
    """

    metric: Metric
    examine: Callable[[], float]

    def better(self, figure: float, best: float | None) -> bool:
        """Whether a figure is better than the best one before it; the first always is.

        >>> Watch(Metric("rmse"), float).better(0.91, 0.92), Watch(Metric("map", 10), float).better(0.1, 0.1)
        (True, False)
        """
        if best is None:
            return True
        return self.metric.sign * figure > self.metric.sign * best


def watch_lists(model: Recommender, split: Split, metric: str, seed: int) -> Watch:
    """Watches the lists that a model makes for a seeded sample of the validation users.

    Raises:
        BadConfig: there is no such metric, or it is not one of lists.
    """
    parsed = Metric.parse(metric)
    if parsed.k is None or parsed.needs != "lists":
        kind = f"one of {parsed.needs}"
        raise BadConfig(f"metric={metric!r} is {kind}, but {type(model).__name__} makes lists; use e.g. map@10")
    k, (queries, relevant) = parsed.k, watched_users(split, seed)

    def examine() -> float:
        per_user = ranking_metrics(model.recommend(queries, k), relevant, [k], [parsed.name])
        return float(np.nanmean(per_user[str(parsed)]))

    return Watch(parsed, examine)


def watch_values(model: PairPredictor, split: Split, metric: str) -> Watch:
    """Watches the values that a model predicts for the validation pairs, each at its moment.

    Raises:
        BadConfig: there is no such metric, or it is one of lists.
        BadInput: a value is neither 0 nor 1, and the metric is of such.
    """
    parsed = Metric.parse(metric)
    if parsed.of_lists:
        raise BadConfig(f"metric={metric!r} is one of lists; of values there are {', '.join(VALUE_METRICS)}")
    target: Interactions = split.validation.target
    truth = target.value.astype(np.float64)
    users, items = target.user.astype(np.int64), target.item.astype(np.int64)
    if parsed.needs == "outcomes":
        refuse_other_than_0_and_1(truth)
    if parsed.name == "auc" and np.isnan(_aucs(truth, truth, users)).all():
        raise BadInput("metric='auc': no validation user has both a 0 and a 1; watch log_loss")
    figure = _FIGURES[parsed.name]
    return Watch(parsed, lambda: figure(truth, model.predict(users, items, target.time), users))


def watched_users(split: Split, seed: int) -> tuple[Queries, Ragged]:
    """Validation queries and their targets, a seeded sample of them if there are many."""
    queries, relevant = split.validation.queries(), split.validation.relevant()
    most = min(WATCHED_USERS, max(1, WATCHED_PAIRS // split.train.n_items))
    if len(queries) <= most:
        return queries, relevant
    rows = np.sort(np.random.default_rng(seed).choice(len(queries), most, replace=False))
    return queries.take(rows), relevant.take(rows)
