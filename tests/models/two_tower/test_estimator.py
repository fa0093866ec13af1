"""TwoTower on two planted tastes: it learns them, saves, loads, repeats itself, and works with any part left out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from twotower.config.compose import group_files, instantiate
from twotower.data.split import Split
from twotower.errors import BadConfig, NotFitted
from twotower.metrics.ranking import average_precision
from twotower.models.popular import Popular
from twotower.models.two_tower.estimator import TwoTower
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions, TrainOptions
from twotower.training.context import FitContext
from twotower.types import UNKNOWN_USER, Queries, Ragged

TOWERS = TowerOptions(dim=16, history_layers=1, history_length=10)
TRAINING = TrainOptions(epochs=12, batch_size=64, lr=0.01, patience=None)
JOINT = Objective(
    preference="softmax", similarity="affine", similarity_weight=0.1, retrieval_weight=1.0,
    negatives=("hard", "uniform"), n_negatives=8, n_hard=20,
)  # fmt: skip


def estimator(**parts) -> TwoTower:
    """A small one; each of towers, features, objective, training can be exchanged."""
    return TwoTower(**{"towers": TOWERS, "objective": JOINT, "training": TRAINING} | parts)


def map10(recommender, split: Split) -> float:
    top = recommender.recommend(split.test.queries(), 10)
    return float(average_precision(top, split.test.relevant(), 10).mean())


@pytest.fixture(scope="module")
def fitted(two_tastes) -> TwoTower:
    return estimator().fit(two_tastes)


@pytest.fixture(scope="module")
def with_category(two_tastes) -> Split:
    """The two tastes with a category to draw negatives from."""
    return replace(two_tastes, dataset=replace(two_tastes.dataset, category="taste"))


EPOCH = replace(TRAINING, epochs=1)


def test_it_finds_the_tastes_that_the_popular_list_cannot(fitted, two_tastes):
    popular = map10(Popular().fit(two_tastes), two_tastes)
    assert map10(fitted.recommender(n_candidates=30), two_tastes) > 1.3 * popular
    assert map10(fitted.recommender(rank=False), two_tastes) > 1.3 * popular
    items = fitted.recommender(n_candidates=30).recommend(two_tastes.test.queries(), 10).items
    own_taste = items % 2 == two_tastes.test.users()[:, None] % 2
    assert own_taste.mean() > 0.8


def test_it_learns_while_training(fitted):
    first, last = fitted.progress[0].history[0], fitted.progress[0].history[-1]
    assert last["retrieval"] < first["retrieval"]
    assert fitted.progress[0].best >= first["validation"]


def test_a_new_user_is_served_by_the_history_alone(fitted):
    even, odd = (Ragged.from_lists([[first, first + 2, first + 4]]) for first in (6, 7))
    for history, parity in ((even, 0), (odd, 1)):
        top = fitted.recommender(n_candidates=20).recommend(Queries.of(np.array([UNKNOWN_USER]), history), 10)
        assert (top.items % 2 == parity).mean() >= 0.7


def test_saved_and_loaded_it_gives_the_same_answers(fitted, two_tastes, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = TwoTower.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.item_vectors, fitted.item_vectors)
    queries = two_tastes.test.queries()
    for rank in (True, False):
        ours, theirs = (m.recommender(n_candidates=20, rank=rank).recommend(queries, 10) for m in (fitted, loaded))
        np.testing.assert_array_equal(ours.items, theirs.items)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5, atol=1e-6)
    stranger = Queries.of(np.array([UNKNOWN_USER]), Ragged.from_lists([[4, 6]]))
    np.testing.assert_allclose(loaded.user_vectors(stranger), fitted.user_vectors(stranger), atol=1e-6)
    assert {**loaded.options(), "training": None} == {**fitted.options(), "training": None}


def test_a_saved_model_is_plain_files(fitted, tmp_path):
    fitted.save(tmp_path)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"towers.safetensors", "ranker.safetensors", "item_vectors.npy", "model.json"} <= files
    assert {name.rpartition(".")[2] for name in files} == {"safetensors", "npy", "json"}
    assert json.loads((tmp_path / "model.json").read_text())["options"]["towers"]["dim"] == 16


def test_the_same_seed_gives_the_same_model_and_another_seed_another(two_tastes):
    first, second, other = (
        estimator(training=replace(EPOCH, seed=seed)).fit(two_tastes).item_vectors for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, _: m.item_vectors,
        lambda m, _: m.user_vectors(Queries.of(np.array([0]))),
        lambda m, _: m.recommender(),
        lambda m, _: m.ranker(),
        lambda m, folder: m.save(folder),
        lambda m, _: m.serve(None, None, 0),
    ],
)
def test_before_fit_everything_says_so(ask, tmp_path):
    with pytest.raises(NotFitted, match="call fit or load first"):
        ask(estimator(), tmp_path)


def test_the_first_stage_orders_by_cosine_and_ranknet_reorders_the_same_items(fitted, two_tastes):
    queries = two_tastes.test.queries()
    vectors = fitted.user_vectors(queries)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    candidates = fitted.recommender(rank=False).recommend(queries, 15)
    cosine = np.take_along_axis(vectors @ fitted.item_vectors.T, candidates.items, 1)
    np.testing.assert_allclose(candidates.scores, cosine, atol=1e-5)
    ranked = fitted.rank(queries, candidates)
    np.testing.assert_array_equal(np.sort(ranked.items, axis=1), np.sort(candidates.items, axis=1))
    assert (np.diff(ranked.scores, axis=1) <= 0).all()
    assert (ranked.items != candidates.items).any()


def test_it_serves_another_moment_without_training_again(two_tastes, fitted, tmp_path):
    fitted.save(tmp_path)
    model, data = TwoTower.load(tmp_path), two_tastes.dataset
    queries = Queries.of(np.array([0, 1]), Ragged.from_lists([[0], [1]]))
    start = int(data.interactions.time.min())
    early = model.serve(data, data.interactions, start).user_vectors(queries)  # nobody has a profile yet
    late = model.serve(data, data.interactions, start + 30 * 86_400).user_vectors(queries)
    assert not np.allclose(early, late)
    np.testing.assert_array_equal(model.item_vectors, fitted.item_vectors)


@pytest.mark.parametrize("file", group_files("objective"), ids=lambda file: file.stem)
def test_every_objective_trains(file, with_category):
    model = estimator(objective=instantiate(OmegaConf.load(file)), training=EPOCH).fit(with_category)
    assert np.isfinite(model.item_vectors).all()
    assert 0 <= model.progress[0].best <= 1


@pytest.mark.parametrize("file", group_files("towers"), ids=lambda file: file.stem)
def test_all_sizes_of_the_networks_train(file, with_category):
    model = estimator(towers=instantiate(OmegaConf.load(file)), training=EPOCH).fit(with_category)
    assert np.isfinite(model.recommender(n_candidates=20).recommend(with_category.test.queries(), 5).scores).all()


@pytest.mark.parametrize("history", ["mean", "attention", "transformer", None])
@pytest.mark.parametrize("profiles", [True, False])
def test_histories_and_profiles_can_be_left_out(history, profiles, two_tastes):
    model = estimator(
        towers=replace(TOWERS, history=history), features=FeatureOptions(profiles=profiles), training=EPOCH
    )
    assert np.isfinite(model.fit(two_tastes).user_vectors(two_tastes.test.queries())).all()


def test_a_data_set_without_any_feature_is_learnt_from_histories(two_tastes_bare, tmp_path):
    model = estimator().fit(two_tastes_bare)
    popular = Popular().fit(two_tastes_bare)
    assert map10(model.recommender(n_candidates=30), two_tastes_bare) > 1.3 * map10(popular, two_tastes_bare)
    model.save(tmp_path)
    np.testing.assert_array_equal(TwoTower.load(tmp_path).item_vectors, model.item_vectors)


def test_hard_negatives_with_a_sampled_softmax_are_learnt_from(two_tastes):
    model = estimator(objective=replace(JOINT, retrieval_candidates=20)).fit(two_tastes)
    assert map10(model.recommender(n_candidates=30), two_tastes) > 1.3 * map10(Popular().fit(two_tastes), two_tastes)


def test_the_last_fit_takes_validation_too_for_as_many_epochs_as_were_best(two_tastes):
    model = estimator(training=replace(TRAINING, epochs=4, refit=True)).fit(two_tastes)
    first, last = model.progress
    assert last.epoch == first.best_epoch + 1
    assert last.best_epoch == last.epoch - 1
    assert last.examples / last.epoch == len(two_tastes.refit().train.unique_pairs())
    assert all("validation" not in row for row in last.history)


def test_same_category_negatives_need_a_category(two_tastes):
    with pytest.raises(BadConfig, match="same_category needs a data set with a category column"):
        estimator(objective=Objective(negatives=("same_category",)), training=EPOCH).fit(two_tastes)


def test_checkpoints_and_logs_go_into_the_workspace(two_tastes, tmp_path):
    estimator(training=EPOCH).fit(two_tastes, FitContext(tmp_path))
    assert (tmp_path / "checkpoints" / "checkpoint.safetensors").exists()
    assert list((tmp_path / "logs").iterdir())


@pytest.mark.parametrize(
    "towers",
    [
        {"hidden": (32,)},
        {"identities": False},
        {"identity_min_count": 5},
        {"rank_interactions": False},
        {"history_items": "content"},
    ],
)
def test_shapes_of_the_towers_can_be_chosen(towers, two_tastes, tmp_path):
    model = estimator(towers=replace(TOWERS, **towers), training=EPOCH).fit(two_tastes)
    model.save(tmp_path)
    np.testing.assert_array_equal(TwoTower.load(tmp_path).item_vectors, model.item_vectors)
    queries = two_tastes.test.queries()
    np.testing.assert_allclose(TwoTower.load(tmp_path).user_vectors(queries), model.user_vectors(queries), atol=2e-6)
