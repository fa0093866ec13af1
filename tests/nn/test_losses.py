"""Every loss by hand-worked numbers, and its gradient by finite differences."""

from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor, tensor
from torch.autograd import gradcheck

from twotower.nn.losses import (
    affine_similarity,
    correct_log_q,
    mask_accidental_hits,
    preference_bce,
    preference_softmax,
    ranknet_loss,
    raw_similarity,
    retrieval_softmax,
    scale_by_temperature,
    scale_gradient,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def drawn(*shape: int) -> Tensor:
    """Doubles that ask for a gradient, as gradcheck needs them."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return numbers.requires_grad_()


def test_bce_with_one_negative_is_the_mean_of_both_logarithms():
    loss = preference_bce(tensor([2.0]), tensor([[-1.0]]))
    assert loss.item() == pytest.approx((-log(sigmoid(2)) - log(1 - sigmoid(-1))) / 2)


def test_bce_with_n_negatives_counts_every_pair_alike():
    positive, negative = tensor([2.0, 0.0]), tensor([[-1.0, 0.5, 3.0], [0.0, -2.0, 1.0]])
    terms = [-log(sigmoid(x)) for x in (2, 0)] + [-log(1 - sigmoid(x)) for x in (-1, 0.5, 3, 0, -2, 1)]
    assert preference_bce(positive, negative).item() == pytest.approx(sum(terms) / 8)


def test_bce_of_huge_logits_is_finite():
    loss = preference_bce(tensor([-500.0]), tensor([[500.0]]))
    assert loss.item() == pytest.approx((500 + 500) / 2)


def test_preference_softmax_is_the_logarithm_of_the_positives_share():
    loss = preference_softmax(tensor([1.0]), tensor([[0.0, -1.0]]))
    assert loss.item() == pytest.approx(-log(exp(1) / (exp(1) + exp(0) + exp(-1))))


def test_pairwise_loss_is_the_mean_over_all_pairs():
    positive, negative = tensor([1.0, 0.0]), tensor([[0.0, 3.0], [0.0, -1.0]])
    gaps = (0 - 1, 3 - 1, 0 - 0, -1 - 0)
    assert ranknet_loss(positive, negative).item() == pytest.approx(sum(log(1 + exp(g)) for g in gaps) / 4)


def test_with_one_negative_pairwise_equals_softmax():
    positive, negative = drawn(5), drawn(5, 1)
    torch.testing.assert_close(ranknet_loss(positive, negative), preference_softmax(positive, negative))


def test_raw_similarity_is_the_root_of_the_mean_squared_gap():
    loss = raw_similarity(tensor([0.5, -0.1]), tensor([0.2, 0.3]))
    assert loss.item() == pytest.approx(sqrt((0.3**2 + 0.4**2) / 2))


def test_raw_similarity_of_equal_cosines_has_gradient_zero():
    cosine = tensor([0.5, -0.1], requires_grad=True)
    loss = raw_similarity(cosine, tensor([0.5, -0.1]))
    loss.backward()
    assert loss.item() == 0
    assert cosine.grad.tolist() == [0, 0]


def test_affine_similarity_by_hand():
    """Positive at cosine .6 is .8 close, negative at -.2 is .4 close: (1 - .8 + .4) / 2."""
    assert affine_similarity(tensor([0.6, -0.2]), tensor([1.0, 0.0])).item() == pytest.approx((0.2 + 0.4) / 2)


def test_better_separation_lowers_the_affine_loss():
    label = tensor([1.0, 0.0])
    perfect, none, inverted = (affine_similarity(tensor(c), label) for c in ([1.0, -1.0], [0.3, 0.3], [-1.0, 1.0]))
    assert [perfect.item(), none.item(), inverted.item()] == pytest.approx([0, 0.5, 1])


def test_a_step_down_the_affine_loss_pulls_positives_and_pushes_negatives():
    cosine = tensor([0.1, 0.1], requires_grad=True)
    affine_similarity(cosine, tensor([1.0, 0.0])).backward()
    assert cosine.grad.tolist() == pytest.approx(
        [-0.25, 0.25]
    )  # half of it per pair, half again for c = (cosine + 1)/2


def test_temperature_divides():
    assert scale_by_temperature(tensor([0.5, -0.25]), 0.05).tolist() == pytest.approx([10, -5])


def test_log_q_takes_the_logarithm_of_the_expected_count_off_each_column():
    corrected = correct_log_q(tensor([[1.0, 1.0], [0.0, 2.0]]), tensor([1.0, 0.5]))
    assert corrected.tolist() == [pytest.approx([1, 1 + log(2)]), pytest.approx([0, 2 + log(2)])]


def test_log_q_makes_a_sampled_softmax_agree_with_the_full_one():
    """Mean over many samples of exp(logit - log q) is the full sum of exp(logit)."""
    logits, q = tensor([0.3, -0.7, 1.1]).double(), tensor([0.9, 0.5, 0.1]).double()
    draws = torch.rand(200_000, 3, generator=torch.Generator().manual_seed(0)) < q
    sums = (correct_log_q(logits[None], q).exp() * draws).sum(1)
    assert sums.mean().item() == pytest.approx(logits.exp().sum().item(), rel=0.01)


def test_accidental_hits_vanish_but_the_own_target_stays():
    hits = tensor([[True, True, False], [False, True, True]])
    masked = mask_accidental_hits(torch.ones(2, 3), hits, tensor([0, 2]))
    assert masked.tolist() == [[1, -torch.inf, 1], [1, -torch.inf, 1]]


def test_masked_candidates_do_not_count_in_the_softmax():
    logits = mask_accidental_hits(tensor([[1.0, 7.0, 0.0]]), tensor([[True, True, False]]), tensor([0]))
    assert retrieval_softmax(logits, tensor([0])).item() == pytest.approx(-log(exp(1) / (exp(1) + exp(0))))


@pytest.mark.parametrize("loss", [preference_bce, preference_softmax, ranknet_loss])
def test_gradients_of_preference_losses(loss):
    assert gradcheck(loss, (drawn(4), drawn(4, 3)))


@pytest.mark.parametrize("loss", [raw_similarity, affine_similarity])
def test_gradients_of_similarity_losses(loss):
    assert gradcheck(lambda cosine: loss(cosine, torch.linspace(0, 1, 6, dtype=torch.float64)), (drawn(6),))


def test_gradients_of_the_retrieval_chain():
    hits = tensor([[True, False, True], [False, True, False]])

    def chain(cosine: Tensor) -> Tensor:
        logits = correct_log_q(scale_by_temperature(cosine, 0.5), tensor([0.5, 1.0, 2.0]).double())
        return retrieval_softmax(mask_accidental_hits(logits, hits, tensor([0, 1])), tensor([0, 1]))

    assert gradcheck(chain, (drawn(2, 3),))


def test_a_share_of_the_gradient_flows_back_and_the_values_stay():
    x = torch.tensor([2.0], requires_grad=True)
    y = scale_gradient(x, 0.25)
    (3 * y).sum().backward()
    assert y.item() == 2.0
    assert x.grad.tolist() == [0.25 * 3]
