"""`Activity`: how much an item is looked at lately, and for how long it has been listed."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from twotower.features.item_activity import WINDOW_DAYS, ItemActivity
from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.moment import Asked, Moment
from twotower.models.second_stage.pair_feature import PairFeature, Tables
from twotower.types import Floats, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(PairFeature):
    """Events of the item in windows before the asking (logarithms), its age, and events for each day of its life.

    Attributes:
        days: lengths of the windows.
    """

    name: ClassVar[str] = "activity"
    days: tuple[float, ...] = WINDOW_DAYS

    def tables(self, moment: Moment, columns: ItemColumns) -> Tables:
        """The events, and when items were listed."""
        events = moment.events
        return {"items": events.item, "times": events.time, "listed": moment.listed_at}

    def opened(self, tables: Tables) -> ItemActivity:
        """Events sorted by item and time."""
        listed = tables["listed"]
        return ItemActivity(
            tables["items"], tables["times"], n_items=len(listed), listed_at=listed, window_days=self.days
        )

    def names(self, columns: ItemColumns) -> list[str]:
        """A window each, the age, the rate."""
        return [*(f"events of {d:g} days" for d in self.days), "days listed", "events a day"]

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """Counts of events strictly before the asking. Shape [B, C, F]."""
        activity: ItemActivity = tables
        chosen = np.maximum(items, 0).ravel()
        at = np.broadcast_to(asked.at[:, None], items.shape).ravel()
        age = np.nan_to_num(activity.days_listed(chosen, at))
        rate = activity.counts(chosen, at) / (age + 1)
        found = np.column_stack([np.log1p(activity.windows(chosen, at)), age, rate])
        return found.reshape(*items.shape, -1).astype(np.float32)
