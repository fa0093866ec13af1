"""`Exposure`: how many users will touch each item soon, forecast from its past: what gets shown gets touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from twotower.data.split import Split
from twotower.features.item_activity import ItemActivity
from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.grown_trees import GrownTrees
from twotower.models.second_stage.moment import Moment
from twotower.types import Array, Floats

N_TREES, N_LEAVES = 100, 15
MOST_ITEMS = 200_000
"""Items of a moment that the forecast is learnt from, at most."""


@dataclass(eq=False)
class Exposure:
    """Poisson regression by boosted trees on an item's events in windows, its ages and its numbers."""

    trees: GrownTrees

    @classmethod
    def fit(cls, cuts: Sequence[Split], seed: int = 0) -> Self:
        """Learns from earlier moments: what was known of each item at it, and how many users touched it soon after."""
        rng, known, came = np.random.default_rng(seed), [], []
        for cut in cuts:
            moment = Moment(cut.dataset, cut.test.history, cut.test.at)
            there = np.arange(moment.dataset.n_items)
            there = there if cut.test.available is None else np.flatnonzero(cut.test.available)
            rows = there if len(there) <= MOST_ITEMS else np.sort(rng.choice(there, MOST_ITEMS, replace=False))
            known.append(signals(moment)[rows])
            came.append(cut.test.target.item_counts()[rows])
        booster = HistGradientBoostingRegressor(
            loss="poisson", max_iter=N_TREES, max_leaf_nodes=N_LEAVES, learning_rate=0.1, early_stopping=False,
            random_state=seed,
        )  # fmt: skip
        booster.fit(np.concatenate(known), np.concatenate(came))
        return cls(GrownTrees.of(booster))

    def forecast(self, moment: Moment) -> Floats:
        """Log of the expected number of users, about 0 on average. Shape [N]."""
        return self.trees.values(signals(moment))

    def to_arrays(self) -> dict[str, Array]:
        """The trees' arrays."""
        return self.trees.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Self:
        """Takes back what `to_arrays` gave."""
        return cls(GrownTrees(**arrays))


def signals(moment: Moment) -> Floats:
    """Events of every item in windows and in all, ages, and its numbers. Shape [N, F]."""
    items, events = np.arange(moment.dataset.n_items), moment.events
    activity = ItemActivity(events.item, events.time, n_items=len(items), listed_at=moment.listed_at)
    columns = ItemColumns.of(moment.catalogue)
    return np.column_stack(
        [
            activity.features(items, moment.at),
            np.log1p(events.item_counts()),
            *columns.numbers.values(),
        ]
    ).astype(np.float32)
