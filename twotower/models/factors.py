"""`FactorModel`: what pairwise factor models share: training with early stop, scoring with stored vectors."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, get_args

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import FinalSplit, Split
from twotower.errors import BadConfig
from twotower.metrics.ranking import average_precision
from twotower.models.matrix import all_zero, has_any, history_matrix, popularity
from twotower.models.pairwise import Loss, PairScorer, PairTask
from twotower.models.vectors import VectorModel
from twotower.nn.adagrad import RowAdagrad
from twotower.nn.training import Trainer
from twotower.types import Array, Bools, Floats, Ids, Queries, Ragged

WATCHED_USERS, WATCHED_PAIRS = 5_000, 4_000_000_000
"""Validation users, at most, whose MAP@10 decides when to stop; in large catalogues fewer, by user-item pairs."""
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


class FactorModel(VectorModel):
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
        self.best_epochs = epochs
        self.on_validation: Callable[[float], None] | None = None
        self._user_vectors: Floats = np.empty((0, dim), np.float32)
        self._item_vectors: Floats = np.empty((0, dim + 1), np.float32)
        self._popular: Floats = np.empty(0, np.float32)
        self._fold_scale = 1.0

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
        self._fold_scale = self._best_fold_scale(events.by_user())
        return self

    def found_options(self) -> dict[str, Any]:
        """The number of epochs that was best."""
        return {"epochs": self.best_epochs}

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
            partial(self._watch, network, *_watched(split, self.seed)) if split else None,
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
        self._user_vectors = scorer.users.all_vectors()
        if scorer.profiles is not None and network.serving_rows is not None:
            self._user_vectors = self._user_vectors + scorer.profiles.all_vectors()[network.serving_rows]
        self._item_vectors = scorer.items.all_vectors()
        unknown = all_zero(self._item_vectors)
        self._item_vectors[unknown, -1] = self._item_vectors[:, -1].min()  # nothing speaks for such an item

    def _best_fold_scale(self, histories: Ragged) -> float:
        """The s that minimises Σ_u |vector_u - s · mean item vector of u|² over users with both."""
        mean = self._mean_item_vectors(histories)
        return float((self._user_vectors * mean).sum() / max(float(np.square(mean).sum()), 1e-12))

    def _mean_item_vectors(self, histories: Ragged) -> Floats:
        """Mean vector of each history's items, 0 for an empty one. Shape [B, D]."""
        items = history_matrix(histories, self.n_items)
        lengths = np.maximum(np.asarray(items.sum(axis=1)), 1)[:, None]
        return np.asarray(items @ self._item_vectors[:, :-1] / lengths, np.float32)

    def query_vectors(self, queries: Queries) -> Floats:
        """Stored vectors, else the scaled mean of the history's items, else 0. Shape [B, D]."""
        self._check(queries)
        inside = (queries.users >= 0) & (queries.users < len(self._user_vectors))
        vectors = np.zeros((len(queries), self._user_vectors.shape[1]), np.float32)
        vectors[inside] = self._user_vectors[queries.users[inside]]
        unknown = all_zero(vectors) & has_any(queries)
        vectors[unknown] = self._fold_scale * self._mean_item_vectors(queries.histories.take(np.flatnonzero(unknown)))
        return vectors

    def state(self) -> dict[str, Array]:
        """Vectors of users [U, D], vectors and bias of items [N, D + 1], popularity [N], two numbers."""
        return {
            "user_vectors": self._user_vectors,
            "item_vectors": self._item_vectors,
            "popular": self._popular,
            "fold_scale": np.array([self._fold_scale]),
            "best_epochs": np.array([self.best_epochs]),
        }

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._user_vectors, self._item_vectors = state["user_vectors"], state["item_vectors"]
        self._popular, self._fold_scale = state["popular"], float(state["fold_scale"][0])
        self.best_epochs = int(state["best_epochs"][0])


def _watched(split: Split, seed: int) -> tuple[Queries, Ragged]:
    """Validation queries and their targets, a seeded sample of them if there are many."""
    queries, relevant = split.validation.queries(), split.validation.relevant()
    most = min(WATCHED_USERS, max(1, WATCHED_PAIRS // split.train.n_items))
    if len(queries) <= most:
        return queries, relevant
    rows = np.sort(np.random.default_rng(seed).choice(len(queries), most, replace=False))
    return queries.take(rows), relevant.take(rows)


def seen_users(events: Interactions) -> Bools:
    """Users with training events. Shape [U]."""
    return np.bincount(events.user, minlength=events.n_users) > 0


def seen_items(events: Interactions) -> Bools:
    """Items with training events. Shape [N]."""
    return events.item_counts() > 0
