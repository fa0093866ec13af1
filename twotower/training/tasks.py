"""Usual tasks of the training loop: shuffled pairs with their values, shuffled positives with drawn negatives."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from twotower.data.interactions import Interactions
from twotower.nn.distributed import ALONE, Workers
from twotower.training.negatives import NegativeSampler
from twotower.types import Array, Ids

ValueLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Users [P], items [P] and values [P] to the mean loss of the pairs []."""
ContrastLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Users [P], positives [P] and negatives [P, n] to the mean loss of the positives []."""


@dataclass(kw_only=True, eq=False)
class ShuffledEvents(ABC):
    """A `Task` whose batches are events in a new random order in each epoch.

    Several processes deal out the events of every batch, and each counts its mean loss by its part of them, so that
    the sum is the mean over the batch; what is drawn at random is drawn for the whole batch.

    Attributes:
        module: what is trained.
        optimizers: of the module.
        events: what is learnt from.
        batch_size: events per step.
        seed: decides order and draws, with the numbers of epoch and batch.
        workers: the processes that train together.
    """

    module: nn.Module
    optimizers: list[torch.optim.Optimizer]
    events: Interactions
    batch_size: int
    seed: int
    workers: Workers = ALONE

    def n_batches(self, epoch: int) -> int:
        """Batches of an epoch."""
        return -(-len(self.events) // self.batch_size)

    def start_epoch(self, epoch: int, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing to prepare."""
        return {}

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Callable[[], tuple[Tensor, dict[str, float]]]]]:
        """Batches of shuffled events, from number `start` on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.events))
        for batch in range(start, self.n_batches(epoch)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield len(rows), partial(self._step, rows, np.random.default_rng((self.seed, epoch, batch)))

    @abstractmethod
    def _loss(self, rows: Ids, own: Ids, rng: np.random.Generator) -> Tensor:
        """The mean loss [] of some of a batch's events.

        Args:
            rows: the batch, as numbers of events. Shape [P].
            own: which of them count here. Shape [p].
            rng: draws the same in every process.
        """

    def _step(self, rows: Ids, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        own = np.arange(self.workers.rank, len(rows), self.workers.size)
        weight = len(own) / len(rows)
        if not len(own):
            own = np.zeros(1, np.int64)  # nothing is left for this process, but all must take the step
        return self._loss(rows, own, rng) * weight, {}

    def _tensor(self, array: Array) -> Tensor:
        """An array where the module is; ids as int64."""
        wide = array.astype(np.int64) if array.dtype.kind == "i" else array
        return torch.as_tensor(wide, device=next(self.module.parameters()).device)


@dataclass(kw_only=True, eq=False)
class ValuedPairs(ShuffledEvents):
    """Every event is a pair with its value, such as a rating.

    Attributes:
        loss: of pairs and values.
    """

    loss: ValueLoss

    def _loss(self, rows: Ids, own: Ids, rng: np.random.Generator) -> Tensor:
        events, chosen = self.events, rows[own]
        return self.loss(*(self._tensor(column[chosen]) for column in (events.user, events.item, events.value)))


@dataclass(kw_only=True, eq=False)
class PositivesWithNegatives(ShuffledEvents):
    """Every event is a positive, for which negatives are drawn anew in each epoch.

    Attributes:
        loss: of positives and negatives.
        sampler: draws the negatives.
        n_negatives: how many for each positive.
    """

    loss: ContrastLoss
    sampler: NegativeSampler
    n_negatives: int

    def _loss(self, rows: Ids, own: Ids, rng: np.random.Generator) -> Tensor:
        users, items = (column[rows].astype(np.int64) for column in (self.events.user, self.events.item))
        negatives = self.sampler.draw(users, items, self.events.time[rows], self.n_negatives, rng)
        return self.loss(*(self._tensor(column[own]) for column in (users, items, negatives)))
