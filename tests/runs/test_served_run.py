"""A run of any model: its lists are the model's, with or without vectors, under rules, and in pairs of runs."""

from pathlib import Path

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.data.splitters import LeaveLast
from twotower.errors import BadConfig, BadInput, BundleError, UnknownId
from twotower.models.factorization.als import ALS
from twotower.models.factorization.mf import MF
from twotower.models.linear import EASE
from twotower.models.neighbours import ItemKNN
from twotower.models.popular import Popular
from twotower.models.two_stage import TwoStage
from twotower.runs.bundle import Bundle
from twotower.runs.contenders import StageNames, contenders_of, pairing
from twotower.runs.publishing import publish, publish_index, save_model
from twotower.runs.served_run import ServedRun
from twotower.runs.serving_files import write_serving_files
from twotower.stages.list_retriever import ListRetriever
from twotower.stages.retriever import Retriever
from twotower.types import NO_ITEM

MODELS = {
    "als": lambda: ALS(dim=6, epochs=4, l2=1.0),
    "mf": lambda: MF(dim=6, epochs=5, lr=0.1),
    "knn": lambda: ItemKNN(n_neighbours=10),
    "ease": lambda: EASE(l2=1.0),
    "popular": Popular,
    "pair": lambda: TwoStage(first=ALS(dim=6, epochs=4, l2=1.0), second=ItemKNN(n_neighbours=10), n_candidates=20),
    "pair without vectors": lambda: TwoStage(first=EASE(l2=1.0), second=Popular(), n_candidates=20),
}
SETTINGS = {"n_candidates": 20, "strategies": ["direct"], "gold": "auto"}


class Shelf:
    """Publishes runs of models fitted on the cars of `small_run`."""

    def __init__(self, folder: Path, dataset) -> None:
        self.folder, self.dataset, self.split = folder, dataset, LeaveLast(n=1).split(dataset)

    def run(self, name: str, kind: str = "", *, dataset: str | None = None) -> Bundle:
        model = MODELS[kind or name]().fit_for_test(self.split)

        def write(directory: Path) -> None:
            save_model(model, directory)
            write_serving_files(directory, self.dataset, self.split.test.history)
            config = f"model_name: {name}\nmodel: {{seed: 3}}\ndata: {{name: cars}}\n"
            (directory / "config.yaml").write_text(config)

        facts = {"dataset": dataset or self.dataset.fingerprint(), "train_seconds": 1.0}
        return publish(self.folder, name.replace(" ", "-"), write, facts)


@pytest.fixture
def shelf(small_run, tmp_path) -> Shelf:
    return Shelf(tmp_path / "shelf", small_run.dataset)


def lists(served: ServedRun, queries, k: int = 10) -> np.ndarray:
    return served.under(only_available=False).recommender.recommend(queries, k).items


@pytest.mark.parametrize("kind", ["als", "mf", "knn", "ease", "popular"])
def test_the_lists_of_a_run_are_those_of_its_model(shelf, kind):
    """To rounding: an index compares in float32, and items whose scores differ less may change places."""
    bundle, queries = shelf.run(kind), shelf.split.test.queries()
    model, served = bundle.model(), ServedRun.open(bundle.directory).under(only_available=False)
    expected, top = model.recommend(queries, 10), served.recommender.recommend(queries, 10)
    np.testing.assert_allclose(model.pair_scores(queries, top), expected.scores, rtol=1e-4, atol=1e-5)
    assert (top.items == expected.items).mean() > 0.99


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_with_vectors_asks_an_index_and_another_its_own_lists(shelf, kind):
    bundle = shelf.run(kind)
    served, has_vectors = ServedRun.open(bundle.directory), kind in ("als", "mf", "pair")
    assert bundle.has_vectors == has_vectors
    assert isinstance(served.direct, Retriever if has_vectors else ListRetriever)
    if has_vectors:
        publish_index(bundle, ExactIndex().build(bundle.item_vectors()), {})
        assert ServedRun.open(bundle.directory).has_index
    else:
        with pytest.raises(BundleError, match="has no item vectors and needs no index"):
            bundle.item_vectors()


@pytest.mark.parametrize("kind", MODELS)
def test_rules_hold_for_every_model_and_lists_are_made_up_for(shelf, kind):
    served = ServedRun.open(shelf.run(kind).directory).under(where=["fuel=diesel"])
    queries = shelf.split.test.queries()
    top = served.recommender.recommend(queries, 12).items
    assert ((top == NO_ITEM) | ((100 + top) % 3 == 0)).all()
    left = [20 - len({int(i) for i in seen if (100 + i) % 3 == 0}) for seen in queries.exclusions]  # of 20 diesels
    assert ((top != NO_ITEM).sum(axis=1) == np.minimum(12, left)).all()


@pytest.mark.parametrize("kind", MODELS)
def test_an_answer_tells_stages_and_speaks_of_likeness_only_where_there_are_vectors(shelf, kind):
    answer = ServedRun.open(shelf.run(kind).directory).answer("u3", k=4, explain=True)
    assert len(answer.items) == 4
    assert answer.explanation.ranked > 0
    assert bool(answer.items[0].because) == (kind in ("als", "mf", "pair"))


@pytest.mark.parametrize("user", [["u5", "u6"], ("u5",), {"u5"}, float("nan"), np.array(["u5"]), "", "  "])
def test_what_is_no_user_is_refused_and_not_served_popular_items(shelf, user):
    served = ServedRun.open(shelf.run("als").directory)
    with pytest.raises(BadInput, match=r"one user at a time|no id"):
        served.answer(user)


def test_several_users_in_one_word_are_told_from_a_new_user(shelf):
    served = ServedRun.open(shelf.run("als").directory)
    known = str(served.files.user_ids.external[3])
    with pytest.raises(BadInput, match="ask for one user at a time"):
        served.answer(f"{known},nobody")
    assert not served.answer("nobody,either").known


def test_similar_items_are_nearest_by_cosine_and_a_bias_has_no_say(shelf):
    bundle = shelf.run("mf")
    vectors = bundle.item_vectors()[:, :-1]
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine = units @ units[5]
    cosine[5] = -2
    similar = ServedRun.open(bundle.directory).similar(105, 3)
    assert [s.item - 100 for s in similar] == np.argsort(-cosine, kind="stable")[:3].tolist()
    assert similar[0].cosine == pytest.approx(cosine.max(), abs=1e-5)


def test_a_model_without_vectors_compares_items_by_who_touched_them(shelf):
    served = ServedRun.open(shelf.run("knn").directory)
    touched = np.zeros((len(served.files.item_ids), len(served.files.histories)))
    for user, items in enumerate(served.files.histories):
        touched[items, user] = 1 / np.sqrt(max(1, len(set(items.tolist()))))
    units = touched / np.maximum(np.linalg.norm(touched, axis=1, keepdims=True), 1e-12)
    cosine = units @ units[5]
    cosine[5] = -2
    similar = served.similar(105, 3)
    np.testing.assert_allclose([place.cosine for place in similar], np.sort(cosine)[::-1][:3], atol=1e-5)


def test_what_cannot_be_similar_is_said(shelf):
    served = ServedRun.open(shelf.run("als").directory)
    with pytest.raises(UnknownId):
        served.similar(999)
    with pytest.raises(BadInput, match="at least 1"):
        served.similar(105, 0)


@pytest.mark.parametrize("strategy", ["pseudo", "cluster"])
def test_a_strategy_that_needs_vectors_is_refused_without_them(shelf, strategy):
    with pytest.raises(BadConfig, match="needs the item vectors, and this model has none"):
        ServedRun.open(shelf.run("knn").directory).under(strategy=strategy)


def test_another_run_ranks_the_candidates_of_this_one(shelf):
    first, second = shelf.run("als"), shelf.run("knn")
    served = ServedRun.open(first.directory, ranker=second.directory).under(n_candidates=8, only_available=False)
    queries, knn = shelf.split.test.queries(), second.model()
    top = served.recommender.recommend(queries, 8)
    candidates = first.model().recommend(queries, 8)
    np.testing.assert_array_equal(np.sort(top.items), np.sort(candidates.items))
    np.testing.assert_allclose(top.scores, np.take_along_axis(knn.score(queries), top.items, axis=1))
    assert served.name == "als + knn"


def test_a_run_of_other_data_cannot_rank(shelf):
    first, second = shelf.run("als"), shelf.run("knn", dataset="of another shop")
    with pytest.raises(BundleError, match="they were trained on different data"):
        ServedRun.open(first.directory, ranker=second.directory)


def test_the_pair_in_one_run_gives_the_lists_of_the_two_runs(shelf):
    together = ServedRun.open(shelf.run("pair").directory).under(n_candidates=20)
    apart = ServedRun.open(shelf.run("als").directory, ranker=shelf.run("knn").directory).under(n_candidates=20)
    queries = shelf.split.test.queries()
    np.testing.assert_array_equal(lists(together, queries), lists(apart, queries))


@pytest.mark.parametrize(
    ("model", "kind", "names"),
    [
        ("als", "als", ("als (this run)", None)),
        ("als → knn", "pair", ("als (this run)", "als → knn")),
        ("own", "pair", ("own (this run)", "own + second stage")),
    ],
)
def test_contenders_are_called_after_the_model(shelf, model, kind, names):
    bundle = shelf.run("x", kind)
    (bundle.directory / "config.yaml").write_text(f"model_name: {model}\n")
    found = StageNames.of(_opened(bundle), bundle)
    assert (found.first, found.both) == names


def _opened(bundle: Bundle) -> ServedRun:
    """The run whose configuration was changed after it was published, which `open` would refuse."""
    model = bundle.model()
    stage = ListRetriever(model, model.n_items)
    return ServedRun("x", bundle.serving(), None, None, False, stage, model, model.ranker())


def test_a_run_without_second_stage_is_one_contender_and_it_is_ours(shelf):
    made = contenders_of([shelf.run("als")], SETTINGS, prefix="")
    assert list(made.stages) == ["als (this run)"]
    assert made.stages["als (this run)"].family == "ours"
    assert made.stages["als (this run)"].options["seed"] == 3
    assert made.builds_on == {}


def test_a_pairing_stands_beside_its_first_stage_alone(shelf):
    made = pairing(shelf.run("als"), shelf.run("knn"), SETTINGS)
    assert list(made.stages) == ["als", "als → knn"]
    assert made.builds_on == {"als → knn": "als"}
