"""The examination of rating models: figures by hand, intervals over users, paired tests, refusals."""

import numpy as np
import pytest

from twotower.data.interactions import Interactions
from twotower.data.split import Holdout
from twotower.data.splitters import RandomSplit
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.paired import Draws
from twotower.evaluation.ratings import compare_ratings, evaluate_ratings, rating_table
from twotower.metrics.rating import auc_per_user, log_loss, mae, rmse
from twotower.protocols import RatingModel

DRAWS = Draws(resamples=300, seed=2)


class Means:
    """Predicts the mean of train, or the item's mean drawn towards it."""

    def __init__(self, *, by_item: bool, scale: float = 1.0) -> None:
        self.by_item, self.scale = by_item, scale

    def fit(self, split):
        log = split.train
        mean = log.value.mean()
        sums = np.bincount(log.item, log.value - mean, minlength=log.n_items)
        self.item = mean + (sums / (2 + log.item_counts()) if self.by_item else 0 * sums)
        return self

    def predict(self, users, items, at=None):
        return (self.item[items] / self.scale).astype(np.float32)


@pytest.fixture(scope="module")
def rated(data):
    """Ratings 1..5 that depend on the item, cut at random."""
    log = data.interactions
    rng = np.random.default_rng(5)
    value = np.clip(np.round(1 + 4 * log.item / 40 + rng.normal(0, 0.5, len(log))), 1, 5)
    columns = {"kind": log.kind, "value": value, "kinds": log.kinds, "n_users": log.n_users, "n_items": log.n_items}
    rated = data.with_interactions(Interactions.of(log.user, log.item, log.time, **columns))
    return RandomSplit(validation=0.1, test=0.3, seed=0).split(rated)


@pytest.fixture(scope="module")
def models(rated):
    return {"mean": Means(by_item=False).fit(rated), "item": Means(by_item=True).fit(rated)}


def small(values):
    """Targets of user 0 (two items) and of user 2 (one item)."""
    none = Interactions.of([], [], [], n_users=3, n_items=3)
    target = Interactions.of([0, 0, 2], [0, 1, 2], [1, 1, 1], value=np.array(values), n_users=3, n_items=3)
    return Holdout(none, target, 0)


class Fixed:
    def __init__(self, *values):
        self.values = np.array(values, np.float32)

    def predict(self, users, items, at=None):
        return self.values[items]


def test_figures_by_hand():
    found = evaluate_ratings(Fixed(2, 2, 5), small([1, 4, 5]), likes_from=4).means
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 4 + 0) / 3))
    assert found["mae"] == pytest.approx((1 + 2 + 0) / 3)
    assert found["auc"] == 0.5  # user 0: 2 against 2 is a tie; user 2 has one outcome only and no say
    assert "log_loss" not in found  # 5 is no probability


def test_probabilities_of_likes_have_a_log_loss():
    found = evaluate_ratings(Fixed(0.5, 0.25, 0.5), small([1, 0, 1])).means
    assert found["log_loss"] == pytest.approx((np.log(2) + np.log(4 / 3) + np.log(2)) / 3)
    assert found["auc"] == 1.0


def test_figures_are_those_of_the_pure_functions(rated, models):
    target = rated.test.target
    predicted = models["item"].predict(target.user, target.item)
    found = evaluate_ratings(models["item"], rated.test, likes_from=4).means
    assert found["rmse"] == pytest.approx(rmse(target.value, predicted))
    assert found["mae"] == pytest.approx(mae(target.value, predicted))
    users = np.unique(target.user, return_inverse=True)[1]
    assert found["auc"] == pytest.approx(np.nanmean(auc_per_user(target.value >= 4, predicted, users)))
    shares = Means(by_item=True, scale=6.0).fit(rated)
    liked = (target.value >= 4).astype(float)
    expected = log_loss(liked, shares.predict(target.user, target.item))
    assert evaluate_ratings(shares, rated.test, likes_from=4).means["log_loss"] == pytest.approx(expected)


def test_a_better_model_is_told_apart_and_its_interval_holds_its_value(rated, models):
    found = {name: evaluate_ratings(model, rated.test, likes_from=4) for name, model in models.items()}
    rows = {(row.model, row.metric): row for row in compare_ratings(found, baseline="mean", draws=DRAWS)}
    for row in rows.values():
        assert row.low <= row.value <= row.high
    better = rows["item", "rmse"]
    assert better.difference == pytest.approx(better.value - rows["mean", "rmse"].value)
    assert better.difference < 0
    assert better.p_holm == better.p_value < 0.05  # one model is tested, so there is nothing to correct
    assert rows["mean", "rmse"].p_value is None


def test_users_are_drawn_with_all_their_pairs(rated, models):
    found = evaluate_ratings(models["mean"], rated.test)
    (row, *_) = compare_ratings({"mean": found}, draws=Draws(resamples=2000, level=0.9, seed=1))
    target = rated.test.target
    error = (models["mean"].predict(target.user, target.item) - target.value) ** 2
    of_user = [error[target.user == user] for user in np.unique(target.user)]
    rng = np.random.default_rng(8)
    drawn = [
        np.sqrt(np.concatenate([of_user[at] for at in rng.integers(0, len(of_user), len(of_user))]).mean())
        for _ in range(1000)
    ]
    assert (row.low, row.high) == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=0.02)


def test_the_table_has_the_best_first_and_is_aligned(rated, models):
    found = {name: evaluate_ratings(model, rated.test) for name, model in models.items()}
    lines = rating_table(compare_ratings(found, baseline="mean", draws=DRAWS)).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["item", "mean"]
    assert len({len(line) for line in lines}) == 1
    assert "rmse" in lines[0]


def test_the_contract_can_be_asked_for_and_what_breaks_it_is_refused(rated, models):
    assert isinstance(models["mean"], RatingModel)
    with pytest.raises(BadInput, match="pair 1 is NaN"):
        evaluate_ratings(Fixed(1, np.nan, 1), small([1, 2, 3]))
    nobody = Holdout(rated.test.history, rated.test.target.where(np.empty(0, np.int64)), 0)
    with pytest.raises(BadInput, match="there is no target"):
        evaluate_ratings(models["mean"], nobody)
    with pytest.raises(BadConfig, match="baseline 'x' must be a contender"):
        compare_ratings({"mean": evaluate_ratings(models["mean"], rated.test)}, baseline="x")
    with pytest.raises(BadConfig, match="different users"):
        compare_ratings({"a": evaluate_ratings(Fixed(1, 1, 1), small([1, 2, 3])),
                         "b": evaluate_ratings(models["mean"], rated.test)})  # fmt: skip
