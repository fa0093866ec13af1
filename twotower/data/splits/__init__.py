"""Ways to cut a data set into train, validation and test; each has `name` and `split(dataset) -> Split`."""

from twotower.data.splits.by_time import ByTime, ByWeek, TimeQuantile
from twotower.data.splits.held_out import ColdItems, RandomSplit, UserHeldOut
from twotower.data.splits.parts import Splitter
from twotower.data.splits.per_user import LeaveLast, PerUserRatio

__all__ = [
    "ByTime",
    "ByWeek",
    "ColdItems",
    "LeaveLast",
    "PerUserRatio",
    "RandomSplit",
    "Splitter",
    "TimeQuantile",
    "UserHeldOut",
]
