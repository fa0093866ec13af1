"""FTRL against the algorithm as it is printed, coordinate by coordinate in NumPy."""

from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn, tensor

from twotower.errors import BadConfig
from twotower.training.ftrl import FTRL


def printed_algorithm(gradients: np.ndarray, alpha: float, beta: float, l1: float, l2: float) -> np.ndarray:
    """McMahan et al. (2013), algorithm 1 with w, z, n from zero; the weights after all gradients [T, n]."""
    z, n = np.zeros(gradients.shape[1]), np.zeros(gradients.shape[1])

    def weight(i: int) -> float:
        if abs(z[i]) <= l1:
            return 0.0
        return -1 / ((beta + sqrt(n[i])) / alpha + l2) * (z[i] - np.sign(z[i]) * l1)

    for g in gradients:
        w = [weight(i) for i in range(len(g))]
        for i in range(len(g)):
            sigma = (sqrt(n[i] + g[i] ** 2) - sqrt(n[i])) / alpha
            z[i] += g[i] - sigma * w[i]
            n[i] += g[i] ** 2
    return np.array([weight(i) for i in range(gradients.shape[1])])


def follow(gradients: np.ndarray, start: torch.Tensor, **options: float) -> np.ndarray:
    """Our optimiser fed the same gradients."""
    weight = nn.Parameter(start.double())
    optimizer = FTRL([weight], **options)
    for g in gradients:
        weight.grad = torch.as_tensor(g)
        optimizer.step()
    return weight.detach().numpy()


@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0.7, 0), (0, 0.3), (0.7, 0.3)])
def test_from_zero_it_is_the_printed_algorithm(l1, l2):
    gradients = np.random.default_rng(0).normal(size=(20, 6))
    ours = follow(gradients, torch.zeros(6), lr=0.1, beta=1.5, l1=l1, l2=l2)
    np.testing.assert_allclose(ours, printed_algorithm(gradients, 0.1, 1.5, l1, l2), rtol=1e-12)


def test_first_step_by_hand():
    """With z = 2, n = 4, rate = (1 + √4) / .5 = 6 the weight becomes -2 / 6."""
    assert follow(np.array([[2.0]]), torch.zeros(1), lr=0.5, beta=1.0)[0] == pytest.approx(-2 / 6)


def test_l1_makes_weights_exactly_zero():
    gradients = np.random.default_rng(1).normal(scale=[0.01, 1.0], size=(5, 2)) + np.array([0, 1])
    small, large = follow(gradients, torch.zeros(2), lr=0.1, l1=0.5)
    assert small == 0
    assert large < 0


def test_it_starts_from_the_given_weight():
    start = tensor([0.25, -3.0])
    np.testing.assert_allclose(follow(np.zeros((3, 2)), start, lr=0.1, l2=0.4), start.numpy())


def test_it_finds_the_minimum():
    weight = nn.Parameter(tensor([5.0, -5.0]))
    optimizer = FTRL([weight], lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        (weight - tensor([1.0, 2.0])).square().sum().backward()
        optimizer.step()
    assert weight.tolist() == pytest.approx([1, 2], abs=1e-2)


def test_parameters_without_a_gradient_stay():
    weight = nn.Parameter(tensor([1.0]))
    FTRL([weight]).step()
    assert weight.item() == 1


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"beta": -1.0}, {"l1": -0.1}, {"l2": -0.1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(BadConfig, match="FTRL"):
        FTRL([nn.Parameter(torch.zeros(1))], **wrong)
