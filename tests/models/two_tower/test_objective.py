"""Objectives: options that make no sense are refused; each named term by hand-worked numbers."""

from math import exp, log, sqrt

import pytest
import torch
from omegaconf import OmegaConf
from torch import tensor
from torch.nn import functional as F

from twotower.config.compose import compose, conf_dir, instantiate
from twotower.errors import BadConfig
from twotower.models.two_tower.objective import (
    JointObjective,
    Objective,
    preference_loss,
    retrieval_loss,
    similarity_loss,
)
from twotower.nn.full_softmax import full_softmax_loss

POSITIVE, NEGATIVE = tensor([1.0, -0.5]), tensor([[0.0, 2.0], [-1.0, 0.5]])
COSINE, RAW = tensor([[0.8, 0.4], [0.2, -0.6]]), tensor([[0.5, 0.0], [0.2, -0.2]])


def softplus(x: float) -> float:
    return log(1 + exp(x))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # log(1 + e^-x) of positives, log(1 + e^x) of negatives
        ("bce", sum(map(softplus, (-1, 0.5, 0, 2, -1, 0.5))) / 6),
        ("softmax", (log(1 + exp(-1) + exp(1)) + log(1 + exp(-0.5) + exp(1))) / 2),
        ("pairwise", sum(map(softplus, (-1, 1, -0.5, 1))) / 4),
    ],
)
def test_preference_by_name(kind, expected):
    assert preference_loss(kind, POSITIVE, NEGATIVE).item() == pytest.approx(expected)


def test_raw_similarity_compares_all_pairs():
    gaps = (0.3, 0.4, 0.0, -0.4)
    assert similarity_loss("raw", COSINE, RAW).item() == pytest.approx(sqrt(sum(g * g for g in gaps) / 4))


def test_affine_similarity_takes_column_zero_as_the_positive():
    """Closeness (c + 1) / 2 is .9, .7 | .6, .2; the penalty 1 - .9, .7 | 1 - .6, .2."""
    assert similarity_loss("affine", COSINE, None).item() == pytest.approx((0.1 + 0.7 + 0.4 + 0.2) / 4)


def test_raw_similarity_without_profiles_is_refused():
    with pytest.raises(BadConfig, match=r"switch profiles on \(features\.profiles=true\) or use similarity=affine"):
        similarity_loss("raw", COSINE, None)


def test_sampled_retrieval_by_hand():
    """Temperature ½: logits 1.6, .8, 0; minus log q; candidate 1 is another positive of this user and drops out."""
    loss = retrieval_loss(
        tensor([[0.8, 0.4, 0.0]]),
        tensor([0]),
        temperature=0.5,
        expected_count=tensor([0.5, 1.0, 0.25]),
        hits=tensor([[True, True, False]]),
    )
    own, other = exp(1.6 - log(0.5)), exp(0 - log(0.25))
    assert loss.item() == pytest.approx(-log(own / (own + other)))


def test_sampled_retrieval_of_the_whole_catalogue_is_the_full_softmax():
    torch.manual_seed(0)
    users, items = (F.normalize(torch.randn(n, 4), dim=1) for n in (5, 9))
    target = tensor([0, 8, 3, 3, 1])
    sampled = retrieval_loss(
        users @ items.T, target, temperature=0.1, expected_count=torch.ones(9), hits=torch.zeros(5, 9, dtype=torch.bool)
    )
    torch.testing.assert_close(sampled, full_softmax_loss(users, items, target, 0.1))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preference": "hinge"}, "objective.preference='hinge' is unknown; use bce, softmax, pairwise"),
        ({"similarity": "dot"}, "objective.similarity='dot' is unknown; use raw, affine or null"),
        ({"temperature": 0.0}, "objective.temperature=0.0 must be above 0"),
        ({"negatives": ()}, "at least the number of kinds"),
        ({"negatives": ("hard", "uniform"), "n_negatives": 1}, "objective.n_negatives=1 must be at least 1"),
        ({"preference_weight": 0.0}, "not all 0, or nothing is trained"),
        ({"retrieval_weight": -1.0}, "must not be negative"),
        ({"rank_positions": 0}, "objective.rank_positions=0 must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(BadConfig) as caught:
        Objective(**options)
    assert says in str(caught.value)


def test_how_many_candidates_the_retrieval_softmax_has():
    auto = Objective()
    assert auto.n_candidates(10_000) is None
    assert 0 < auto.n_candidates(10_001) < 10_001
    assert Objective(retrieval_candidates="all").n_candidates(10**6) is None
    assert Objective(retrieval_candidates=300).n_candidates(50) == 300


@pytest.mark.parametrize(
    ("name", "similarity", "trains_towers"),
    [("single", None, False), ("multi_cos", "raw", True), ("multi_cos_affine", "affine", True)],
)
def test_the_objectives_of_the_reference_are_what_the_table_says(name, similarity, trains_towers):
    chosen = instantiate(compose([f"objective={name}"]).objective)
    assert (chosen.preference, chosen.preference_weight, chosen.similarity) == ("bce", 1.0, similarity)
    assert (list(chosen.negatives), chosen.n_negatives, chosen.retrieval_weight) == (["same_category"], 1, 0)
    assert chosen.trains_towers is trains_towers


def test_the_joint_objective_has_all_three_terms():
    chosen = instantiate(compose(["objective=joint"]).objective)
    assert min(chosen.preference_weight, chosen.similarity_weight, chosen.retrieval_weight) > 0
    assert chosen.similarity is not None


@pytest.mark.parametrize("name", ["multi_cos", "multi_cos_affine"])
def test_lambda_of_the_reference_is_a_half(name):
    assert instantiate(compose([f"objective={name}"]).objective).similarity_weight == 0.5


def test_the_default_objective_is_what_the_yaml_says():
    assert instantiate(OmegaConf.load(conf_dir() / "objective" / "joint.yaml")) == JointObjective()


def test_kinds_of_negatives_have_equal_shares_the_first_ones_the_rest():
    objective = Objective(negatives=("hard", "uniform", "popularity"), n_negatives=8)
    assert objective.shares() == {"hard": 3, "uniform": 3, "popularity": 2}


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_the_towers_share_of_the_gradient_is_a_share(share):
    with pytest.raises(BadConfig, match=r"tower_share=.* must lie between 0 and 1"):
        Objective(tower_share=share)
