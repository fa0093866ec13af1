"""The families of pair features by name: add a class and its name stands for it in `features` of every YAML."""

from collections.abc import Mapping

from twotower.models.second_stage.activity import Activity, Habits
from twotower.models.second_stage.covisitation import Covisitation
from twotower.models.second_stage.kernels import Kernels
from twotower.models.second_stage.pair_feature import PairFeature
from twotower.models.second_stage.tastes import Distances, Shares

FAMILIES: Mapping[str, type[PairFeature]] = {
    kind.name: kind for kind in (Activity, Habits, Shares, Distances, Kernels, Covisitation)
}
"""Pair features by name."""
