"""UserNet: own features, profile and history become one unit vector per position."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twotower.errors import BadConfig
from twotower.features.encoded import EncodedTable
from twotower.models.two_tower.user_net import UserInputs, UserNet
from twotower.nn.tensors import FeatureTensors

W, T, DIM = 3, 5, 8


def tensors(n: int, name: str, seed: int) -> FeatureTensors:
    rng = np.random.default_rng(seed)
    codes = {name: rng.integers(0, 4, n).astype(np.int32)}
    return FeatureTensors.of(
        EncodedTable({name: 4}, codes, rng.normal(size=(n, 1)).astype(np.float32), ("x",)), torch.device("cpu")
    )


@pytest.fixture
def inputs() -> UserInputs:
    torch.manual_seed(3)
    rows = torch.randint(0, 2, (W, T))
    return UserInputs(
        tensors(W, "city", 0), tensors(2, "makes", 1), rows, F.normalize(torch.randn(W, T - 1, DIM), dim=-1)
    )


def net(history: str | None = "transformer", **options) -> UserNet:
    torch.manual_seed(0)
    sizes = {"static_sizes": {"city": 4}, "n_static": 1, "profile_sizes": {"makes": 4}, "n_profile": 1}
    return UserNet(**sizes | {"dim": DIM, "history": history, "history_length": T} | options).eval()


@pytest.mark.parametrize("history", ["mean", "attention", "transformer", None])
def test_every_position_gets_a_vector_of_unit_length(history, inputs):
    vectors = net(history)(inputs)
    assert vectors.shape == (W, T, DIM)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(W, T))


def test_features_and_history_are_added(inputs):
    tower = net("mean")
    features = torch.cat(
        [
            tower.static(inputs.static)[:, None].expand(-1, T, -1),
            tower.profile(inputs.profiles)[inputs.profile_rows],
        ],
        dim=2,
    )
    steps = torch.cat([tower.start.expand(W, 1, -1), inputs.history * DIM**0.5], dim=1)
    means = steps.cumsum(1) / torch.arange(1, T + 1)[:, None]
    torch.testing.assert_close(tower(inputs), F.normalize(tower.project(features) + means, dim=-1))


def test_without_a_history_only_the_features_speak(inputs):
    tower = net(None)
    other = UserInputs(inputs.static, inputs.profiles, inputs.profile_rows, -inputs.history)
    torch.testing.assert_close(tower(inputs), tower(other))
    assert tower.start is None


def test_the_profile_of_a_position_is_the_one_of_its_row(inputs):
    tower = net(None)
    vectors = tower(inputs)
    for w in range(W):
        same = inputs.profile_rows[w] == inputs.profile_rows[w, 0]
        torch.testing.assert_close(vectors[w, same], vectors[w, :1].expand(int(same.sum()), -1))
        assert not torch.allclose(vectors[w, ~same], vectors[w, :1])


def test_a_tower_of_history_only_needs_no_features(inputs):
    empty = FeatureTensors.of(EncodedTable.empty(W), torch.device("cpu"))
    tower = net(static_sizes={}, n_static=0, profile_sizes={}, n_profile=0)
    vectors = tower(UserInputs(empty, empty, torch.zeros(W, T, dtype=torch.long), inputs.history))
    torch.testing.assert_close(vectors[:, 0], vectors[:1, 0].expand(W, -1))  # before any item all are alike
    assert not torch.allclose(vectors[0, -1], vectors[1, -1])


def test_a_tower_of_nothing_is_refused():
    with pytest.raises(BadConfig, match="no user features, no profile and no history"):
        net(None, static_sizes={}, n_static=0, profile_sizes={}, n_profile=0)
