"""Both stages watched at work for a sample of users: their candidates, in both orders, and what was chosen of them."""

from dataclasses import dataclass

import numpy as np

from twotower.data.split import Holdout
from twotower.errors import BadInput
from twotower.stages.recommender import TwoStageRecommender
from twotower.types import NO_ITEM, Array, Bools, Queries, Ragged, TopK

MAX_USERS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """Candidates of some users.

    Attributes:
        relevant: what the users chose later.
        candidates: in the order of the first stage. Shape [B, C].
        ranked: the same items in the order of the second. Shape [B, C].
        has_ranker: whether there is a second stage; without one the orders are the same.
    """

    relevant: Ragged
    candidates: TopK
    ranked: TopK
    has_ranker: bool = True

    @property
    def hits(self) -> Bools:
        """Whether each place of `ranked` holds a target of its user. Shape [B, C]."""
        return hits_of(self.ranked, self.relevant)


def watch(
    recommender: TwoStageRecommender, holdout: Holdout, *, n_users: int = MAX_USERS, seed: int = 0, k: int = 10
) -> Watched:
    """Asks both stages for a sample of users.

    Raises:
        BadInput: nobody has a target.
    """
    queries, relevant = sampled(holdout, n_users, seed)
    if not len(queries):
        raise BadInput("watch: no user has a target; choose another split")
    traces = [recommender.trace(block, k, unfiltered=False) for block in queries.blocks(256)]
    return Watched(
        relevant,
        TopK.concatenate([trace.candidates for trace in traces]),
        TopK.concatenate([trace.ranked for trace in traces]),
        recommender.ranker is not None,
    )


def sampled(holdout: Holdout, n: int, seed: int) -> tuple[Queries, Ragged]:
    """Queries and targets of at most n of the users with a target, drawn without replacement."""
    queries, relevant = holdout.queries(), holdout.relevant()
    rows = np.sort(np.random.default_rng(seed).permutation(len(queries))[:n])
    return queries.take(rows), relevant.take(rows)


def hits_of(lists: TopK, relevant: Ragged) -> Bools:
    """Whether each place holds a target of its user. Shape [B, K]."""
    n = int(max(lists.items.max(initial=0), relevant.values.max(initial=0))) + 1
    targets = relevant.row_ids() * n + relevant.values
    rows = np.arange(len(lists))[:, None] * n
    hits: Bools = np.isin(rows + lists.items, targets) & (lists.items != NO_ITEM)
    return hits


def floats(values: Array) -> tuple[float, ...]:
    """Plain numbers, as values of sections hold them."""
    return tuple(float(value) for value in values)
