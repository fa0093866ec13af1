"""ItemNet: unit vectors from features, and from identities where there are any."""

import numpy as np
import pytest
import torch
from torch import tensor
from torch.nn import functional as F

from twotower.features.encoded import EncodedTable
from twotower.models.two_tower.item_net import ItemNet
from twotower.nn.tensors import FeatureTensors

N, DIM = 6, 8


@pytest.fixture
def features() -> FeatureTensors:
    codes = {"make": np.array([1, 2, 3, 1, 2, 3], np.int32)}
    table = EncodedTable({"make": 4}, codes, np.linspace(-1, 1, N, dtype=np.float32)[:, None], ("price",))
    return FeatureTensors.of(table, torch.device("cpu"))


def net(**options) -> ItemNet:
    torch.manual_seed(0)
    return ItemNet(**{"sizes": {"make": 4}, "n_continuous": 1, "n_identities": 3, "dim": DIM} | options).eval()


NONE = torch.zeros(N, dtype=torch.long)


def test_vectors_have_unit_length(features):
    vectors = net()(features, tensor([0, 1, 2, 3, 0, 1]))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(N))


def test_without_an_identity_the_features_alone_speak(features):
    tower = net()
    expected = F.normalize(tower.project(tower.features(features)), dim=1)
    torch.testing.assert_close(tower(features, NONE), expected)


def test_an_identity_is_added_to_the_features(features):
    tower = net()
    identities = tensor([0, 1, 2, 3, 0, 1])
    sums = tower.project(tower.features(features)) + tower.identities.weight[identities]
    torch.testing.assert_close(tower(features, identities), F.normalize(sums, dim=1))


def test_no_identity_stays_no_identity_in_training(features):
    tower = net()
    tower(features, NONE).sum().backward()
    assert tower.identities.weight.grad[0].abs().sum() == 0
    assert (tower.identities.weight[0] == 0).all()


def test_identities_are_hidden_at_their_share_and_only_in_training(features):
    tower = net(identity_dropout=0.3)
    many = features.take(torch.zeros(4000, dtype=torch.long))
    ones = torch.ones(4000, dtype=torch.long)
    bare, named = tower(many, 0 * ones)[0], tower(many, ones)
    torch.testing.assert_close(named, named[:1].expand(4000, -1))
    tower.train()
    hidden = torch.isclose(tower(many, ones), bare, atol=1e-6).all(dim=1)
    assert hidden.float().mean().item() == pytest.approx(0.3, abs=0.04)  # sd of the share: .007


def test_a_catalogue_without_features_lives_on_identities():
    empty = FeatureTensors.of(EncodedTable.empty(3), torch.device("cpu"))
    tower = net(sizes={}, n_continuous=0)
    vectors = tower(empty, tensor([0, 1, 2]))
    assert not torch.allclose(vectors[1], vectors[2])
    torch.testing.assert_close(vectors[0], torch.full((DIM,), DIM**-0.5))  # of an unnamed item nothing is known
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_without_identities_there_is_no_table(features):
    tower = net(n_identities=0)
    assert tower.identities is None
    torch.testing.assert_close(tower(features, NONE), tower(features, NONE + 1))
