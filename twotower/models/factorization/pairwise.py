"""Pairwise training of factor models: BPR and WARP over sampled negatives, stopped early by validation MAP@10."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.data.interactions import Interactions
from twotower.models.factorization.entities import EntityTable
from twotower.training.negatives import PopularityNegatives
from twotower.types import Ids

Loss = Literal["bpr", "warp"]
Step = Callable[[], tuple[Tensor, dict[str, float]]]
Compare = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From the scores of the positives [P] and of their draws [P, n] to the loss and its gradient in the latter [P, n]."""


class PairScorer(nn.Module):
    """Score = user vector · item vector + item bias; a user's bias would not change the user's order.

    The user vector is the sum of the user's own row and, if there are any, of a row of time-dependent profiles.
    """

    def __init__(self, users: EntityTable, items: EntityTable, profiles: EntityTable | None = None) -> None:
        super().__init__()
        self.users = users
        self.items = items
        self.profiles = profiles

    def user_vectors(self, users: Ids, profile_rows: Ids | None = None) -> Tensor:
        """Vectors [P, D] of users [P] with the profiles that they had at the time [P]."""
        vectors: Tensor = self.users(users)
        if self.profiles is not None and profile_rows is not None:
            vectors = vectors + self.profiles(profile_rows)
        return vectors


def bpr(positive: Tensor, negative: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of −log σ(positive − negative) over the usable pairs, and its gradient in the negative scores.

    Args:
        positive: scores of the positives. Shape [P].
        negative: scores of their draws. Shape [P, n].
        usable: draws that the user is not known to like. Shape [P, n].

    Returns:
        The loss [] and the gradient [P, n]; that in a positive score is minus the sum of the row.

    Source: Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback", section 4.1.
    Relations: `ranknet_loss` with pairs left out.
    """
    behind, count = negative - positive[:, None], usable.sum().clamp(min=1)
    return (F.softplus(behind) * usable).sum() / count, behind.sigmoid() * usable / count


def warp(positive: Tensor, negative: Tensor, trial: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    """Mean hinge of the first violating draw, weighted by the log of the rank that its number of trials suggests.

    A draw violates when it scores within 1 of the positive. Found at the first of N - 1 trials, the positive must rank
    low: rank ≈ (N - 1) / trials, weight log(rank). Positives without violator contribute 0.

    Args:
        positive: scores of the positives. Shape [P].
        negative: scores of their draws. Shape [P, n].
        trial: the number of the trial, 1..n, in which a positive comes to a draw; above n: never. Shape [P, n].
        n_items: items that negatives are drawn from.

    Returns:
        The loss [] and the gradient [P, n]; that in a positive score is minus the sum of the row.

    Source: Weston, Bengio & Usunier 2011, "WSABIE: Scaling up to large vocabulary image annotation", with the
    logarithm of Kula 2015 (LightFM) for the sum of reciprocal ranks.
    Relations: with weight 1 and one negative it is a hinge in place of BPR's logistic curve.
    """
    n = negative.shape[1]
    hinge = 1 - positive[:, None] + negative  # [P, n]
    trials, column = torch.where(hinge > 0, trial, n + 1).min(dim=1, keepdim=True)  # [P, 1]
    rank = ((n_items - 1) / trials.to(positive.dtype)).floor().clamp(min=1)
    weight = rank.log() * (trials <= n) / len(positive)
    return (weight * hinge.gather(1, column)).sum(), torch.zeros_like(negative).scatter_(1, column, weight)


def own_first(n: int) -> Tensor:
    """In which trial, 1..n, each positive of a group of n comes to each of the group's draws: it begins at its own.

    Shape [n, n].
    """
    return (torch.arange(n) - torch.arange(n)[:, None]) % n + 1


class SharedDraws(torch.autograd.Function):
    """Loss of P positives in groups of n neighbours that share n draws; the gradients are worked out with it.

    So every positive looks at n independent draws, though only one is drawn, and its vector looked up, per positive:
    the scores of a group are the product of two small matrices. Autograd would pass over the vectors several times
    more.

    Args of `apply`:
        query: user vectors. Shape [P, D].
        items: vectors of the positives, then of the draws, with the bias in the last column. Shape [2P, D + 1].
        n: draws per positive; P is a multiple.
        compare: `bpr` or `warp` with all but the scores given.
        l2: weight of the mean squared length of the vectors, biases left out.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, items: Tensor, n: int, compare: Compare, l2: float) -> Tensor:
        """The loss []; the gradients are kept for `backward`."""
        dim, decay = query.shape[1], 2 * l2 / len(query)
        users = F.pad(query, (0, 1), value=1.0).view(-1, n, dim + 1)  # [P / n, n, D + 1], the 1 takes the bias
        own, drawn = items.view(2, -1, n, dim + 1)  # both [P / n, n, D + 1]
        positive, negative = (users * own).sum(dim=2), users @ drawn.mT  # [P / n, n], [P / n, n, n]
        loss, push = compare(positive.view(-1), negative.view(-1, n))
        push = push.view_as(negative)
        pull = push.sum(dim=2, keepdim=True)  # [P / n, n, 1]

        to_users = torch.baddbmm(own * pull, push, drawn, beta=-1).view(-1, dim + 1)[:, :-1]
        to_items = torch.empty_like(items)
        torch.mul(users, -pull, out=to_items[: len(query)].view_as(own))
        torch.bmm(push.mT, users, out=to_items[len(query) :].view_as(drawn))
        if l2:
            loss = loss + l2 / len(query) * (_squared(query) + _squared(items) - _squared(items[:, -1]))
            to_users = to_users.add(query, alpha=decay)
            to_items[:, :-1].add_(items[:, :-1], alpha=decay)
        ctx.save_for_backward(to_users, to_items)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """The kept gradients; n, compare and l2 have none."""
        to_users, to_items = ctx.saved_tensors
        if scale != 1:
            to_users, to_items = to_users * scale, to_items * scale
        return to_users, to_items, None, None, None


def _squared(tensor: Tensor) -> Tensor:
    """The sum of squares. Shape []."""
    flat = tensor.reshape(-1)
    return torch.dot(flat, flat)


@dataclass
class PairTask:
    """A `Task` of the training loop: every event of `events` is a positive, negatives are drawn for it.

    Attributes:
        scorer: what is trained.
        optimizers: of the scorer.
        events: training events, one per user-item pair.
        profile_rows: the profile row of each event's user at the event's time, if there are profiles. Shape [E].
        loss: bpr averages over all negatives, warp takes the first violator among them.
        n_negatives: draws that each positive is compared with; see `SharedDraws`.
        negative_power: 0 draws every item with events alike, 1 in proportion to its events.
        l2: weight of the squared vectors of a batch.
        batch_size: positives per step, up to the next multiple of n_negatives.
        seed: decides order and draws, with the numbers of epoch and batch.
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

    def __post_init__(self) -> None:
        self.module: nn.Module = self.scorer
        self._sampler = PopularityNegatives(self.events, power=self.negative_power)
        self._n_candidates = int(np.count_nonzero(self.events.item_counts()))

    def n_batches(self, epoch: int) -> int:
        """Batches of an epoch."""
        return -(-self._n_groups() // self._groups_per_batch())

    def _n_groups(self) -> int:
        return -(-len(self.events) // self.n_negatives)

    def _groups_per_batch(self) -> int:
        return -(-self.batch_size // self.n_negatives)

    def start_epoch(self, epoch: int, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing to prepare."""
        return {}

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Step]]:
        """Shuffled positives, from batch `start` on; the first of them fill up the last group of `n_negatives`."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.events))
        order = np.resize(order, self._n_groups() * self.n_negatives)
        size = self._groups_per_batch() * self.n_negatives
        for batch in range(start, self.n_batches(epoch)):
            rows = order[batch * size : (batch + 1) * size]
            yield len(rows), partial(self._step, rows, np.random.default_rng((self.seed, epoch, batch)))

    def _step(self, rows: Ids, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss of the positives in some rows of the events. P rows."""
        users, items = self.events.user[rows].astype(np.int64), self.events.item[rows].astype(np.int64)
        drawn = self._sampler.draw_any(len(rows), rng)  # [P]
        query = self.scorer.user_vectors(users, None if self.profile_rows is None else self.profile_rows[rows])
        vectors = self.scorer.items(np.concatenate([items, drawn]))  # [2P, D + 1]
        compare = self._compare(self._usable(users, drawn))
        return SharedDraws.apply(query, vectors, self.n_negatives, compare, self.l2), {}  # type: ignore[no-untyped-call]

    def _usable(self, users: Ids, drawn: Ids) -> Tensor:
        """Whether each of a group's draws is unknown to each of its users. Shape [P / n, n, n]."""
        n = self.n_negatives
        return torch.from_numpy(~self._sampler.known.contains(users.reshape(-1, n, 1), drawn.reshape(-1, 1, n)))

    def _compare(self, usable: Tensor) -> Compare:
        """The loss with all but the scores."""
        if self.loss == "bpr":
            return partial(bpr, usable=usable.view(-1, self.n_negatives))
        trial = torch.where(usable, own_first(self.n_negatives), self.n_negatives + 1)
        return partial(warp, trial=trial.view(-1, self.n_negatives), n_items=self._n_candidates)
