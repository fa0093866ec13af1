"""The one way to examine a recommender: queries in blocks, metrics per user, means last."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twotower.data.split import FULL_CATALOGUE, Holdout
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.accumulator import GRADED, Accumulator, Detail
from twotower.metrics.ranking import METRICS, PerUser, ranking_metrics
from twotower.protocols import Recommender
from twotower.types import Ids

DEFAULT_KS = (1, 5, 10, 30, 100)
"""The cut-offs of every report."""
BLOCK = 1024
"""Queries asked at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What an examination found, user by user.

    Attributes:
        users: the users asked, rising. Shape [B].
        per_user: metric at k, e.g. "map@10", to one value per user, read-only. Shapes [B].
        catalogue: "coverage@k", "gini@k", "novelty@k" (bits), "popularity_bias@k" and, where item features were given,
            "diversity@k" of all lists together.
        ks: the cut-offs.
        seconds: wall time, metrics included.
        competitors: what targets were ranked against; evaluations that differ in it cannot stand in one table.
        sliced: group of items to metric to one value per user, NaN without a target in it. Shapes [B].
        by_seed: seed to metric to its mean, where several fits were averaged user by user.
    """

    users: Ids
    per_user: Mapping[str, PerUser]
    catalogue: Mapping[str, float]
    ks: tuple[int, ...]
    seconds: float
    competitors: str = FULL_CATALOGUE
    sliced: Mapping[str, Mapping[str, PerUser]] = field(default_factory=dict)
    by_seed: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def n_users(self) -> int:
        """Users asked."""
        return len(self.users)

    @property
    def users_per_second(self) -> float:
        """Throughput."""
        return self.n_users / self.seconds

    @property
    def means(self) -> dict[str, float]:
        """Mean of every metric over the users."""
        return {name: float(values.mean()) for name, values in self.per_user.items()}

    def mean(self, metric: str) -> float:
        """Mean of one metric, e.g. "map@10"."""
        return float(self.values(metric).mean())

    def values(self, metric: str) -> PerUser:
        """One metric user by user. Shape [B].

        Raises:
            BadConfig: it was not measured.
        """
        if metric not in self.per_user:
            raise BadConfig(f"metric {metric!r} was not measured; there are {', '.join(self.per_user)}")
        return self.per_user[metric]


def examine(
    recommender: Recommender,
    holdout: Holdout,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    block: int = BLOCK,
    detail: Detail | None = None,
) -> Evaluation:
    """Asks for every user with a target: full catalogue (or the holdout's candidates), known positives excluded.

    Memory is bounded by the block, beside 8 bytes per user, metric and cut-off; the figures are the same for every
    block size.

    Args:
        recommender: whom to examine.
        holdout: what is asked and what is right.
        ks: cut-offs; lists of the largest are asked for.
        block: queries asked at once.
        detail: what else to measure, such as slices.

    Raises:
        BadConfig: no cut-off, or one below 1; a block below 1.
        BadInput: nobody has a target, or the recommender breaks its contract (wrong shape, repeated items).
    """
    ks = _checked(ks, block)
    started = time.perf_counter()
    users = holdout.users()
    if not len(users):
        raise BadInput("evaluate: no user has a target; choose another split")
    accumulator = Accumulator(holdout, ks, detail or Detail())
    for asked, relevant in holdout.blocks(block):
        accumulator.add(recommender.recommend(asked, max(ks)), relevant)
    per_user, catalogue, sliced = accumulator.per_user(), accumulator.catalogue(), accumulator.sliced()
    return Evaluation(users, per_user, catalogue, ks, time.perf_counter() - started, holdout.competitors, sliced)


def candidate_recall(
    recommender: Recommender, holdout: Holdout, *, sizes: Sequence[int] = (100, 500, 1000), block: int = BLOCK
) -> dict[int, float]:
    """The share of each user's targets among the first T candidates, averaged over users.

    This is the most that a second stage can still rank: what retrieval lost is one minus it.

    Args:
        recommender: the first stage alone.
        holdout: what is asked and what is right.
        sizes: numbers T of candidates.
        block: queries asked at once.
    """
    sizes = _checked(sizes, block)
    n_users, total = len(holdout.users()), dict.fromkeys(sizes, 0.0)
    for asked, relevant in holdout.blocks(block):
        topk = recommender.recommend(asked, max(sizes))
        metrics = ranking_metrics(topk, relevant, sizes, names=("recall",))
        for size in sizes:
            total[size] += float(metrics[f"recall@{size}"].sum())
    return {size: total[size] / n_users for size in sizes}


def parse_metric(metric: str) -> tuple[str, int]:
    """Name and cut-off of "map@10".

    >>> parse_metric("map@10")
    ('map', 10)
    """
    name, _, k = metric.partition("@")
    if name not in {**METRICS, **GRADED} or not k.isdecimal() or int(k) < 1:
        raise BadConfig(
            f"metric {metric!r} must be one of {', '.join((*METRICS, *GRADED))}, an @ and a cut-off, e.g. map@10"
        )
    return name, int(k)


def _checked(ks: Sequence[int], block: int) -> tuple[int, ...]:
    if not len(ks) or min(ks) < 1 or block < 1:
        raise BadConfig(f"evaluate: cut-offs {list(ks)} and block {block} must all be at least 1")
    return tuple(sorted({int(k) for k in ks}))
