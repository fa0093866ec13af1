"""`ImplicitALS` and `ImplicitBPR`: factor models of the library `implicit`, trained and folded in by its own code."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.models.matrix import has_any, history_matrix, pair_matrix, popularity
from twotower.models.options import count, or_none, positive, require
from twotower.models.peers.factors import AfterEpoch, PeerFactors
from twotower.models.peers.library import as_csr, one_blas_thread, require_library, thread_count
from twotower.models.vector_model import VectorModel
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries


@dataclass(kw_only=True, eq=False, repr=False)
class ImplicitALS(VectorModel):
    """`implicit.als.AlternatingLeastSquares`: c = alpha · events for observed pairs, 1 for all others.

    A query that brings a history is solved from it by the library's `recalculate_user`, so that events newer than
    training count, as with our own ALS; a known user without one gets the trained vector, others the popular list.

    Relations: our ALS counts observed pairs 1 + alpha · events and lets the ridge term grow with a row's confidence.

    Source: Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets"; Takács, Pilászy & Tikk
    2011, "Applications of the conjugate gradient method for implicit feedback collaborative filtering".

    Attributes:
        dim: `factors`.
        epochs: `iterations`.
        alpha: `alpha`, the confidence of one event.
        l2: `regularization`.
        seed: `random_state`.
        threads: `num_threads`; None: OMP_NUM_THREADS.
    """

    dim: int = 128
    epochs: int = 15
    alpha: float = 2.5
    l2: float = 15.0
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuses options out of range, and to go on without the library.

        Raises:
            BadConfig: it names the option, or the library.
        """
        require_library("implicit", "implicit")
        require(self, dim=count, epochs=count, alpha=positive, l2=positive, threads=or_none(count))
        self._user_vectors: Floats = np.empty((0, self.dim), np.float32)
        self._item_vectors: Floats = np.empty((0, self.dim), np.float32)
        self._popular: Floats = np.empty(0, np.float32)
        self._folding: Any = None

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Trains on `split.train`, repeated events included."""
        with one_blas_thread():
            library = self._library()
            library.fit(as_csr(pair_matrix(split.train)), show_progress=False)
        self._user_vectors, self._item_vectors = library.user_factors, library.item_factors
        self._popular, self.n_items = popularity(split.train), split.train.n_items
        self._folding = library
        return self

    def _library(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=self.dim, regularization=self.l2, alpha=self.alpha, iterations=self.epochs,
            num_threads=thread_count(self.threads), random_state=self.seed,
        )  # fmt: skip

    def query_vectors(self, queries: Queries) -> Floats:
        """Vectors of all queries: folded in from its history, else as trained, else 0. Shape [B, D]."""
        self._check(queries)
        vectors = self._folded(queries) if len(queries) else np.zeros((0, self.dim), np.float32)
        stored = ~has_any(queries) & (queries.users >= 0) & (queries.users < len(self._user_vectors))
        vectors[stored] = self._user_vectors[queries.users[stored]]
        return vectors

    def _folded(self, queries: Queries) -> Floats:
        """The library's solution for each history, 0 for an empty one. Shape [B, D]."""
        with one_blas_thread():
            if self._folding is None:
                self._folding = self._library()
                self._folding.item_factors = self._item_vectors
            histories = as_csr(history_matrix(queries.histories, self.n_items))
            return np.array(self._folding.recalculate_user(np.arange(len(queries)), histories))

    def state(self) -> dict[str, Array]:
        """Vectors of users [U, D] and items [N, D], popularity [N]."""
        return {
            "user_vectors": self._user_vectors,
            "item_vectors": self._item_vectors,
            "popular": self._popular,
        }

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        self._user_vectors, self._item_vectors = state["user_vectors"], state["item_vectors"]
        self._popular, self._folding = state["popular"], None


@dataclass(kw_only=True, eq=False, repr=False)
class ImplicitBPR(PeerFactors):
    """`implicit.bpr.BayesianPersonalizedRanking`: BPR by plain SGD, one negative per positive, drawn by popularity.

    With several threads the library's updates race each other, so that one seed gives slightly different models; with
    one thread a seed gives one model.

    Relations: our MF with loss=bpr draws several negatives, alike, and steps by Adagrad.

    Source: Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback".

    Attributes:
        epochs: `iterations` at most.
        lr: `learning_rate`.
        l2: `regularization`.
        patience: epochs without a better MAP@10 before stopping.
    """

    epochs: int = 200
    lr: float = 0.02
    l2: float = 0.01
    patience: int = 10

    def __post_init__(self) -> None:
        """Refuses options out of range, and to go on without the library.

        Raises:
            BadConfig: it names the option, or the library.
        """
        require_library("implicit", "implicit")
        PeerFactors.__post_init__(self)

    def _train(self, split: Split, events: Interactions, after_epoch: AfterEpoch) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        library = BayesianPersonalizedRanking(
            factors=self.dim, learning_rate=self.lr, regularization=self.l2, iterations=self.epochs,
            num_threads=thread_count(self.threads), random_state=self.seed,
        )  # fmt: skip

        def show(*_: Any) -> None:
            after_epoch(library.user_factors[:, :-1], library.item_factors)  # its last column is the bias

        with one_blas_thread():
            library.fit(as_csr(pair_matrix(events)), show_progress=False, callback=show)
