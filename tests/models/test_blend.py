"""`Blend` under the contract of models that score, and against sums by hand."""

import numpy as np
import pytest

from twotower.data.split import Holdout
from twotower.errors import BadConfig
from twotower.evaluation.examine import examine
from twotower.models import blend
from twotower.models.base import load_model
from twotower.models.blend import Blend, standardised
from twotower.models.content.knn import ContentKNN
from twotower.models.factorization.als import ALS
from twotower.models.linear import EASE
from twotower.models.popular import Popular
from twotower.models.two_stage import TwoStage
from twotower.models.two_tower.estimator import TwoTower
from twotower.models.two_tower.options import TowerOptions, TrainOptions
from twotower.testing import ScoringModelTests
from twotower.testing.data import queries_of


def small_als() -> ALS:
    return ALS(dim=8, epochs=4, l2=1.0)


def small_towers() -> TwoTower:
    towers = TowerOptions(dim=8, history_layers=1, history_length=6)
    return TwoTower(towers=towers, training=TrainOptions(epochs=2, batch_size=128, patience=None))


class TestBlend(ScoringModelTests):
    def make(self) -> Blend:
        return Blend(members=[small_als(), ContentKNN()])


def test_scores_are_the_weighted_sum_of_z_scores(two_tastes):
    als, content = small_als().fit(two_tastes), ContentKNN().fit(two_tastes)
    model = Blend(members=[small_als(), ContentKNN()], weights=[1.0, 0.5]).fit(two_tastes)
    asked = queries_of([[0, 2], [5]])
    s, t = als.score(asked), content.score(asked)
    expected = (s - s.mean(1, keepdims=True)) / s.std(1, keepdims=True)
    expected += 0.5 * (t - t.mean(1, keepdims=True)) / t.std(1, keepdims=True)
    np.testing.assert_allclose(model.score(asked), expected, rtol=1e-3, atol=1e-4)


def test_equal_scores_have_no_say():
    np.testing.assert_array_equal(standardised(np.full((2, 5), 3, np.float32)), np.zeros((2, 5)))


def test_the_weights_chosen_are_the_best_of_validation(two_tastes):
    model = Blend(members=[ContentKNN(), small_als()], metric="recall@5").fit(two_tastes)
    figures = {}
    for weight in blend.TRIED:
        made = Blend(members=[ContentKNN(), small_als()], weights=[1.0, weight]).fit(two_tastes)
        figures[weight] = examine(made, two_tastes.validation, metrics=("recall@5",)).mean("recall@5")
    assert model.chosen[0] == 1
    assert figures[model.chosen[1]] == max(figures.values())
    assert len(set(figures.values())) > 1
    assert model.found_options() == {"weights": model.chosen.tolist()}


def test_towers_take_part_by_their_vectors_and_are_asked_as_of_validation(two_tastes, tmp_path, monkeypatch):
    moments = []
    serve = TwoTower.serve
    monkeypatch.setattr(
        TwoTower, "serve", lambda self, data, history, at: moments.append(at) or serve(self, data, history, at)
    )
    model = Blend(members=[small_towers(), ContentKNN()]).fit_for_test(two_tastes)
    assert moments == [two_tastes.validation.at, two_tastes.test.at]
    towers = model.members[0]
    queries = two_tastes.test.queries()
    plain = Blend(members=[towers, model.members[1]], weights=[1.0, 0.0])
    plain.n_items, plain._popular = model.n_items, model._popular
    inner = towers.user_vectors(queries) @ towers.item_vectors.T
    np.testing.assert_allclose(plain.score(queries), standardised(inner), rtol=1e-3, atol=1e-4)
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, Blend)
    assert loaded.serves_new_items
    np.testing.assert_array_equal(loaded.chosen, model.chosen)
    np.testing.assert_allclose(loaded.score(queries), model.score(queries), rtol=1e-4, atol=1e-4)


def test_few_users_are_watched_spread_over_all(two_tastes, monkeypatch):
    monkeypatch.setattr(blend, "WATCHED", 10)
    watched: Holdout = blend._some_users(two_tastes.validation)
    users = two_tastes.validation.users()
    assert len(watched.users()) <= 10
    assert watched.users()[-1] > users[len(users) * 3 // 4]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"members": [Popular()]}, "at least 2 models, got 1"),
        ({"members": [Popular(), TwoStage(first=EASE(), second=Popular())]}, "TwoStage scores no whole catalogue"),
        ({"members": [Popular(), ContentKNN()], "weights": [1.0]}, "1 weights for 2 members"),
        ({"members": [Popular(), ContentKNN()], "metric": "rmse"}, "metric must be one of lists"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, says):
    with pytest.raises(BadConfig, match=says):
        Blend(**options)
