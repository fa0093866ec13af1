"""Markov interaction weights: rare kinds of events say more, measured by how kinds follow one another."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from twotower.data.interactions import Interactions
from twotower.errors import BadConfig, BadInput, NotFitted
from twotower.types import Array, Floats, Ids

Level = Literal["domain", "user", "user_item"]
Matrix = NDArray[np.float64]

DAMPING = 1e-9
"""Share of steps that restart the chain: makes the stationary distribution unique, changes it by about as much."""
BLOCK_CHAINS = 200_000
"""Chains of users or pairs solved at once."""


class MarkovWeights:
    """Weight psi(kind) = 1 / pi(kind), pi the stationary distribution of the transitions between kinds.

    For each user-item pair the kinds of its events in order of time form a sequence; its steps are counted and the rows
    of the count matrix normalised to a transition matrix.

    - `domain`: steps of all pairs together (the reference system).
    - `user`: the steps of each user, smoothed towards the domain's matrix.
    - `user_item`: the steps of each pair, smoothed towards its user's matrix.

    Smoothing adds `smoothing` steps to each row in the proportions of the coarser level (domain: of the kinds), so
    users and pairs without steps have exactly the coarser level's weights, and every chain is irreducible.

    Source: Kurovski, Deep Learning for Recommender Systems, 2017. Smoothing, back-off and `min_share` are additions.

    Attributes:
        transition_matrix: of the domain, row = kind before, column = kind after. Shape [K, K].
        stationary: of the domain. Shape [K].
    """

    transition_matrix: Matrix
    stationary: Matrix

    def __init__(self, level: Level = "domain", *, smoothing: float = 1.0, min_share: float = 1e-3) -> None:
        """Plain options.

        Args:
            level: how finely transitions are told apart.
            smoothing: steps per row that are borrowed from the coarser level, above 0.
            min_share: smaller stationary shares count as this one; weights are at most its inverse.
        """
        if level not in ("domain", "user", "user_item"):
            raise BadConfig(f"MarkovWeights: level {level!r} is none of domain, user, user_item")
        if smoothing <= 0 or not 0 < min_share <= 1:
            raise BadConfig(f"MarkovWeights: smoothing {smoothing} must be above 0 and min_share {min_share} in (0, 1]")
        self.level = level
        self.smoothing = smoothing
        self.min_share = min_share
        self._kinds: tuple[str, ...] = ()
        self._finer: list[tuple[Level, Ids, Floats]] = []

    def fit(self, events: Interactions) -> Self:
        """Counts the steps of the given events."""
        k = len(events.kinds)
        pair, before, after = transition_steps(events)
        step = before * k + after
        # One more of each kind, so that a kind that was never seen is rare, not impossible.
        shares = (np.bincount(events.kind, minlength=k) + 1.0) / (len(events) + k)
        counts = np.bincount(step, minlength=k * k).reshape(k, k)
        self.transition_matrix = self._smoothed(counts, shares)
        self.stationary = stationary_distribution(self.transition_matrix)
        self._kinds, self._finer = events.kinds, []
        if self.level == "domain":
            return self
        users, user_of_step = np.unique(pair // events.n_items, return_inverse=True)
        by_user = self._smoothed(_counts(user_of_step, step, len(users), k), self.transition_matrix)
        self._finer.append(("user", users, self._weights_of(by_user)))
        if self.level == "user_item":
            self._finer.append(("user_item", *self._pair_weights(pair, step, user_of_step, by_user)))
        return self

    def weights(self, events: Interactions) -> Floats:
        """The weight of every event, by the finest level that knows its user and pair. Shape [E].

        Raises:
            NotFitted: `fit` was not called.
            BadInput: the events have other kinds than those fitted on.
        """
        if not self._kinds:
            raise NotFitted("MarkovWeights: call fit first")
        if events.kinds != self._kinds:
            raise BadInput(f"MarkovWeights: fitted on the kinds {self._kinds}, these events have {events.kinds}")
        weights = self._weights_of(self.transition_matrix)[events.kind]
        for level, known, psi in self._finer:
            keys = events.user if level == "user" else events.pair_keys()
            row = np.minimum(np.searchsorted(known, keys), max(len(known) - 1, 0))
            hit = known[row] == keys if len(known) else np.zeros(len(keys), np.bool_)
            weights[hit] = psi[row[hit], events.kind[hit]]
        return weights

    def _smoothed(self, counts: Array, prior: Matrix) -> Matrix:
        """Transition matrices [..., K, K] of step counts, `smoothing` steps per row borrowed from `prior`."""
        matrix: Matrix = counts + self.smoothing * prior
        matrix /= matrix.sum(-1, keepdims=True)
        return matrix

    def _weights_of(self, matrices: Matrix) -> Floats:
        """Weights of the kinds under each matrix. Shape [..., K]."""
        return (1 / np.maximum(stationary_distribution(matrices), self.min_share)).astype(np.float32)

    def _pair_weights(self, pair: Ids, step: Ids, user_of_step: Ids, by_user: Matrix) -> tuple[Ids, Floats]:
        """Keys and weights of all pairs that have steps. Shapes [P] and [P, K]."""
        k = by_user.shape[-1]
        pairs, first, pair_of_step = np.unique(pair, return_index=True, return_inverse=True)
        psi = np.empty((len(pairs), k), np.float32)
        for start in range(0, len(pairs), BLOCK_CHAINS):
            stop = min(start + BLOCK_CHAINS, len(pairs))
            steps = slice(first[start], first[stop] if stop < len(pairs) else len(pair))  # steps are sorted by pair
            counts = _counts(pair_of_step[steps] - start, step[steps], stop - start, k)
            psi[start:stop] = self._weights_of(self._smoothed(counts, by_user[user_of_step[first[start:stop]]]))
        return pairs, psi


def stationary_distribution(transitions: Matrix) -> Matrix:
    """The long-run share of each state of a Markov chain.

    Solves pi = (1 - d) pi P + d / K with d = `DAMPING`. An irreducible chain gets its stationary distribution, a
    periodic one too (its average over time). A chain that can be trapped gets the shares of where it ends up from a
    start drawn evenly; states that it leaves for good get about 0.

    Args:
        transitions: row-stochastic matrices P. Shape [..., K, K].

    Returns:
        Shares that sum to 1. Shape [..., K].

    Raises:
        BadInput: a row has a negative entry or does not sum to 1.
    """
    p = np.asarray(transitions, np.float64)
    if not ((p >= 0).all() and np.allclose(p.sum(-1), 1, rtol=0, atol=1e-6)):
        raise BadInput("stationary_distribution: each row of a transition matrix must be >= 0 and sum to 1")
    k = p.shape[-1]
    left = np.swapaxes(np.eye(k) - (1 - DAMPING) * p, -1, -2)  # [..., K, K]
    pi = np.linalg.solve(left, np.full((*p.shape[:-1], 1), DAMPING / k))[..., 0]
    shares: Matrix = pi / pi.sum(-1, keepdims=True)
    return shares


def transition_steps(events: Interactions) -> tuple[Ids, Ids, Ids]:
    """Each step from one event of a user-item pair to its next: pair key (rising), kind before, kind after."""
    keys = events.pair_keys()
    order = np.argsort(keys, kind="stable")  # events of a user are sorted by time; a stable sort keeps that in pairs
    keys, kinds = keys[order], events.kind[order].astype(np.int64)
    same = keys[1:] == keys[:-1]
    return keys[1:][same], kinds[:-1][same], kinds[1:][same]


def _counts(group: Ids, step: Ids, n_groups: int, k: int) -> Array:
    """Steps of each group by kind before and after. Shape [n_groups, K, K]."""
    return np.bincount(group * (k * k) + step, minlength=n_groups * k * k).reshape(n_groups, k, k)
