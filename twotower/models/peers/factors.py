"""`PeerFactors`: what pairwise peers share: epochs chosen by validation MAP@10, scoring with learnt vectors."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.metrics.ranking import average_precision
from twotower.models.matrix import popularity
from twotower.models.options import count, not_negative, or_none, positive, require
from twotower.models.stored_vectors import StoredVectors
from twotower.training.context import QUIET, FitContext, OnEpoch
from twotower.training.early_stopping import watched_users
from twotower.types import Floats, Queries, Ragged

AfterEpoch = Callable[[Floats, Floats], None]
"""Takes vectors of users [U, D] and of items with their bias [N, D + 1] after every epoch; may raise `Enough`."""


class Enough(Exception):  # no error of the library: it never leaves a fit
    """Raised inside a library's training when no better epoch has come for a while."""


@dataclass(kw_only=True, eq=False, repr=False)
class PeerFactors(StoredVectors):
    """Score = user vector · item vector + item bias, where another library trains the vectors.

    The libraries stop after a given number of epochs. As with our own factor models the number is chosen here: MAP@10
    of validation is asked after every epoch, and the vectors of the best one are kept. Also as with our own, an item of
    which nothing was learnt comes last, a user without a vector gets the scaled mean of the history's items, and a user
    of whom nothing is known the popular list; the libraries refuse such users.

    Relations: `FactorModel` is the same contract with our own training.

    Attributes:
        dim: length D of the vectors, without the bias.
        epochs: epochs at most; exactly so many when there is no validation part to watch.
        lr: learning rate.
        l2: weight of the squared vectors.
        patience: epochs without a better MAP@10 before stopping.
        seed: of the library.
        threads: of the library; None: OMP_NUM_THREADS.
    """

    dim: int = 64
    epochs: int = 60
    lr: float = 0.05
    l2: float = 0.0
    patience: int = 5
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, dim=count, epochs=count, patience=count, lr=positive, l2=not_negative, threads=or_none(count))
        self._start(self.dim, self.epochs)

    @abstractmethod
    def _train(self, split: Split, events: Interactions, after_epoch: AfterEpoch) -> None:
        """Trains `epochs` epochs on the events (one per user-item pair) and shows the vectors after each."""

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Trains on `split.train`; watches `split.validation` unless the split is made for the last fit."""
        events = split.train.unique_pairs()
        self.n_items, self._popular = events.n_items, popularity(events)
        if not split.watches_validation:
            self._train(split, events, self._take)
            self.best_epochs = self.epochs
        else:
            best = _BestEpoch(self, *watched_users(split, self.seed), context.on_epoch)
            with suppress(Enough):
                self._train(split, events, best)
            self._user_vectors, self._item_vectors = best.kept
            self.best_epochs = best.epoch
        self._fit_fold_scale(events.by_user())
        return self

    def _take(self, users: Floats, items: Floats) -> None:
        """Copies vectors, which the library goes on to change; what nothing speaks for gets the least bias."""
        self._keep(users.astype(np.float32), items.astype(np.float32))


@dataclass(slots=True, eq=False)
class _BestEpoch:
    """Looks at every epoch of a model, keeps the vectors of the best, and ends the training when none comes any more.

    Attributes:
        model: takes the vectors and is asked.
        queries: of validation.
        relevant: their targets.
        on_epoch: told every MAP@10.
        figure: best MAP@10.
        epoch: its number, from 1.
        seen: epochs so far.
        kept: vectors of users and items of the best epoch.
    """

    model: PeerFactors
    queries: Queries
    relevant: Ragged
    on_epoch: OnEpoch | None = None
    figure: float = -1.0
    epoch: int = 0
    seen: int = 0
    kept: tuple[Floats, Floats] = field(default_factory=lambda: (np.empty(0, np.float32), np.empty(0, np.float32)))

    def __call__(self, users: Floats, items: Floats) -> None:
        """Takes the vectors after one more epoch.

        Raises:
            Enough: `patience` epochs were no better.
        """
        model = self.model
        model._take(users, items)
        figure = float(average_precision(model.recommend(self.queries, 10), self.relevant, 10).mean())
        self.seen += 1
        if figure > self.figure:
            self.figure, self.epoch = figure, self.seen
            self.kept = model._user_vectors, model._item_vectors
        if self.on_epoch is not None:
            self.on_epoch(figure)
        if self.seen - self.epoch >= model.patience:
            raise Enough
