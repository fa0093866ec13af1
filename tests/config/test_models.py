"""Models found by name in `conf/baseline` and `conf/peer`, and what becomes of them in an evaluation."""

import pytest

from twotower.config.compose import compose, plain
from twotower.config.models import BASELINES, PEERS, counterparts, listed_model, model_names
from twotower.errors import BadConfig
from twotower.models.peers import library
from twotower.runs.tuned_contenders import listed_contenders


@pytest.fixture
def options():
    return plain(compose([], "evaluate"))["eval"]


def test_every_peer_names_a_baseline_as_its_counterpart():
    named = {name: listed_model(name).counterpart for name in model_names(PEERS)}
    assert named == {
        "implicit_als": "als", "implicit_bpr": "mf_bpr", "lightfm_hybrid": "hybrid", "lightfm_warp": "mf_warp",
    }  # fmt: skip
    assert set(named.values()) <= set(model_names(BASELINES))


def test_a_peer_has_vectors_as_long_as_those_of_its_counterpart():
    for name in model_names(PEERS):
        peer = listed_model(name)
        assert peer.options["dim"] == listed_model(peer.counterpart).options["dim"], name


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
    for name in model_names(PEERS):
        package = "implicit" if name.startswith("implicit") else "lightfm-next"
        with pytest.raises(BadConfig, match=rf"{package} is not installed; pip install 'twotower\[peers\]'"):
            listed_model(name).build()()


def test_a_missing_library_is_told_before_anything_is_tuned(options, monkeypatch, two_tastes):
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    with pytest.raises(BadConfig, match="implicit is not installed"):
        listed_contenders(options | {"baselines": ["popular"], "peers": ["implicit_als"]}, two_tastes)


def test_contenders_have_the_budget_of_the_evaluation(options, two_tastes):
    found = listed_contenders(options | {"baselines": ["popular", "als"], "max_trials": 3}, two_tastes)
    assert list(found) == ["popular", "als"]
    assert {contender.max_trials for contender in found.values()} == {3}
    assert found["als"].start == listed_model("als").options


def test_options_given_win_over_the_files():
    assert (
        listed_model("als").build(seed=7, dim=4)().options() | {"seed": 7, "dim": 4}
        == listed_model("als").build(seed=7, dim=4)().options()
    )
    assert listed_model("als").is_random
    assert not listed_model("popular").is_random
