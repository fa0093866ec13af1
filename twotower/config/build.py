"""Configurations become data sets, splits and models."""

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twotower.config.compose import instantiate
from twotower.data.dataset import Dataset
from twotower.data.positives import select_positives
from twotower.data.split import Split
from twotower.data.splitters import Splitter
from twotower.errors import BadConfig

if TYPE_CHECKING:
    from twotower.types import Queries, TopK


def read_source(data: Mapping[str, Any]) -> Dataset:
    """Reads the source of a `data` configuration and keeps its positives."""
    dataset: Dataset = instantiate(data["source"]).load()
    return select_positives(dataset, **data["positives"])


def make_split(settings: Mapping[str, Any], dataset: Dataset) -> Split:
    """Cuts a data set by the protocol that was chosen (`protocol=NAME`), else by the data set's own split."""
    splitter: Splitter = instantiate(settings.get("protocol") or settings["data"]["split"])
    return splitter.split(dataset)


class TowersOf:
    """`TwoTower` as a search sees it: fitted for the moment of validation, made of options such as `train.lr`.

    Args:
        settings: a composed configuration of training.
        n_candidates: items that RankNet orders.
        options: by their place in the configuration.

    Raises:
        BadConfig: an option has no place there.
    """

    def __init__(self, settings: Mapping[str, Any], n_candidates: int, **options: Any) -> None:
        self.settings = with_options(settings, options)
        self.n_candidates = n_candidates
        self.on_validation: Callable[[float], None] | None = None
        self._ask: Callable[[Queries, int], TopK] | None = None

    def fit(self, split: "Split") -> "TowersOf":
        """Learns from `split.train` and stands ready for its validation."""
        from twotower.data.split import FinalSplit
        from twotower.models.two_tower.estimator import TwoTower

        model = TwoTower(
            towers=instantiate(self.settings["model"]),
            features=instantiate(self.settings["features"]),
            objective=instantiate(self.settings["objective"]),
            training=instantiate(self.settings["train"], refit=False),
        )
        model.on_validation = self.on_validation
        parts = split.dataset, split.train, split.validation, split.validation, split.name, split.ordered_by_time
        model.fit(FinalSplit(*parts))  # it is asked for validation, where it would be asked for the test
        stages = model.recommender(n_candidates=self.n_candidates)
        self._ask = stages.recommend if model.objective.trains_towers else stages.gold_standard
        return self

    def recommend(self, queries: "Queries", k: int) -> "TopK":
        """Lists of both stages. Shape [B, k]."""
        assert self._ask is not None, "fit comes first"
        return self._ask(queries, k)


def with_options(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of some settings with options such as `train.lr` put in their place.

    Raises:
        BadConfig: there is no such place.
    """
    changed = copy.deepcopy(dict(settings))
    for place, value in options.items():
        group, _, name = place.partition(".")
        if not name or name not in (changed.get(group) or {}):
            raise BadConfig(f"search: {place!r} is no option of training; see `python -m twotower.train --cfg job`")
        changed[group][name] = value
    return changed
