"""Prepared data sets: a source read once, kept as Parquet beside the recipe that made it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twotower.config import instantiate
from twotower.data.dataset import Dataset
from twotower.data.positives import select_positives
from twotower.data.split import Split
from twotower.data.splits import Splitter

RECIPE = "recipe.json"


def read_source(data: Mapping[str, Any]) -> Dataset:
    """Reads the source of a `data` configuration and keeps its positives."""
    dataset: Dataset = instantiate(data["source"]).load()
    return select_positives(dataset, **data["positives"])


def make_split(settings: Mapping[str, Any], dataset: Dataset) -> Split:
    """Cuts a data set by the protocol that was chosen (`protocol=NAME`), else by the data set's own split."""
    splitter: Splitter = instantiate(settings.get("protocol") or settings["data"]["split"])
    return splitter.split(dataset)


def save_prepared(dataset: Dataset, data: Mapping[str, Any], folder: Path) -> None:
    """Saves a data set and, last, the recipe by which `load_prepared` knows it again."""
    (folder / RECIPE).unlink(missing_ok=True)
    dataset.save(folder)
    (folder / RECIPE).write_text(json.dumps(_recipe(data), indent=2) + "\n")


def load_prepared(data: Mapping[str, Any], folder: Path) -> Dataset:
    """The data set from `folder` if it was prepared by the same recipe, else from its source."""
    recipe = folder / RECIPE
    if recipe.exists() and json.loads(recipe.read_text()) == _recipe(data):
        return Dataset.load(folder)
    return read_source(data)


def _recipe(data: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the content: source, positives and the state of the files read, as JSON would give them back."""
    parts = {"source": data["source"], "positives": data["positives"], "files": _stamps(data["source"])}
    recipe: dict[str, Any] = json.loads(json.dumps(parts))
    return recipe


def _stamps(source: Mapping[str, Any]) -> list[list[Any]]:
    """Size and time of change of every file beside the one that `path` names, or in the folder that `root` names."""
    root, path = source.get("root"), source.get("path")
    folder = Path(root or ".") / str(source.get("variant") or source.get("folder") or "")
    if path:
        folder = (Path(root or ".") / path).parent
    if not (root or path) or not folder.is_dir():
        return []
    stats = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
