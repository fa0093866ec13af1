"""Figures of several moments of asking added up user by user, and kept moment by moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from twotower.data.split import Holdout
from twotower.evaluation.ratio import Ratio, mean_ratio
from twotower.types import Float64s, Ids


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What an examination found at one moment.

    Attributes:
        at: the moment, seconds since the epoch.
        n_users: users asked then.
        n_targets: their targets.
        n_competing: items that competed.
        per_user: metric to its amounts by user asked then; the chosen metrics only.
    """

    at: int
    n_users: int
    n_targets: int
    n_competing: int
    per_user: Mapping[str, Ratio]

    @classmethod
    def of(cls, asked: Holdout, per_user: Mapping[str, Ratio]) -> "Round":
        """Sizes of what was asked, beside its figures."""
        n_competing = asked.target.n_items if asked.available is None else int(asked.available.sum())
        return cls(asked.at, len(asked.users()), len(asked.target), n_competing, per_user)


@dataclass(slots=True)
class RatioSums:
    """Ratios of several moments, added up by user: a user's amount is the sum over the moments that asked him.

    So the figure of the whole is a mean over questions, and whoever draws users draws each with all his questions.

    Attributes:
        users: whoever is asked at any moment, rising. Shape [B].
    """

    users: Ids
    _sums: dict[str, tuple[Ratio, Float64s, Float64s]] = field(default_factory=dict)
    _rounds: int = 0

    def add(self, users: Ids, ratios: Mapping[str, Ratio]) -> None:
        """Takes in the ratios of one moment; a metric that another moment lacks is left out of all.

        Args:
            users: asked then, rising, all among `users`. Shape [b].
            ratios: by metric, one amount for each of them.
        """
        rows = np.searchsorted(self.users, users)
        for name, ratio in ratios.items():
            if name not in self._sums and not self._rounds:
                self._sums[name] = (ratio, np.zeros(len(self.users)), np.zeros(len(self.users)))
            if name in self._sums:
                _, amount, weight = self._sums[name]
                amount[rows] += ratio.amount
                weight[rows] += 1.0 if ratio.weight is None else ratio.weight
        self._sums = {name: sums for name, sums in self._sums.items() if name in ratios}
        self._rounds += 1

    def ratios(self) -> dict[str, Ratio]:
        """The whole; equal weights are one array, so that they are drawn once."""
        known: dict[bytes, Float64s] = {}
        return {
            name: Ratio(first.metric, amount, known.setdefault(weight.tobytes(), weight))
            for name, (first, amount, weight) in self._sums.items()
        }


def mean_rounds(parts: Sequence[Sequence[Round]]) -> tuple[Round, ...]:
    """Moment by moment and user by user the mean of several fits that were asked the same."""
    return tuple(
        Round(
            rounds[0].at, rounds[0].n_users, rounds[0].n_targets, rounds[0].n_competing,
            {name: mean_ratio([part.per_user[name] for part in rounds]) for name in rounds[0].per_user},
        )
        for rounds in zip(*parts, strict=True)
    )  # fmt: skip
