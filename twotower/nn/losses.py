"""Losses as pure functions of tensors, one idea each; the objectives in `models/two_tower/objective.py` add them up.

Letters: P training positions, C candidates of a softmax, n negatives of a position.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def preference_bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean binary cross-entropy of positive logits [P] against 1 and negative logits [P, n] against 0.

    The mean runs over all P + P·n pairs, so one negative a positive gives the reference system's balanced loss.

    Source: Kurovski (2017), objective `single`.
    Relations: `preference_softmax` compares the positive with its own negatives instead of with 0 and 1.
    """
    positives = F.binary_cross_entropy_with_logits(positive, torch.ones_like(positive), reduction="sum")
    negatives = F.binary_cross_entropy_with_logits(negative, torch.zeros_like(negative), reduction="sum")
    return (positives + negatives) / (positive.numel() + negative.numel())


def preference_softmax(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean negative log-share of each positive logit [P] among itself and its negatives [P, n].

    Source: Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet), 2007, top-one form.
    """
    logits = torch.cat([positive[:, None], negative], dim=1)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def ranknet_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of log(1 + exp(negative − positive)) over all P·n pairs; positive [P], negative [P, n].

    This is the pairwise loss that its authors call RankNet. It is not `RankNet`, the scorer network of this project.

    Source: Burges et al., "Learning to Rank using Gradient Descent", 2005, equation 3 with certain preferences.
    Relations: equals BPR's −log σ(positive − negative); with one negative it equals `preference_softmax`.
    """
    return F.softplus(negative - positive[:, None]).mean()


def raw_similarity(cosine: Tensor, raw_cosine: Tensor, mean: Callable[[Tensor], Tensor] = torch.mean) -> Tensor:
    """Root of the mean squared gap between the towers' cosines [P] and the raw vectors' cosines [P].

    Keeps in the embedding what was alike before it. The gradient at a gap of exactly 0 is 0, not NaN. Processes that
    share a batch give a `mean` that runs over all of it.

    Source: Kurovski (2017), the second term of objective `multi_cos`.
    """
    square = mean((cosine - raw_cosine).square())
    return torch.where(square > 0, square.clamp_min(1e-12).sqrt(), square)


def affine_similarity(cosine: Tensor, label: Tensor) -> Tensor:
    """Mean of p·(1 − c) + (1 − p)·c with c = (cosine + 1) / 2: positives pulled together, negatives apart. Shapes [P].

    The thesis prints this term with a minus sign, which would reward the opposite; here it is a penalty.

    Source: Kurovski (2017), the second term of objective `multi_cos_affine`, sign corrected.
    """
    closeness = (cosine + 1) / 2
    return (label * (1 - closeness) + (1 - label) * closeness).mean()


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The same values, of whose gradient only a share flows back."""
    if share == 1:
        return values
    return values * share + values.detach() * (1 - share)


def scale_by_temperature(cosine: Tensor, temperature: float) -> Tensor:
    """Cosines to logits: small temperatures sharpen the softmax.

    Source: Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", 2019, section 3.
    """
    return cosine / temperature


def correct_log_q(logits: Tensor, expected_count: Tensor) -> Tensor:
    """Subtracts log Q(j) from column j, so that items drawn often are not punished for it.

    Args:
        logits: Shape [P, C].
        expected_count: expected number of times that candidate j is drawn into a batch, > 0. Shape [C].

    Source: Bengio & Senécal, "Adaptive Importance Sampling", 2008; Yi et al., 2019, equation 3.
    """
    return logits - expected_count.log()


def mask_accidental_hits(logits: Tensor, hits: Tensor, target: Tensor) -> Tensor:
    """Takes other positives of the same user out of the negatives.

    Args:
        logits: Shape [P, C].
        hits: True where candidate j is a positive of position p's user. Shape [P, C].
        target: column of position p's own positive, which stays. Shape [P].
    """
    keep_own = hits.scatter(1, target[:, None], False)
    return logits.masked_fill(keep_own, -torch.inf)


def retrieval_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-probability of the target column [P] under the softmax of logits [P, C].

    Source: Covington et al., 2016, section 3.1 (extreme multiclass); sampled columns make it the sampled softmax.
    """
    return F.cross_entropy(logits, target)
