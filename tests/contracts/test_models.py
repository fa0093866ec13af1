"""The contract suites of `twotower.testing`, asked of every model that `conf/model` names."""

from functools import partial
from typing import Any

import pytest

from twotower.config.compose import locate
from twotower.config.models import listed_model, model_names
from twotower.errors import BadConfig
from twotower.models import best_products
from twotower.models.base import Model, ScoringModel
from twotower.models.pairs import PairModel
from twotower.models.popular import Popular
from twotower.models.ratings.biases import RatingBiases
from twotower.models.vector_model import VectorModel
from twotower.testing import ModelTests, PairModelTests, ScoringModelTests, VectorModelTests, asked
from twotower.testing.models import same
from twotower.topk import top_k

SMALLER = {"dim": 8, "epochs": 12, "n_neighbours": 10, "threads": 1}
"""Options that fit a data set of 80 users; peers race with several threads."""
OWN: dict[str, dict[str, Any]] = {
    "als": {"l2": 1.0},
    "ease": {"l2": 1.0},
    "implicit_als": {"l2": 1.0},
    "rating_mf": {"epochs": 100, "lr": 0.1, "batch_size": 64},
    "implicit_bpr": {"epochs": 300, "lr": 0.2, "patience": 300},
    "content_kernel": {"moments": 2, "users": 200},
    "two_stage": {"n_each": 30, "n_trees": 30, "n_leaves": 7, "moments": 2},
    "two_stage_network": {"n_each": 30, "hidden": (16,), "epochs": 5, "moments": 2},
    "two_tower": {
        "towers.dim": 8, "towers.history_layers": 1, "towers.history_length": 6, "train.epochs": 30,
        "train.batch_size": 128, "train.lr": 0.02, "train.patience": None,
    },
}  # fmt: skip
"""Plain gradient steps, one per event, need many passes over 600 events; ridge terms fit few events."""


SAME_FOR_ALL = (Popular, RatingBiases)
"""Models with one list for everybody."""


def small(name: str) -> Model:
    """The model of a file, made small; skipped where its library is not installed."""
    listed = listed_model(name)
    changes = {option: value for option, value in SMALLER.items() if option in listed.model}
    if listed.sources:
        options = {option: value for option, value in listed.model.items() if option != "_target_"}
        sources = {source: small(source) for source in listed.sources if source != "two_tower"}
        return locate(listed.model["_target_"])(**options | changes | OWN.get(name, {}) | {"sources": sources})
    try:
        return listed.make(**changes | OWN.get(name, {}))
    except BadConfig as error:
        if "twotower[peers]" not in str(error):
            raise
        pytest.skip(str(error))


def suite_of(kind: type) -> type[ModelTests]:
    """The widest suite that a class of models must keep."""
    if issubclass(kind, VectorModel):
        return VectorModelTests
    if issubclass(kind, PairModel):
        return PairModelTests
    return ScoringModelTests if issubclass(kind, ScoringModel) else ModelTests


for _name in model_names():
    _kind = locate(listed_model(_name).model["_target_"])
    _title = "Test" + "".join(part.title() for part in _name.split("_"))
    _claims = {"make": staticmethod(partial(small, _name)), "is_personal": not issubclass(_kind, SAME_FOR_ALL)}
    globals()[_title] = type(_title, (suite_of(_kind),), _claims)


def test_every_listed_model_is_under_contract():
    suites = {name for name, suite in globals().items() if isinstance(suite, type) and issubclass(suite, ModelTests)}
    assert len(suites - {"ModelTests", "PairModelTests", "ScoringModelTests", "VectorModelTests"}) == len(model_names())
    assert set(model_names()) >= {"popular", "item_knn", "als", "mf_bpr", "mf_warp", "hybrid", "ease", "two_tower"}


@pytest.mark.parametrize("name", [n for n in model_names() if locate(listed_model(n).model["_target_"]).has_vectors])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_lists_of_products_are_the_top_k_of_the_scores_whichever_way_they_are_made(
    name, share, two_tastes, monkeypatch
):
    model = small(name)
    if not isinstance(model, VectorModel):
        pytest.skip("has stages of its own")
    model.fit(two_tastes)
    monkeypatch.setattr(best_products, "SHARE", share)
    same(model.recommend(asked(), 20), top_k(model.score(asked()), 20, asked().exclusions))
