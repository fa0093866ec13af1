"""`RatingBiases`: figures by hand, and the ridge solution of the normal equations."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout, Split
from twotower.data.tables import FeatureTable
from twotower.errors import BadConfig
from twotower.metrics.rating import rmse
from twotower.models.ratings.biases import RatingBiases
from twotower.types import UNKNOWN_USER, Queries


def split_of(user: list[int], item: list[int], value: list[float], n_users: int, n_items: int) -> Split:
    """A split that trains on all of these ratings."""
    events = Interactions.of(user, item, np.arange(len(user)), value=value, n_users=n_users, n_items=n_items)
    ids = IdMap.of(np.arange(n_users), "user"), IdMap.of(np.arange(n_items), "item")
    none = Holdout.of(events, events.where(np.zeros(len(events), bool)), len(user))
    dataset = Dataset("ratings", events, FeatureTable.empty(n_users), FeatureTable.empty(n_items), *ids)
    return Split(dataset, events, none, none, "all")


def test_figures_by_hand():
    """Mean 3. With l2_items huge, items stay at 0: user 0 has residuals 2 and 1, user 1 has -3."""
    split = split_of([0, 0, 1], [0, 1, 0], [5, 4, 0], 3, 2)
    model = RatingBiases(l2_users=1.0, l2_items=1e12).fit(split)
    predicted = model.predict(np.array([0, 1, 2]), np.array([0, 0, 1]))
    np.testing.assert_allclose(predicted, [3 + 3 / (2 + 1), 3 - 3 / (1 + 1), 3], rtol=1e-6)


@pytest.mark.parametrize(("l2_users", "l2_items"), [(5.0, 2.0), (0.3, 8.0)])
def test_biases_solve_the_ridge_problem(rated, l2_users, l2_items):
    events, n_users, n_items = rated.train, rated.train.n_users, rated.train.n_items
    design = np.zeros((len(events), n_users + n_items))
    design[np.arange(len(events)), events.user] = 1
    design[np.arange(len(events)), n_users + events.item] = 1
    penalty = np.diag([l2_users] * n_users + [l2_items] * n_items)
    mean = events.value.astype(np.float64).mean()
    biases = np.linalg.solve(design.T @ design + penalty, design.T @ (events.value - mean))
    model = RatingBiases(l2_users=l2_users, l2_items=l2_items).fit(rated)
    np.testing.assert_allclose(model.state()["user_bias"][:-1], biases[:n_users], atol=1e-5)
    np.testing.assert_allclose(model.state()["item_bias"][:-1], biases[n_users:], atol=1e-5)


def test_unknown_users_and_items_get_what_is_known_of_the_other_and_of_all(rated):
    model = RatingBiases().fit(rated)
    mean = float(rated.train.value.astype(np.float64).mean())
    of_user, of_item = model.state()["user_bias"][4], model.state()["item_bias"][6]
    users, items = np.array([4, UNKNOWN_USER, 10_000, 59]), np.array([-1, 6, 10_000, 39])  # 59 and 39: no events
    np.testing.assert_allclose(model.predict(users, items), [mean + of_user, mean + of_item, mean, mean], rtol=1e-6)


def test_it_predicts_better_than_the_mean_and_lists_the_best_items(rated):
    model, target = RatingBiases().fit(rated), rated.test.target
    predicted = model.predict(target.user.astype(np.int64), target.item.astype(np.int64))
    assert rmse(target.value, predicted) < 0.9 * rmse(target.value, np.full(len(target), rated.train.value.mean()))
    top = model.recommend(Queries.of(np.array([UNKNOWN_USER, 3])), 5).items
    np.testing.assert_array_equal(top[0], np.argsort(-model.state()["item_bias"][:-1], kind="stable")[:5])
    np.testing.assert_array_equal(top[0], top[1])


def test_a_saved_model_predicts_the_same(rated, tmp_path):
    model = RatingBiases(l2_users=3.0).fit(rated)
    model.save(tmp_path)
    users, items = np.indices((62, 42)).reshape(2, -1)
    np.testing.assert_array_equal(RatingBiases.load(tmp_path).predict(users, items), model.predict(users, items))


def test_ratings_that_are_all_the_same_are_predicted_as_they_are():
    model = RatingBiases().fit(split_of([0, 1], [0, 1], [4, 4], 2, 2))
    np.testing.assert_array_equal(model.predict(np.array([0, 1]), np.array([1, 0])), [4, 4])


def test_a_negative_weight_is_refused():
    with pytest.raises(BadConfig, match="RatingBiases: l2_users must be at least 0"):
        RatingBiases(l2_users=-1.0)
