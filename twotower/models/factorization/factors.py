"""`FactorModel`: what pairwise factor models share: training with early stop, scoring with stored vectors."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Self, get_args

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import FinalSplit, Split
from twotower.errors import BadConfig
from twotower.metrics.ranking import average_precision
from twotower.models.factorization.pairwise import Loss, PairScorer, PairTask
from twotower.models.matrix import popularity
from twotower.models.stored_vectors import StoredVectors
from twotower.training.adagrad import RowAdagrad
from twotower.training.early_stopping import watched_users
from twotower.training.loop import Trainer
from twotower.types import Bools, Ids, Queries, Ragged

MIN_STEPS, MIN_BATCH = 64, 32
"""Small data: at least so many steps per epoch, as long as a step keeps so many positives."""


@dataclass(slots=True, eq=False)
class Network:
    """What a subclass trains.

    Attributes:
        scorer: the module.
        training_rows: profile row of each training event's user at its time. Shape [E].
        serving_rows: profile row of each user when asked. Shape [U].
    """

    scorer: PairScorer
    training_rows: Ids | None = None
    serving_rows: Ids | None = None


class FactorModel(StoredVectors):
    """Score = user vector · item vector + item bias, trained on sampled negatives.

    Scoring needs no more than the stored vectors. A user without stored vector (unknown, or nothing learnt) gets
    `fold_scale` times the mean vector of the history's items, where `fold_scale` is the number that fits this rule best
    to the training users; without history, the popular list.

    `on_validation`, if set, is called with the MAP@10 of every epoch that is watched; what it raises ends the fit.
    """

    def __init__(
        self,
        *,
        loss: Loss = "warp",
        dim: int = 64,
        epochs: int = 40,
        lr: float = 0.05,
        batch_size: int = 16_384,
        n_negatives: int = 32,
        negative_power: float = 0.0,
        l2: float = 0.0,
        patience: int = 5,
        seed: int = 0,
    ) -> None:
        """Options.

        Args:
            loss: warp or bpr.
            dim: length D of the vectors.
            epochs: passes over the training pairs at most; exactly so many when there is no validation part to watch.
            lr: learning rate of Adagrad.
            batch_size: positives per step, to the next multiple of n_negatives; fewer on small data, so that an epoch
                has some 64 steps.
            n_negatives: bpr: negatives per positive; warp: draws per positive at most. As many neighbours share them.
            negative_power: 0 draws every item with training events alike, 1 in proportion to its users.
            l2: weight of the squared vectors of a batch.
            patience: epochs without a better MAP@10 before stopping.
            seed: of vectors, order and negatives.

        Raises:
            BadConfig: an option is out of range.
        """
        if loss not in get_args(Loss):
            raise BadConfig(f"{type(self).__name__}: loss must be one of {', '.join(get_args(Loss))}, got {loss!r}")
        for name, value in (("dim", dim), ("epochs", epochs), ("batch_size", batch_size), ("n_negatives", n_negatives)):
            if value < 1:
                raise BadConfig(f"{type(self).__name__}: {name} must be at least 1, got {value}")
        if lr <= 0 or l2 < 0:
            raise BadConfig(f"{type(self).__name__}: need lr > 0 and l2 >= 0, got {lr} and {l2}")
        self.loss: Loss = loss
        self.dim = dim
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.n_negatives = n_negatives
        self.negative_power = negative_power
        self.l2 = l2
        self.patience = patience
        self.seed = seed
        self._start(dim, epochs)

    @abstractmethod
    def _network(self, split: Split, events: Interactions) -> Network:
        """The untrained network for the training events (one per user-item pair)."""

    def fit(self, split: Split) -> Self:
        """Trains on `split.train`; watches `split.validation` unless the split is made for the last fit."""
        events = split.train.unique_pairs()
        network = self._network(split, events)
        self.n_items, self._popular = events.n_items, popularity(events)
        watched = not isinstance(split, FinalSplit) and len(split.validation.target) > 0
        task = self._task(network, events, split if watched else None)
        trainer = Trainer(
            epochs=self.epochs, seed=self.seed, patience=self.patience if watched else None, clip=None, progress=False
        )
        self.best_epochs = trainer.fit(task).best_epoch + 1
        self._take_vectors(network)
        self._fit_fold_scale(events.by_user())
        return self

    def _task(self, network: Network, events: Interactions, split: Split | None) -> PairTask:
        return PairTask(
            network.scorer,
            [RowAdagrad(network.scorer.parameters(), lr=self.lr)],
            events,
            network.training_rows,
            self.loss,
            self.n_negatives,
            self.negative_power,
            self.l2,
            min(self.batch_size, max(MIN_BATCH, len(events) // MIN_STEPS)),
            self.seed,
            partial(self._watch, network, *watched_users(split, self.seed)) if split else None,
        )

    def _watch(self, network: Network, queries: Queries, relevant: Ragged) -> float:
        """MAP@10 as the network stands now."""
        self._take_vectors(network)
        figure = float(average_precision(self.recommend(queries, 10), relevant, 10).mean())
        if self.on_validation is not None:
            self.on_validation(figure)
        return figure

    def _take_vectors(self, network: Network) -> None:
        """Copies the vectors out of the network; users of whom it knows nothing have 0."""
        scorer = network.scorer
        users = scorer.users.all_vectors()
        if scorer.profiles is not None and network.serving_rows is not None:
            users = users + scorer.profiles.all_vectors()[network.serving_rows]
        self._keep(users, scorer.items.all_vectors())


def seen_users(events: Interactions) -> Bools:
    """Users with training events. Shape [U]."""
    return np.bincount(events.user, minlength=events.n_users) > 0


def seen_items(events: Interactions) -> Bools:
    """Items with training events. Shape [N]."""
    return events.item_counts() > 0
