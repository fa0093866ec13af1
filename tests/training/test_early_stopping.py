"""`Watch`: each metric against the figure worked out beside it, which way is better, and what cannot be watched."""

import numpy as np
import pytest

from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.errors import BadConfig, BadInput
from twotower.metrics.metric import VALUE_METRICS, Metric
from twotower.metrics.ranking import METRICS, ranking_metrics
from twotower.models.popular import Popular
from twotower.training.early_stopping import Watch, watch_lists, watch_values


class Says:
    """A `PairPredictor` that predicts fixed numbers."""

    def __init__(self, *values: float) -> None:
        self.values = np.array(values, np.float32)

    def predict(self, users, items, at=None):
        return self.values


def asked(split: Split, value: list[float], user: list[int] | None = None) -> Split:
    """The split with these values to foresee in validation, of new pairs of users 0, 0, 1, 1, …"""
    user = user or [n // 2 for n in range(len(value))]
    known, pairs = set(split.train.pair_keys().tolist()), []
    for u in user:
        item = next(i for i in range(40) if u * 40 + i not in known)
        known.add(u * 40 + item)
        pairs.append(item)
    target = Interactions.of(user, pairs, [10_000] * len(user), value=value, n_users=60, n_items=40)
    holdout = Holdout(split.train, target, 5000)
    return Split(split.dataset, split.train, holdout, holdout, "asked", ordered_by_time=False)


@pytest.mark.parametrize("metric", [f"{name}@{k}" for name in METRICS for k in (3, 10)])
def test_a_metric_of_lists_is_its_mean_over_the_validation_users(split, metric):
    model, (name, k) = Popular().fit(split), metric.split("@")
    top = model.recommend(split.validation.queries(), int(k))
    expected = ranking_metrics(top, split.validation.relevant(), [int(k)], [name])[metric].mean()
    watch = watch_lists(model, split, metric, seed=0)
    assert (str(watch.metric), watch.examine()) == (metric, pytest.approx(expected))


@pytest.mark.parametrize(
    ("metric", "truth", "predicted", "expected"),
    [("rmse", [1, 5], [2, 3], np.sqrt((1 + 4) / 2)), ("mae", [1, 5], [2, 3], (1 + 2) / 2),
     ("log_loss", [1, 0], [0.5, 0.75], (np.log(2) + np.log(4)) / 2),
     ("auc", [1, 0, 0, 1, 1, 1], [0.9, 0.1, 0.8, 0.3, 0.5, 0.6], (1 + 0) / 2)],
)  # fmt: skip
def test_a_metric_of_values_is_that_of_the_validation_pairs(split, metric, truth, predicted, expected):
    """AUC: of user 0 the liked one is above, of user 1 below, user 2 has no disliked one."""
    watch = watch_values(Says(*predicted), asked(split, truth), metric)
    assert watch.examine() == pytest.approx(expected)


def test_lower_is_better_of_errors_and_higher_of_everything_else():
    lower = {"rmse", "mae", "log_loss"}
    for metric in [*map(Metric, VALUE_METRICS), *(Metric(name, 10) for name in METRICS)]:
        watch = Watch(metric, float)
        assert watch.better(0.4, 0.5) == (metric.name in lower)
        assert watch.better(0.5, 0.4) == (metric.name not in lower)
        assert not watch.better(0.5, 0.5)
        assert watch.better(0.5, None)


@pytest.mark.parametrize("metric", ["map", "map@0", "map@ten", "rmse@10", "accuracy", ""])
def test_what_is_no_metric_is_refused(split, metric):
    with pytest.raises(BadConfig, match="metric"):
        watch_lists(Popular(), split, metric, 0)


def test_lists_are_not_watched_by_a_metric_of_values_nor_the_other_way_round(split):
    with pytest.raises(BadConfig, match="metric='rmse' is one of values, but Popular makes lists"):
        watch_lists(Popular(), split, "rmse", 0)
    with pytest.raises(BadConfig, match="metric='ndcg_exp@10' is one of grades, but Popular makes lists"):
        watch_lists(Popular(), split, "ndcg_exp@10", 0)
    with pytest.raises(BadConfig, match="metric='map@10' is one of lists"):
        watch_values(Says(), split, "map@10")


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_ratings_are_no_outcomes(split, metric):
    with pytest.raises(BadInput, match=r"outcome 3\.0 must be 0 or 1; binarise ratings first"):
        watch_values(Says(), asked(split, [1, 3]), metric)


def test_auc_needs_a_user_with_both_outcomes(split):
    with pytest.raises(BadInput, match="no validation user has both a 0 and a 1; watch log_loss"):
        watch_values(Says(), asked(split, [1, 1, 0, 0]), "auc")
