"""`Objective`: which losses are added up, and how; the reference's three objectives and `joint` are settings of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from twotower.errors import BadConfig
from twotower.nn import losses
from twotower.training.negatives import SamplerKind

Preference = Literal["bce", "softmax", "pairwise"]
Similarity = Literal["raw", "affine"]
NegativeKind = SamplerKind | Literal["hard"]

PREFERENCES = {
    "bce": losses.preference_bce,
    "softmax": losses.preference_softmax,
    "pairwise": losses.ranknet_loss,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """preference_weight · preference + similarity_weight · similarity + retrieval_weight · retrieval.

    | name               | preference | similarity | retrieval |
    |--------------------|------------|------------|-----------|
    | `single`           | bce        | –          | –         |
    | `multi_cos`        | bce        | raw        | –         |
    | `multi_cos_affine` | bce        | affine     | –         |
    | `joint`            | softmax    | affine     | softmax   |

    Attributes:
        preference: loss of RankNet's logits.
        preference_weight: its weight.
        tower_share: share of its gradient that reaches the towers; 1 trains all jointly as in the reference, less keeps
            RankNet from bending the towers away from retrieval.
        similarity: regulariser of the towers' cosine: "raw" keeps the raw vectors' cosine, "affine" pulls positives
            together and pushes negatives apart, None leaves it out.
        similarity_weight: λ of the reference system.
        retrieval_weight: weight of the softmax over candidates that trains the towers to retrieve; 0 leaves it out.
        retrieval_candidates: "all" items of the catalogue, or the batch's own positives with that many uniform
            draws mixed in and a logQ correction; "auto" takes all up to 10,000 items, 2,048 draws above.
        temperature: of the retrieval softmax.
        negatives: where RankNet's negatives come from, in equal shares.
        n_negatives: negatives per positive for RankNet.
        n_hard: "hard" negatives are drawn from this many best wrong items of the current item vectors.
        rank_positions: positions per batch on which RankNet is trained; None takes all.
    """

    preference: Preference = "bce"
    preference_weight: float = 1.0
    tower_share: float = 1.0
    similarity: Similarity | None = None
    similarity_weight: float = 0.5
    retrieval_weight: float = 0.0
    retrieval_candidates: int | Literal["auto", "all"] = "auto"
    temperature: float = 0.1
    negatives: tuple[NegativeKind, ...] = ("uniform",)
    n_negatives: int = 1
    n_hard: int = 500
    rank_positions: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "negatives", tuple(self.negatives))  # YAML has lists
        if self.preference not in PREFERENCES:
            raise BadConfig(f"objective.preference={self.preference!r} is unknown; use {', '.join(PREFERENCES)}")
        if self.similarity not in (None, "raw", "affine"):
            raise BadConfig(f"objective.similarity={self.similarity!r} is unknown; use raw, affine or null")
        weights = (self.preference_weight, self.similarity_weight if self.similarity else 0.0, self.retrieval_weight)
        if min(weights) < 0 or not any(weights):
            raise BadConfig(f"objective: weights {weights} must not be negative and not all 0, or nothing is trained")
        if not 0 <= self.tower_share <= 1:
            raise BadConfig(f"objective.tower_share={self.tower_share} must lie between 0 and 1")
        if self.temperature <= 0:
            raise BadConfig(f"objective.temperature={self.temperature} must be above 0")
        if self.rank_positions is not None and self.rank_positions < 1:
            raise BadConfig(f"objective.rank_positions={self.rank_positions} must be at least 1, or null for all")
        if not self.negatives or self.n_negatives < len(self.negatives):
            raise BadConfig(
                f"objective.n_negatives={self.n_negatives} must be at least 1 and at least the number of kinds in "
                f"objective.negatives={list(self.negatives)}"
            )

    @property
    def trains_towers(self) -> bool:
        """Whether anything but RankNet's loss shapes the towers, so that they can be searched by cosine."""
        return self.retrieval_weight > 0 or self.similarity is not None

    def shares(self) -> dict[NegativeKind, int]:
        """Negatives per position of each kind, as equal as they can be."""
        n, kinds = self.n_negatives, self.negatives
        return {kind: n // len(kinds) + (i < n % len(kinds)) for i, kind in enumerate(kinds)}

    def n_candidates(self, n_items: int) -> int | None:
        """Uniform draws for the retrieval softmax; None means the whole catalogue."""
        if self.retrieval_candidates == "auto":
            return None if n_items <= 10_000 else 2_048
        return None if self.retrieval_candidates == "all" else int(self.retrieval_candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointObjective(Objective):
    """RankNet's preference, similarity and a softmax over the catalogue that trains the towers to retrieve."""

    preference: Preference = "softmax"
    tower_share: float = 0.05
    similarity: Similarity | None = "affine"
    similarity_weight: float = 0.01
    retrieval_weight: float = 1.0
    negatives: tuple[NegativeKind, ...] = ("hard", "uniform")
    n_negatives: int = 16
    rank_positions: int | None = 256


def preference_loss(kind: Preference, positive: Tensor, negative: Tensor) -> Tensor:
    """RankNet's loss by name; logits [P] and [P, n]."""
    return PREFERENCES[kind](positive, negative)


def similarity_loss(
    kind: Similarity, cosine: Tensor, raw_cosine: Tensor | None, mean: Callable[[Tensor], Tensor] = torch.mean
) -> Tensor:
    """Regulariser of cosines [P, 1 + n] whose column 0 belongs to the positive; for `mean` see `raw_similarity`."""
    if kind == "raw":
        if raw_cosine is None:
            raise BadConfig(
                "objective.similarity=raw compares with raw profiles, and this run has none; "
                "switch profiles on (features.profiles=true) or use similarity=affine"
            )
        return losses.raw_similarity(cosine.flatten(), raw_cosine.flatten(), mean)
    label = torch.zeros_like(cosine)
    label[:, 0] = 1
    return losses.affine_similarity(cosine.flatten(), label.flatten())


def retrieval_loss(
    cosine: Tensor, target: Tensor, *, temperature: float, expected_count: Tensor, hits: Tensor
) -> Tensor:
    """Softmax over sampled candidates, step by step: temperature, logQ, accidental hits, loss.

    Relations: `nn.full_softmax.full_softmax_loss` is the same over the whole catalogue, where nothing is to correct.

    Args:
        cosine: of positions and candidates. Shape [P, C].
        target: column of each position's positive. Shape [P].
        temperature: divides the cosines.
        expected_count: see `correct_log_q`. Shape [C].
        hits: see `mask_accidental_hits`. Shape [P, C].
    """
    logits = losses.scale_by_temperature(cosine, temperature)
    logits = losses.correct_log_q(logits, expected_count)
    logits = losses.mask_accidental_hits(logits, hits, target)
    return losses.retrieval_softmax(logits, target)
