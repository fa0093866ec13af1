"""Pairwise training of factor models: BPR and WARP over sampled negatives, stopped early by validation MAP@10."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from twotower.data.interactions import Interactions
from twotower.data.negatives import PopularityNegatives
from twotower.models.entities import EntityTable
from twotower.nn.losses import ranknet_loss
from twotower.types import Ids

Loss = Literal["bpr", "warp"]
Step = Callable[[], tuple[Tensor, dict[str, float]]]


class PairScorer(nn.Module):
    """Score = user vector · item vector + item bias; a user's bias would not change the user's order.

    The user vector is the sum of the user's own row and, if there are any, of a row of time-dependent profiles.
    """

    def __init__(self, users: EntityTable, items: EntityTable, profiles: EntityTable | None = None) -> None:
        super().__init__()
        self.users = users
        self.items = items
        self.profiles = profiles

    def user_vectors(self, users: Tensor, profile_rows: Tensor | None = None) -> Tensor:
        """Vectors [P, D] of users [P] with the profiles that they had at the time [P]."""
        vectors: Tensor = self.users(users)
        if self.profiles is not None and profile_rows is not None:
            vectors = vectors + self.profiles(profile_rows)
        return vectors


def warp_loss(positive: Tensor, violating: Tensor, trials: Tensor, n_items: int) -> Tensor:
    """Hinge of the first violating negative, weighted by the log of the rank that its number of trials suggests.

    A negative violates when it scores within 1 of the positive. Found at the first of N - 1 trials, the positive must
    rank low: rank ≈ (N - 1) / trials, weight log(rank). Positions without violator contribute 0.

    Args:
        positive: scores of the positives. Shape [P].
        violating: scores of the first violators (anything where there is none). Shape [P].
        trials: draws up to and with the violator, 0 where there is none. Shape [P].
        n_items: items that negatives are drawn from.

    Returns:
        The mean over P.

    Source: Weston, Bengio & Usunier 2011, "WSABIE: Scaling up to large vocabulary image annotation", with the
    logarithm of Kula 2015 (LightFM) for the sum of reciprocal ranks.
    Relations: with weight 1 and one negative it is a hinge in place of BPR's logistic curve.
    """
    rank = ((n_items - 1) / trials.clamp(min=1)).floor().clamp(min=1)
    hinge = (1 - positive + violating).clamp(min=0)
    return (rank.log() * hinge * (trials > 0)).mean()


def first_violator(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Column of the first negative [P, M] within 1 of the positive [P], and its trials: column + 1, 0 if none."""
    violates = negative > positive[:, None] - 1
    column = violates.int().argmax(dim=1)
    return column, torch.where(violates.any(dim=1), column + 1, 0)


@dataclass
class PairTask:
    """A `Task` of the training loop: every event of `events` is a positive, negatives are drawn for it.

    Attributes:
        scorer: what is trained.
        optimizers: of the scorer.
        events: training events, one per user-item pair.
        profile_rows: the profile row of each event's user at the event's time, if there are profiles. Shape [E].
        loss: bpr averages over all negatives, warp takes the first violator among them.
        n_negatives: draws per positive.
        negative_power: 0 draws every item with events alike, 1 in proportion to its events.
        l2: weight of the squared vectors of a batch.
        batch_size: positives per step.
        seed: decides order and draws, with the numbers of epoch and batch.
        watch: gives the validation figure; None in the last fit.
    """

    scorer: PairScorer
    optimizers: list[torch.optim.Optimizer]
    events: Interactions
    profile_rows: Ids | None
    loss: Loss
    n_negatives: int
    negative_power: float
    l2: float
    batch_size: int
    seed: int
    watch: Callable[[], float] | None

    def __post_init__(self) -> None:
        self.module: nn.Module = self.scorer
        self._sampler = PopularityNegatives(self.events, power=self.negative_power)
        self._n_candidates = int(np.count_nonzero(self.events.item_counts()))

    def n_batches(self, epoch: int) -> int:
        """Batches of an epoch."""
        return -(-len(self.events) // self.batch_size)

    def start_epoch(self, epoch: int, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing to prepare."""
        return {}

    def validate(self) -> float | None:
        """The validation figure, None where nothing is watched."""
        return self.watch() if self.watch else None

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Step]]:
        """Shuffled positives, from batch `start` on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.events))
        for batch in range(start, self.n_batches(epoch)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield len(rows), partial(self._step, rows, np.random.default_rng((self.seed, epoch, batch)))

    def _step(self, rows: Ids, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of the positives in some rows of the events."""
        users, items = self.events.user[rows].astype(np.int64), self.events.item[rows].astype(np.int64)
        negatives = self._sampler.draw(users, items, self.events.time[rows], self.n_negatives, rng)
        profiles = None if self.profile_rows is None else torch.from_numpy(self.profile_rows[rows])
        query = self.scorer.user_vectors(torch.from_numpy(users), profiles)  # [P, D]
        rank = self._bpr if self.loss == "bpr" else self._warp
        loss, read = rank(query, torch.from_numpy(items)[:, None], torch.from_numpy(negatives))
        penalty = (query.square().sum() + read[..., :-1].square().sum()) / len(rows)
        return loss + self.l2 * penalty, {}

    def _bpr(self, query: Tensor, items: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss, and the item vectors that it read [P, 1 + n, D + 1]."""
        vectors = self.scorer.items(torch.cat([items, negatives], dim=1))
        scores = pair_scores(query, vectors)
        return ranknet_loss(scores[:, 0], scores[:, 1:]), vectors

    def _warp(self, query: Tensor, items: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss, and the item vectors that it read [P, 2, D + 1]; the search for violators has no gradient."""
        with torch.no_grad():
            scores = pair_scores(query, self.scorer.items(torch.cat([items, negatives], dim=1)))
            column, trials = first_violator(scores[:, 0], scores[:, 1:])
        vectors = self.scorer.items(torch.cat([items, negatives.gather(1, column[:, None])], dim=1))
        scores = pair_scores(query, vectors)
        return warp_loss(scores[:, 0], scores[:, 1], trials, self._n_candidates), vectors


def pair_scores(query: Tensor, items: Tensor) -> Tensor:
    """Products of user vectors [P, D] with their own item vectors [P, n, D + 1], plus the bias in the last column."""
    return (items[..., :-1] @ query[:, :, None])[..., 0] + items[..., -1]
