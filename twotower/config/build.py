"""Configurations become data sets and splits."""

from collections.abc import Mapping
from typing import Any

from twotower.allowed import SOURCE, SPLITTER
from twotower.config.checked import fitting
from twotower.config.compose import instantiate
from twotower.data.dataset import Dataset
from twotower.data.positives import select_positives
from twotower.data.split import Split
from twotower.data.splitters import Splitter


def read_source(data: Mapping[str, Any]) -> Dataset:
    """Reads the source of a `data` configuration and keeps its positives."""
    positives = fitting(select_positives, data["positives"])
    dataset: Dataset = instantiate(data["source"], SOURCE).load()
    return select_positives(dataset, **positives)


def make_split(settings: Mapping[str, Any], dataset: Dataset) -> Split:
    """Cuts a data set by the protocol that was chosen (`protocol=NAME`), else by the data set's own split.

    A protocol with a place for another split (`split: null`) takes the data set's own there. With `whole_catalogue`
    items compete that cannot be had at the moment of asking.
    """
    own, chosen = settings["data"]["split"], settings.get("protocol")
    if chosen and chosen.get("split", own) is None:
        chosen = {**chosen, "split": own}
    splitter: Splitter = instantiate(chosen or own, SPLITTER)
    split = splitter.split(dataset)
    return split.over_whole_catalogue() if settings.get("whole_catalogue") else split
