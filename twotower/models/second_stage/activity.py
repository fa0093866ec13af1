"""`Activity` and `Habits`: how much an item is looked at lately, and how much its user looks."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from twotower.features.item_activity import WINDOW_DAYS, ItemActivity
from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.moment import Asked, Moment
from twotower.models.second_stage.pair_feature import PairFeature, Tables
from twotower.types import Floats, Ids

LONG_AGO = 365.0
"""Days since the newest event of a user without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(PairFeature):
    """Events and first touches of the item in windows before the asking (logarithms), its age, and events a day.

    What is shown to more users is found by new ones; who comes back says little of that.

    Attributes:
        days: lengths of the windows.
    """

    name: ClassVar[str] = "activity"
    days: tuple[float, ...] = WINDOW_DAYS

    def tables(self, moment: Moment, columns: ItemColumns) -> Tables:
        """The events, those that were a user's first of the item, and when items were listed."""
        events, firsts = moment.events, moment.events.unique_pairs()
        return {
            "items": events.item, "times": events.time, "first_items": firsts.item, "first_times": firsts.time,
            "listed": moment.listed_at,
        }  # fmt: skip

    def opened(self, tables: Tables) -> tuple[ItemActivity, ItemActivity]:
        """Events and first touches, sorted by item and time."""
        listed = tables["listed"]
        all_events, firsts = (
            ItemActivity(
                tables[f"{which}items"], tables[f"{which}times"], n_items=len(listed), listed_at=listed,
                window_days=self.days,
            )
            for which in ("", "first_")
        )  # fmt: skip
        return all_events, firsts

    def names(self, columns: ItemColumns) -> list[str]:
        """Two a window, the age, the rate."""
        windows = [f"{what} of {d:g} days" for what in ("events", "first touches") for d in self.days]
        return [*windows, "days listed", "events a day"]

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """Counts of events strictly before the asking. Shape [B, C, F]."""
        every, firsts = tables
        chosen = np.maximum(items, 0).ravel()
        at = np.broadcast_to(asked.at[:, None], items.shape).ravel()
        age = np.nan_to_num(every.days_listed(chosen, at))
        rate = every.counts(chosen, at) / (age + 1)
        windows = [np.log1p(activity.windows(chosen, at)) for activity in (every, firsts)]
        return np.column_stack([*windows, age, rate]).reshape(*items.shape, -1).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits(PairFeature):
    """How many events and items the user's history has, how many are new, and how long ago the newest is.

    They say nothing of an item, but how far what else is known of the pair can be trusted.

    Attributes:
        days: lengths of the windows.
    """

    name: ClassVar[str] = "habits"
    days: tuple[float, ...] = (1.0, 7.0)

    def names(self, columns: ItemColumns) -> list[str]:
        """Three, and one a window."""
        return ["user: events", "user: items", "user: days idle", *(f"user: events of {d:g} days" for d in self.days)]

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """The same for all candidates of a query. Shape [B, C, F]."""
        real = asked.items >= 0
        idle = np.where(real, asked.age, np.inf).min(axis=1, initial=LONG_AGO)
        counts = [real.sum(axis=1), (asked.distinct().items >= 0).sum(axis=1), idle]
        counts += [(real & (asked.age < d)).sum(axis=1) for d in self.days]
        found = np.stack(counts, axis=-1).astype(np.float32)
        return np.broadcast_to(found[:, None], (*items.shape, found.shape[1]))
