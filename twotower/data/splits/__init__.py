"""Ways to cut a data set into train, validation and test; each has `name` and `split(dataset) -> Split`."""

from twotower.data.splits.by_time import ByTime, ByWeek, TimeQuantile
from twotower.data.splits.cold_users import ColdUsers
from twotower.data.splits.held_out import ColdItems, RandomSplit, UserHeldOut
from twotower.data.splits.parts import Splitter
from twotower.data.splits.per_user import LeaveLast, PerUserRatio
from twotower.data.splits.published import Published
from twotower.data.splits.sampled import SampledNegatives

__all__ = [
    "ByTime",
    "ByWeek",
    "ColdItems",
    "ColdUsers",
    "LeaveLast",
    "PerUserRatio",
    "Published",
    "RandomSplit",
    "SampledNegatives",
    "Splitter",
    "TimeQuantile",
    "UserHeldOut",
]
