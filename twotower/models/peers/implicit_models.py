"""`ImplicitALS` and `ImplicitBPR`: factor models of the library `implicit`, trained and folded in by its own code."""

from typing import Any, Self

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.models.base import ScoringModel
from twotower.models.matrix import all_zero, has_any, history_matrix, pair_matrix, popularity, products, with_fallback
from twotower.models.peers.factors import AfterEpoch, PeerFactors
from twotower.models.peers.library import as_csr, one_blas_thread, require, thread_count
from twotower.types import Array, Floats, Queries


class ImplicitALS(ScoringModel):
    """`implicit.als.AlternatingLeastSquares`: c = alpha · events for observed pairs, 1 for all others.

    A query that brings a history is solved from it by the library's `recalculate_user`, so that events newer than
    training count, as with our own ALS; a known user without one gets the trained vector, others the popular list.

    Relations: our ALS counts observed pairs 1 + alpha · events and lets the ridge term grow with a row's confidence.

    Source: Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets"; Takács, Pilászy & Tikk
    2011, "Applications of the conjugate gradient method for implicit feedback collaborative filtering".
    """

    def __init__(
        self,
        *,
        dim: int = 128,
        epochs: int = 15,
        alpha: float = 1.0,
        l2: float = 0.01,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        """Options, under our names.

        Args:
            dim: `factors`.
            epochs: `iterations`.
            alpha: `alpha`, the confidence of one event.
            l2: `regularization`.
            seed: `random_state`.
            threads: `num_threads`; None: OMP_NUM_THREADS.

        Raises:
            BadConfig: an option is out of range, or the library is not installed.
        """
        require("implicit", "implicit")
        if dim < 1 or epochs < 1:
            raise BadConfig(f"ImplicitALS: dim and epochs must be at least 1, got {dim} and {epochs}")
        if alpha <= 0 or l2 <= 0:
            raise BadConfig(f"ImplicitALS: alpha and l2 must be positive, got {alpha} and {l2}")
        self.dim = dim
        self.epochs = epochs
        self.alpha = alpha
        self.l2 = l2
        self.seed = seed
        self.threads = threads
        self._user_vectors: Floats = np.empty((0, dim), np.float32)
        self._item_vectors: Floats = np.empty((0, dim), np.float32)
        self._popular: Floats = np.empty(0, np.float32)
        self._folding: Any = None

    def fit(self, split: Split) -> Self:
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

    def score(self, queries: Queries) -> Floats:
        """Products x · y; the popular list for users of whom nothing is known. Shape [B, N]."""
        vectors = self.query_vectors(queries)
        return with_fallback(products(vectors, self._item_vectors), self._popular, all_zero(vectors))

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


class ImplicitBPR(PeerFactors):
    """`implicit.bpr.BayesianPersonalizedRanking`: BPR by plain SGD, one negative per positive, drawn by popularity.

    With several threads the library's updates race each other, so that one seed gives slightly different models; with
    one thread a seed gives one model.

    Relations: our MF with loss=bpr draws several negatives, alike, and steps by Adagrad.

    Source: Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback".
    """

    def __init__(
        self,
        *,
        dim: int = 64,
        epochs: int = 200,
        lr: float = 0.01,
        l2: float = 0.01,
        patience: int = 10,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        """Options, under our names.

        Args:
            dim: `factors`, without the bias.
            epochs: `iterations` at most; exactly so many when there is no validation part to watch.
            lr: `learning_rate`.
            l2: `regularization`.
            patience: epochs without a better MAP@10 before stopping.
            seed: `random_state`.
            threads: `num_threads`; None: OMP_NUM_THREADS.

        Raises:
            BadConfig: an option is out of range, or the library is not installed.
        """
        require("implicit", "implicit")
        super().__init__(dim=dim, epochs=epochs, lr=lr, l2=l2, patience=patience, seed=seed, threads=threads)

    def _train(self, split: Split, events: Interactions, after_epoch: AfterEpoch) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        library = BayesianPersonalizedRanking(
            factors=self.dim, learning_rate=self.lr, regularization=self.l2, iterations=self.epochs,
            num_threads=thread_count(self.threads), random_state=self.seed,
        )  # fmt: skip

        def told(*_: Any) -> None:
            after_epoch(library.user_factors[:, :-1], library.item_factors)  # its last column is the bias

        with one_blas_thread():
            library.fit(as_csr(pair_matrix(events)), show_progress=False, callback=told)
