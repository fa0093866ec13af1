"""Ways to cut a data set into train, validation and test; each has `name` and `split(dataset) -> Split`."""

from twotower.data.splitters.by_time import ByTime, ByWeek, TimeQuantile
from twotower.data.splitters.cold_users import ColdUsers
from twotower.data.splitters.held_out import ColdItems, RandomSplit, UserHeldOut
from twotower.data.splitters.parts import Splitter
from twotower.data.splitters.per_user import LeaveLast, PerUserRatio
from twotower.data.splitters.published import Published
from twotower.data.splitters.rolling import Rolling
from twotower.data.splitters.sampled import SampledNegatives

__all__ = [
    "ByTime",
    "ByWeek",
    "ColdItems",
    "ColdUsers",
    "LeaveLast",
    "PerUserRatio",
    "Published",
    "RandomSplit",
    "Rolling",
    "SampledNegatives",
    "Splitter",
    "TimeQuantile",
    "UserHeldOut",
]
