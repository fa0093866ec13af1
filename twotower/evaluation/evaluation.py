"""`Evaluation`: what an examination found, user by user, of lists and of predicted values alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from twotower.data.split import FULL_CATALOGUE
from twotower.errors import BadConfig
from twotower.evaluation.ratio import Ratio
from twotower.evaluation.rounds import Round
from twotower.types import Float64s, Ids


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What an examination found, user by user.

    Attributes:
        users: the users asked, rising. Shape [B].
        per_user: metric, e.g. "map@10" or "rmse", to its amounts and weights by user.
        catalogue: "coverage@k", "gini@k", "novelty@k" (bits), "popularity_bias@k" and, where item features were given,
            "diversity@k" of all lists together; empty where none were asked for.
        ks: the cut-offs; none where no lists were asked for.
        seconds: wall time, metrics included.
        competitors: what targets were ranked against; evaluations that differ in it cannot stand in one table.
        sliced: group of items to metric to its amounts and weights; users without a target in the group have no say.
        rounds: what was found at each moment of a rolling holdout; empty where all were asked once.
        by_seed: seed to metric to its mean, where several fits were averaged user by user.
    """

    users: Ids
    per_user: Mapping[str, Ratio]
    catalogue: Mapping[str, float]
    ks: tuple[int, ...]
    seconds: float
    competitors: str = FULL_CATALOGUE
    sliced: Mapping[str, Mapping[str, Ratio]] = field(default_factory=dict)
    by_seed: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()

    def __repr__(self) -> str:
        figures = ", ".join(f"{metric} {self.mean(metric):.4f}" for metric in list(self.per_user)[:3])
        return f"<Evaluation of {self.n_users:,} users: {figures}>"

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
        """The figure of every metric over the users."""
        return {name: ratio.mean() for name, ratio in self.per_user.items()}

    def mean(self, metric: str) -> float:
        """The figure of one metric, e.g. "map@10" or "rmse"."""
        return self.ratio(metric).mean()

    def values(self, metric: str) -> Float64s:
        """One metric user by user; NaN for users without a say. Shape [B]."""
        return self.ratio(metric).values

    def ratio(self, metric: str) -> Ratio:
        """Amounts and weights of one metric.

        Raises:
            BadConfig: it was not measured.
        """
        if metric not in self.per_user:
            raise BadConfig(f"metric {metric!r} was not measured; there are {', '.join(self.per_user)}")
        return self.per_user[metric]


def refuse_other_users(evaluations: Mapping[str, Evaluation]) -> None:
    """Refuses to set evaluations of different users beside each other.

    Raises:
        BadConfig: they are of different users.
    """
    (first, *others) = evaluations.items()
    for name, evaluation in others:
        if not np.array_equal(first[1].users, evaluation.users):
            raise BadConfig(f"{first[0]} and {name} were asked of different users; give all the same split")


def refuse_mixed(competitors: Mapping[str, str]) -> None:
    """Refuses one table of figures whose targets competed with different items.

    Args:
        competitors: by what would be a row, e.g. a model or a report, what its targets were ranked against.

    Raises:
        BadConfig: they differ.
    """
    if len(set(competitors.values())) > 1:
        rows = "; ".join(f"{name}: {items}" for name, items in competitors.items())
        raise BadConfig(f"sampled and full-catalogue figures cannot be compared ({rows}); make a table for each")
