"""Configurations become data sets and splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twotower.allowed import OPTIONS, SOURCE, SPLITTER
from twotower.config.checked import fitting
from twotower.config.compose import instantiate
from twotower.config.defaults import with_defaults
from twotower.config.overrides import options_of
from twotower.data.dataset import Dataset
from twotower.data.positives import select_positives
from twotower.data.split import Split
from twotower.data.splitters import Splitter

_OPTIONS = ("features", "towers", "train", "serve")


def refuse_bad_options(settings: Mapping[str, Any]) -> None:
    """Refuses what a source, positives, a split, lists or a training cannot be made of, before anything is read.

    Groups whose classes compute are left to the model; these here need no torch.

    Args:
        settings: of a training, as plain values.

    Raises:
        BadConfig: it names the option.
    """
    instantiate(settings["data"]["source"], SOURCE)
    fitting(select_positives, settings["data"]["positives"])
    instantiate(settings.get("protocol") or settings["data"]["split"], SPLITTER)
    for group in _OPTIONS:
        if settings.get(group):
            instantiate(with_defaults(settings[group], group), OPTIONS)


def with_absolute_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training whose data are found from any folder: the paths of a source and of a split are absolute.

    Where a source has a `root`, its other paths stay as they are, relative to it.
    """
    data = dict(settings["data"])
    data["source"] = source_in_place(data["source"])
    data["split"] = _in_place(data.get("split"), ("negatives",))
    found = {**settings, "data": data, **_in_place({"prepared": settings.get("prepared")}, ("prepared",))}
    return {**found, "protocol": _in_place(settings["protocol"], ("negatives",))} if "protocol" in settings else found


def source_in_place(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source's options with absolute paths."""
    places = ("root",) if "root" in source else ("path", "folder")
    found: dict[str, Any] = _in_place(source, places)
    return found


def _in_place(options: Any, places: Sequence[str]) -> Any:
    """The options; those of `places` that are paths are absolute."""
    if not isinstance(options, Mapping):
        return options
    paths = {name: options[name] for name in places if isinstance(options.get(name), str)}
    return {**options, **{name: str(Path(path).absolute()) for name, path in paths.items() if "://" not in path}}


def read_source(data: Mapping[str, Any]) -> Dataset:
    """Reads the source of a `data` configuration and keeps its positives."""
    positives = fitting(select_positives, data["positives"])
    dataset: Dataset = instantiate(data["source"], SOURCE).load()
    return select_positives(dataset, **positives)


def make_split(settings: Mapping[str, Any], dataset: Dataset) -> Split:
    """Cuts a data set by the protocol that was chosen (`protocol=NAME`), else by the data set's own split.

    A protocol that goes on from another split takes the data set's own, unless it is given one. With `whole_catalogue`
    items compete that cannot be had at the moment of asking.
    """
    own, chosen = settings["data"].get("split"), settings.get("protocol")
    if chosen and chosen.get("split") is None and "split" in options_of(chosen):
        chosen = {**chosen, "split": own}
    splitter: Splitter = instantiate(chosen or own, SPLITTER)
    split = splitter.split(dataset)
    return split.over_whole_catalogue() if settings.get("whole_catalogue") else split
