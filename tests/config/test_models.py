"""Models found by name in `conf/model`, and what becomes of them in an evaluation."""

import pytest

from twotower.config.compose import compose, plain
from twotower.config.models import (
    ListedModel,
    baseline_names,
    chosen,
    counterparts,
    listed_model,
    model_names,
    peer_names,
    refuse_unused,
    settings_of_run,
)
from twotower.errors import BadConfig
from twotower.models.peers import library
from twotower.runs.tuned_contenders import listed_contenders


@pytest.fixture
def options():
    return plain(compose([], "evaluate"))["eval"]


def test_every_peer_names_a_baseline_as_its_counterpart():
    named = {name: listed_model(name).counterpart for name in peer_names()}
    assert named == {
        "implicit_als": "als", "implicit_bpr": "mf_bpr", "lightfm_hybrid": "hybrid", "lightfm_warp": "mf_warp",
    }  # fmt: skip
    assert set(named.values()) <= set(baseline_names())


def test_a_peer_has_vectors_as_long_as_those_of_its_counterpart():
    for name in peer_names():
        peer = listed_model(name)
        assert peer.model["dim"] == listed_model(peer.counterpart).model["dim"], name


def test_counterparts_are_told_of_peers_and_ours_that_both_take_part():
    assert counterparts(["implicit_als", "als", "lightfm_warp", "towers"]) == {"implicit_als": "als"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"baselines": ["alss"]}, "eval.baselines: 'alss' is unknown; there are als,"),
        ({"peers": ["als"]}, "eval.peers: 'als' is unknown; there are implicit_als,"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_there_are(options, change, says):
    with pytest.raises(BadConfig, match=says):
        listed_contenders(options | change, None)


def test_a_library_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    for name in peer_names():
        package = "implicit" if name.startswith("implicit") else "lightfm-next"
        with pytest.raises(BadConfig, match=rf"{package} is not installed; pip install 'twotower\[peers\]'"):
            listed_model(name).make()


def test_a_missing_library_is_told_before_anything_is_tuned(options, monkeypatch, two_tastes):
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    with pytest.raises(BadConfig, match="implicit is not installed"):
        listed_contenders(options | {"baselines": ["popular"], "peers": ["implicit_als"]}, two_tastes)


def test_contenders_have_the_budget_of_the_evaluation(options, two_tastes):
    found = listed_contenders(options | {"baselines": ["popular", "als"], "max_trials": 3}, two_tastes)
    assert list(found) == ["popular", "als"]
    assert {contender.max_trials for contender in found.values()} == {3}
    assert found["als"].start == listed_model("als").usual()


def test_options_given_win_over_the_files():
    assert (
        listed_model("als").build(seed=7, dim=4)().options() | {"seed": 7, "dim": 4}
        == listed_model("als").build(seed=7, dim=4)().options()
    )
    assert listed_model("als").is_random
    assert not listed_model("popular").is_random


def test_a_model_of_several_parts_takes_options_by_part():
    listed = listed_model("two_tower")
    model = listed.make(**{"train.lr": 0.5, "towers.dim": 8, "n_candidates": 7})
    assert (model.training.lr, model.towers.dim, model.n_candidates) == (0.5, 8, 7)
    assert listed.seed_option == "train.seed"
    assert listed.usual()["train.lr"] == 0.002


@pytest.mark.parametrize(
    ("place", "near"),
    [("train.lrr", "did you mean train.lr"), ("alpha", "there are n_candidates, ")],
)
def test_an_option_that_a_model_does_not_have_is_refused_with_near_ones(place, near):
    with pytest.raises(BadConfig, match=f"has no option '{place}'.*{near}".replace("?", r"\?")):
        listed_model("two_tower").make(**{place: 1})


def test_a_run_keeps_the_parts_of_its_model_and_no_others():
    composed = plain(compose(["model=als"], "train"))
    settings = settings_of_run(composed, ListedModel.of(composed))
    assert settings["model"] == {
        "_target_": "twotower.models.factorization.als.ALS",
        **listed_model("als").make().options(),
    }
    assert set(settings) & {"towers", "train", "features", "objective", "search", "groups"} == set()
    towers = plain(compose([], "train"))
    assert set(settings_of_run(towers, ListedModel.of(towers))) >= {"towers", "train", "features", "objective"}


def test_models_to_blend_are_listed_ones_with_the_parts_of_the_settings():
    words = ["blend=[two_tower,content_ridge]", "blend_by=recall@20", "towers.dim=8"]
    settings, model, listed = chosen(plain(compose(words, "train")))
    assert [member.name for member in listed] == ["two_tower", "content_ridge"]
    assert [type(member).__name__ for member in model.members] == ["TwoTower", "ContentRidge"]
    assert (model.metric, model.members[0].towers.dim) == ("recall@20", 8)
    assert settings["model_name"] == "two_tower + content_ridge"
    assert settings["towers"]["dim"] == settings["blend"][0]["towers"]["dim"] == 8


@pytest.mark.parametrize("words", [["blend=als"], ["blend=[als,ease]", "retriever=als", "ranker=ease"]])
def test_a_blend_is_a_list_and_has_no_stages(words):
    with pytest.raises(BadConfig, match="give a list of names of conf/model, and neither retriever= nor ranker="):
        chosen(plain(compose(words, "train")))


def test_words_that_say_nothing_to_the_model_are_refused():
    refuse_unused(["train.lr=1", "model.n_candidates=3"], listed_model("two_tower"))
    with pytest.raises(BadConfig, match=r"'train\.lr=1' says nothing to model=als; its options are model\.dim"):
        refuse_unused(["train.lr=1"], listed_model("als"))


@pytest.mark.parametrize("name", model_names())
def test_a_file_calls_its_model_by_its_own_name(name):
    assert listed_model(name).name == name
