"""The examination of predicted values: figures by hand, scikit-learn, slices, what is measured of whom, refusals."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from twotower.data.interactions import Interactions
from twotower.data.split import Holdout
from twotower.errors import BadConfig, BadInput
from twotower.evaluation import predicted
from twotower.evaluation.accumulator import Detail, Slicing
from twotower.evaluation.examine import examine
from twotower.evaluation.slices import slicings
from twotower.protocols import PairPredictor

RATED, OUTCOMES = {"rmse", "mae"}, {"rmse", "mae", "auc", "log_loss"}


class Fixed:
    """Predicts a value per item."""

    def __init__(self, *values):
        self.values = np.array(values, np.float32)

    def predict(self, users, items, at=None):
        return self.values[items]


class Both(Fixed):
    """The same, and recommends the items in the order of their values."""

    def recommend(self, queries, k):
        from twotower.topk import top_k

        return top_k(np.tile(self.values, (len(queries), 1)), k, queries.exclusions)


def small(values):
    """Targets of user 0 (two items) and of user 2 (one item)."""
    none = Interactions.of([], [], [], n_users=3, n_items=3)
    target = Interactions.of([0, 0, 2], [0, 1, 2], [1, 1, 1], value=np.array(values), n_users=3, n_items=3)
    return Holdout(none, target, 0)


def test_errors_by_hand_weigh_pairs_alike():
    found = examine(Fixed(2, 2, 5), small([1, 4, 5]))
    assert found.mean("rmse") == pytest.approx(np.sqrt((1 + 4 + 0) / 3))
    assert found.mean("mae") == pytest.approx((1 + 2 + 0) / 3)
    assert found.values("mae").tolist() == [(1 + 2) / 2, 0]
    assert found.users.tolist() == [0, 2]
    assert (found.ks, found.catalogue) == ((), {})


def test_auc_is_a_mean_over_users_with_both_outcomes():
    found = examine(Fixed(0.5, 0.25, 0.5), small([1, 0, 1]))
    assert found.mean("auc") == 1.0  # of user 0; user 2 has one outcome only and no say
    assert found.mean("log_loss") == pytest.approx((np.log(2) + np.log(4 / 3) + np.log(2)) / 3)
    assert np.isnan(found.values("auc")[1])


def test_figures_are_those_of_scikit_learn(rated, liked, means):
    for split, scale in ((rated, 1), (liked, 1)):
        model, target = means(scale=scale).fit(split), split.test.target
        foreseen = model.predict(target.user, target.item)
        found = examine(model, split.test)
        assert found.mean("rmse") == pytest.approx(oracle.root_mean_squared_error(target.value, foreseen))
        assert found.mean("mae") == pytest.approx(oracle.mean_absolute_error(target.value, foreseen))
    assert found.mean("log_loss") == pytest.approx(oracle.log_loss(target.value, foreseen.astype(float)))
    of_users = [
        oracle.roc_auc_score(target.value[own], foreseen[own])
        for own in (target.user == user for user in np.unique(target.user))
        if len(set(target.value[own])) == 2
    ]
    assert found.mean("auc") == pytest.approx(np.mean(of_users))


def test_what_is_measured_is_what_model_and_targets_allow(rated, liked, means, split, by_score):
    assert examine(means().fit(rated), rated.test).per_user.keys() == RATED
    assert examine(means().fit(liked), liked.test).per_user.keys() == OUTCOMES
    assert examine(means(scale=0.1).fit(liked), liked.test).per_user.keys() == OUTCOMES - {"log_loss"}
    assert not examine(by_score().fit(split), split.test, ks=(5,)).per_user.keys() & OUTCOMES
    both = examine(Both(1, 3, 2), small([1, 4, 5]), ks=(1, 2))
    assert both.per_user.keys() > RATED | {"map@1", "map@2"}
    assert both.mean("rmse") == pytest.approx(np.sqrt((0 + 1 + 9) / 3))
    assert examine(Both(1, 3, 2), small([1, 1, 1]), ks=(1,)).per_user.keys().isdisjoint(OUTCOMES)


def test_a_model_that_says_it_predicts_nothing_is_not_asked():
    class Silent(Both):
        predicts_values = False

        def predict(self, users, items, at=None):
            raise AssertionError("asked")

    assert examine(Silent(1, 3, 2), small([1, 4, 5]), ks=(1,)).per_user.keys().isdisjoint(OUTCOMES)


def test_only_named_metrics_are_measured_and_nothing_is_asked_in_vain():
    class NoLists(Both):
        def recommend(self, queries, k):
            raise AssertionError("asked for lists")

    assert examine(NoLists(1, 3, 2), small([1, 4, 5]), metrics=("mae",)).per_user.keys() == {"mae"}
    found = examine(Both(1, 3, 2), small([1, 4, 5]), metrics=("ndcg@2", "map@1", "rmse"))
    assert list(found.per_user) == ["ndcg@2", "map@1", "rmse"]
    assert found.ks == (1, 2)
    whole = examine(Both(1, 3, 2), small([1, 4, 5]), ks=(1, 2))
    assert found.means == {metric: whole.mean(metric) for metric in found.per_user}


def test_models_are_asked_in_blocks_at_the_moments_of_the_targets(rated, means, monkeypatch):
    model = means().fit(rated)
    whole = examine(model, rated.test).means
    asked, predict = [], model.predict

    def watched(users, items, at):
        asked.append((users, items, at))
        return predict(users, items, at)

    monkeypatch.setattr(predicted, "PAIRS_AT_ONCE", 7)
    monkeypatch.setattr(model, "predict", watched)
    assert examine(model, rated.test).means == whole
    target = rated.test.target
    assert max(len(users) for users, _, _ in asked) == 7
    for column, given in zip((target.user, target.item, target.time), zip(*asked, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(given), column)


def test_groups_of_items_divide_the_squared_errors(rated, means):
    model, items = means().fit(rated), slicings(rated.test, ("popularity",))["popularity"]
    found = examine(model, rated.test, detail=Detail(items, ("rmse",)))
    target = rated.test.target
    errors = (model.predict(target.user, target.item).astype(float) - target.value) ** 2
    for group, name in enumerate(items.names):
        own = items.groups[target.item] == group
        ratio = found.sliced[name]["rmse"]
        assert ratio.has_say.sum() == len(set(target.user[own]))
        if own.any():
            assert ratio.mean() == pytest.approx(np.sqrt(errors[own].mean()))


def test_auc_of_a_group_of_items_is_that_of_its_own_targets():
    groups = Slicing(np.array([0, 0, 1]), ("a", "b"))
    found = examine(Fixed(0.5, 0.25, 0.5), small([1, 0, 1]), detail=Detail(groups, ("auc", "log_loss")))
    assert found.sliced["a"]["auc"].mean() == 1.0
    assert np.isnan(found.sliced["b"]["auc"].mean())
    assert found.sliced["b"]["log_loss"].mean() == pytest.approx(np.log(2))


def test_the_order_of_targets_changes_nothing():
    values, order = np.array([1.0, 4.0, 5.0]), [2, 0, 1]
    none = Interactions.of([], [], [], n_users=3, n_items=3)
    users, items = np.array([0, 0, 2]), np.array([0, 1, 2])
    shuffled = Interactions.of(users[order], items[order], [1, 1, 1], value=values[order], n_users=3, n_items=3)
    assert examine(Fixed(2, 2, 5), Holdout(none, shuffled, 0)).means == examine(Fixed(2, 2, 5), small(values)).means


def test_the_contract_can_be_asked_for():
    assert isinstance(Fixed(1), PairPredictor)
    with pytest.raises(BadInput, match="pair 1 is NaN"):
        examine(Fixed(1, np.nan, 1), small([1, 2, 3]))


@pytest.mark.parametrize(
    ("values", "metric", "message"),
    [
        ([1, 1, 1], "rmse", "rmse needs targets with values, but all 3 have the value 1; take data with ratings"),
        ([1, 4, 5], "auc", "auc needs outcomes 0 and 1, but targets have values from 1 to 5; turn values into"),
        ([1, 4, 5], "log_loss", "log_loss needs outcomes 0 and 1"),
        ([1, 1, 0], "auc", "nobody has both; choose log_loss"),
        ([0, 4, 5], "ndcg_exp@2", r"ndcg_exp@2 needs targets with grades above 0 .* choose ndcg@2"),
    ],
)
def test_targets_that_do_not_allow_a_metric_are_refused_with_the_remedy(values, metric, message):
    with pytest.raises(BadInput, match=message):
        examine(Both(0.1, 0.2, 0.3), small(values), metrics=(metric,))


def test_probabilities_are_asked_for_where_log_loss_is_named():
    with pytest.raises(BadInput, match=r"2\.0 is no probability; put scores through a sigmoid"):
        examine(Fixed(2, 0.5, 0.5), small([1, 0, 1]), metrics=("log_loss",))


def test_metrics_of_what_a_model_does_not_do_are_refused(split, by_score):
    with pytest.raises(BadConfig, match="ByScore predicts no values, so it has no rmse; leave it out"):
        examine(by_score().fit(split), split.test, metrics=("rmse",))
    with pytest.raises(BadConfig, match="Fixed gives no lists, so it has no map@10; choose rmse or mae"):
        examine(Fixed(1, 1, 1), small([1, 2, 3]), metrics=("map@10",))
    with pytest.raises(BadConfig, match="object neither recommends nor predicts values"):
        examine(object(), small([1, 2, 3]))
    with pytest.raises(BadInput, match="rmse needs targets with values"):
        examine(Fixed(1, 1, 1), small([1, 1, 1]))
