"""`Popular`: the same list for everybody, most used items first."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.models.base import BLOCK_QUERIES, ScoringModel
from twotower.models.options import or_none, positive, require
from twotower.topk import top_k_of_shared
from twotower.training.context import QUIET, FitContext
from twotower.types import Array, Floats, Queries, TopK

DAY = 86_400
"""Seconds."""


@dataclass(kw_only=True, eq=False, repr=False)
class Popular(ScoringModel):
    """Scores an item by its number of training events or users, in all or in the newest days only.

    Relations: the floor that every personalised model must pass, and what the others fall back to for a user of whom
    nothing is known. With `window_days` it is the "recently popular" baseline, much stronger where taste or stock
    changes.

    Source: Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-N recommendation tasks"
    (TopPop); Ji, Sun, Zhang & Li 2020, "A re-visit of the popularity baseline" (recent windows).

    Attributes:
        window_days: length of the window that ends with the newest training event, days; None takes all events.
        unique_users: count a user once per item, however often the user came back.
    """

    serves_new_users = False
    personal = False

    window_days: float | None = None
    unique_users: bool = True

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        require(self, window_days=or_none(positive))
        self._counts: Floats = np.empty(0, np.float32)

    def fit(self, split: Split, context: FitContext = QUIET) -> Self:
        """Counts `split.train`."""
        events = self._recent(split.train)
        self._counts = (events.unique_pairs() if self.unique_users else events).item_counts().astype(np.float32)
        self.n_items = split.train.n_items
        return self

    def _recent(self, events: Interactions) -> Interactions:
        if self.window_days is None:
            return events
        return events.where(events.time > events.time.max() - self.window_days * DAY)

    def score(self, queries: Queries) -> Floats:
        """Counts, the same in every row. Shape [B, N]."""
        self._check(queries)
        return np.tile(self._counts, (len(queries), 1))

    def _best(self, queries: Queries, k: int) -> TopK:
        return top_k_of_shared(self._counts, k, queries.exclusions, queries.allowed)

    def _block_size(self) -> int:
        return BLOCK_QUERIES

    def state(self) -> dict[str, Array]:
        """Counts [N]."""
        return {"counts": self._counts}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes counts [N]."""
        self._counts = state["counts"]
