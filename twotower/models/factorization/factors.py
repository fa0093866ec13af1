"""`FactorModel`: what pairwise factor models share: training with early stop, scoring with stored vectors."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self, get_args

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.models.factorization.pairwise import Loss, PairScorer, PairTask
from twotower.models.matrix import popularity
from twotower.models.options import count, not_negative, one_of, positive, require
from twotower.models.stored_vectors import StoredVectors
from twotower.training.adagrad import RowAdagrad
from twotower.training.context import QUIET, FitContext
from twotower.training.early_stopping import Watch, watch_lists
from twotower.training.loop import Trainer
from twotower.types import Bools, Ids

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


@dataclass(kw_only=True, eq=False, repr=False)
class FactorModel(StoredVectors):
    """Score = user vector · item vector + item bias, trained on sampled negatives.

    Scoring needs no more than the stored vectors. A user without stored vector (unknown, or nothing learnt) gets
    `fold_scale` times the mean vector of the history's items, where `fold_scale` is the number that fits this rule best
    to the training users; without history, the popular list.

    Attributes:
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
    """

    loss: Loss = "warp"
    dim: int = 64
    epochs: int = 40
    lr: float = 0.05
    batch_size: int = 16_384
    n_negatives: int = 32
    negative_power: float = 0.0
    l2: float = 0.003
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        counts = dict.fromkeys(("dim", "epochs", "batch_size", "n_negatives", "patience"), count)
        require(self, loss=one_of(*get_args(Loss)), lr=positive, negative_power=not_negative, l2=not_negative, **counts)
        self._start(self.dim, self.epochs)

    @abstractmethod
    def _network(self, split: Split, events: Interactions) -> Network:
        """The untrained network for the training events (one per user-item pair)."""

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Trains on `split.train`; watches `split.validation` unless the split is made for the last fit."""
        events = split.train.unique_pairs()
        network = self._network(split, events)
        self.n_items, self._popular = events.n_items, popularity(events)
        watch = self._watch(network, split) if split.watches_validation else None
        trainer = Trainer(epochs=self.epochs, seed=self.seed, patience=self.patience, clip=None)
        self.best_epochs = trainer.fit(self._task(network, events), context.unshared(), watch).best_epoch + 1
        self._take_vectors(network)
        self._fit_fold_scale(events.by_user())
        return self

    def _task(self, network: Network, events: Interactions) -> PairTask:
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
        )

    def _watch(self, network: Network, split: Split) -> Watch:
        """MAP@10 as the network stands."""
        lists = watch_lists(self, split, "map@10", self.seed)

        def examine() -> float:
            self._take_vectors(network)
            return lists.examine()

        return Watch(lists.metric, examine)

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
