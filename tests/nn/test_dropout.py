"""FairDropout: half of the units, twice their size, from torch's seed."""

import pytest
import torch

from twotower.nn.dropout import FairDropout, doubled_bits, dropout

CPU = torch.device("cpu")


def test_every_place_of_a_word_is_dropped_half_of_the_time():
    """100,000 words: the share at each of the 64 places has a standard error of 0.0016."""
    torch.manual_seed(3)
    draws = doubled_bits(6_400_000, CPU)
    assert set(draws.unique().tolist()) == {0.0, 2.0}
    assert (draws.view(-1, 64).mean(0) - 1).abs().max() < 5 * 2 * 0.0016


def test_neighbours_are_independent():
    torch.manual_seed(4)
    draws = doubled_bits(1_000_000, CPU) - 1
    for gap in (1, 8, 64):
        assert (draws[gap:] * draws[:-gap]).mean().abs() < 5e-3


@pytest.mark.parametrize("shape", [(3, 5), (1,), (0, 4), (64, 2), (7, 13)])
def test_values_are_doubled_or_gone_and_so_are_gradients(shape):
    torch.manual_seed(0)
    values = torch.full(shape, 3.0, requires_grad=True)
    kept = FairDropout()(values)
    assert kept.shape == shape
    assert set(kept.detach().flatten().tolist()) <= {0.0, 6.0}
    kept.sum().backward()
    torch.testing.assert_close(values.grad * 3, kept.detach())


def test_the_seed_decides_and_evaluation_changes_nothing():
    values = torch.randn(40, 40)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(FairDropout()(values))
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
    assert FairDropout().eval()(values) is values


@pytest.mark.parametrize(("share", "kind"), [(0.5, FairDropout), (0.1, torch.nn.Dropout), (0.0, torch.nn.Dropout)])
def test_one_half_is_dropped_by_bits_other_shares_by_torch(share, kind):
    made = dropout(share)
    assert isinstance(made, kind)
    assert getattr(made, "p", 0.5) == share
