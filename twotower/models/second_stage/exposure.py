"""`Exposure`: how many users will touch each item soon, forecast from its past: what gets shown gets touched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from twotower.data.split import Split
from twotower.features.item_activity import WINDOW_DAYS, ItemActivity
from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.grown_trees import GrownTrees
from twotower.models.second_stage.moment import Moment
from twotower.types import Array, Bools, Floats, Ids

N_TREES, N_LEAVES = 100, 15
FIRST_DAYS = (0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 14.0, 35.0)
"""Windows in which first touches are counted."""
DEMAND_WINDOWS = [3, 7]
"""Of these windows, those in which the touches of items alike are counted: 3 and 35 days."""
MOST_ITEMS = 200_000
"""Items of a moment that the forecast is learnt from, at most."""


@dataclass(eq=False)
class Exposure:
    """Poisson regression by boosted trees: touches in windows, ages, numbers, how much the like of it is touched."""

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
    """First touches and events of every item in windows and in all, ages, its numbers, and those of its like. [N, F].

    What is shown finds new users; a user who comes back says little. So first touches are counted apart.
    """
    items, events, firsts = np.arange(moment.dataset.n_items), moment.events, moment.events.unique_pairs()
    listed, columns = moment.listed_at, ItemColumns.of(moment.catalogue)
    users, looks = (
        ItemActivity(e.item, e.time, n_items=len(items), listed_at=listed, window_days=days)
        for e, days in ((firsts, FIRST_DAYS), (events, WINDOW_DAYS))
    )
    counted = [users.features(items, moment.at), np.log1p(looks.windows(items, moment.at))]
    everything = [np.log1p(part.item_counts()) for part in (firsts, events)]
    like = demand(columns.codes.values(), users.windows(items, moment.at)[:, DEMAND_WINDOWS], moment.there)
    return np.column_stack([*counted, *everything, *columns.numbers.values(), *like]).astype(np.float32)


def demand(columns: Iterable[Ids], touches: Ids, there: Bools) -> list[Floats]:
    """How much the other items with an item's value are asked for, column by column, and how many there are.

    Args:
        columns: codes, -1 where missing. Shapes [N].
        touches: of each item in some windows. Shape [N, W].
        there: which items can be had; only those count. Shape [N].

    Returns:
        For each column the touches of another such item on average, window by window, and log(1 + others). Shapes [N].
    """
    found: list[Floats] = []
    counted = np.where(there[:, None], touches, 0).astype(np.float64)
    for codes in columns:
        place = codes + 1
        others = np.bincount(place, there)[place] - there
        sums = [np.bincount(place, column)[place] - column for column in counted.T]
        found += [np.asarray(total / np.maximum(others, 1), np.float32) for total in sums]
        found.append(np.log1p(others).astype(np.float32))
    return found
