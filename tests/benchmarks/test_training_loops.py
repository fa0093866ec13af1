"""Training peers: the plain loop trains the same networks, and each installed library trains on every pair."""

import numpy as np
import pytest
import torch

from twotower.benchmarks.training_loops import DictExamples, _collated, installed_peers, plain_torch, torch_loops
from twotower.data.split import Split
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.fitting import build_model
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions

REFERENCE = TowerOptions(dim=6, history=None, identities=False, dropout=0.0, rank_dropout=0.0, rank_interactions=False)


@pytest.fixture
def examples(two_tastes: Split) -> DictExamples:
    events = two_tastes.train.unique_pairs()
    features = TowerFeatures.fit(two_tastes.dataset, two_tastes.train, FeatureOptions(), 1)
    inputs, profiles = features.training_inputs(two_tastes.dataset, two_tastes.train)
    return DictExamples(events, inputs, profiles.rows(events.user.astype(np.int64), events.time))


def test_dictionaries_are_collated_to_the_features_that_ours_take(examples):
    rows = [3, 0, 11]
    batch = _collated([examples[row] for row in rows])
    inputs = examples.inputs.to(torch.device("cpu"))
    wanted = {
        "profile": inputs.profiles.take(torch.tensor(examples.profile_rows[rows])),
        "positive": inputs.items.take(torch.tensor(examples.events.item[rows])),
    }
    for part, features in wanted.items():
        assert batch[part].continuous.equal(features.continuous)
        for name, codes in features.codes.items():
            got = batch[part].codes[name]
            if isinstance(codes, torch.Tensor):
                assert got.equal(codes)
            else:
                assert all(getattr(got, a).equal(getattr(codes, a)) for a in ("codes", "weights", "offsets"))


def test_both_loops_go_over_the_same_pairs(examples):
    """In another order: sums over an epoch agree."""
    sums = []
    for batches in torch_loops(examples, 16).values():
        batches = list(batches)
        sizes = [len(batch["positive"]) for batch in batches]
        assert (set(sizes[:-1]), sum(sizes)) == ({16}, len(examples))
        sums.append(
            [torch.cat([b[part].continuous for b in batches]).double().sum(0) for part in ("profile", "positive")]
        )
    for dictionaries, gathered in zip(*sums, strict=True):
        torch.testing.assert_close(dictionaries, gathered)


@pytest.mark.parametrize("name", ["loop over dictionaries", "loop over gathered fields"])
def test_a_plain_loop_counts_and_learns(examples, name):
    torch.manual_seed(0)
    model = build_model(REFERENCE, Objective(negatives=("uniform",), similarity="affine"), examples.inputs)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    done = plain_torch(model, torch_loops(examples, 16)[name], at_most=3)
    assert done.positives == 48
    assert done.rate == done.positives / done.seconds
    assert any(not p.equal(before[name]) for name, p in model.named_parameters())


def test_installed_libraries_train_on_every_pair(examples):
    for name, run in installed_peers(dim=4, threads=1).items():
        assert run(examples.events).positives == len(examples.events), name
