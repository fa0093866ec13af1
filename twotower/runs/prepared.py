"""Prepared data sets: a source read once, kept as Parquet beside the recipe that made it; likewise encoded inputs."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

import twotower
from twotower.config.build import read_source
from twotower.config.compose import instantiate
from twotower.data.dataset import Dataset
from twotower.data.sources import Source
from twotower.data.split import Split
from twotower.errors import BadInput
from twotower.storage.atomic import fresh, put_in_place, standing
from twotower.storage.whole_file import write_whole_json

if TYPE_CHECKING:
    from twotower.models.two_tower.options import FeatureOptions, TowerOptions
    from twotower.models.two_tower.prepared_inputs import PreparedInputs

RECIPE = "recipe.json"
INPUTS = "inputs"


def save_prepared(dataset: Dataset, data: Mapping[str, Any], folder: Path) -> None:
    """Saves a data set and, last, the recipe by which `load_prepared` knows it again."""
    (folder / RECIPE).unlink(missing_ok=True)
    dataset.save(folder)
    write_whole_json(folder / RECIPE, _recipe(data))


def load_prepared(data: Mapping[str, Any], folder: Path) -> Dataset:
    """The data set from `folder` if it was prepared by the same recipe, else from its source."""
    recipe = folder / RECIPE
    if recipe.exists() and json.loads(recipe.read_text()) == _recipe(data):
        return Dataset.load(folder)
    return read_source(data)


def save_inputs(split: Split, settings: Mapping[str, Any], folder: Path) -> "PreparedInputs":
    """Learns and encodes what a training of these settings reads, and saves it in `folder`/inputs.

    Beside it lie train.parquet, validation.parquet and test.parquet: the events that are learnt from, and the targets.
    """
    from twotower.models.two_tower.prepared_inputs import PreparedInputs  # loads torch, which data alone do not need

    options, min_count = _input_options(settings)
    inputs, target = PreparedInputs.of(split, options, min_count), folder / INPUTS
    folder.mkdir(parents=True, exist_ok=True)
    with fresh(folder / f"{INPUTS}.new") as new:
        inputs.save(new)
        split.train.save(new / "train.parquet")
        split.validation.target.save(new / "validation.parquet")
        split.test.target.save(new / "test.parquet")
        write_whole_json(new / RECIPE, _input_recipe(split, settings))
        former = put_in_place(new, target)
    if former is not None:
        shutil.rmtree(former)
    return inputs


def load_inputs(split: Split, settings: Mapping[str, Any], folder: Path) -> "PreparedInputs | None":
    """What `save_inputs` left for the same split and settings, mapped into memory; None if it left nothing for them.

    Raises:
        BadInput: the files are damaged.
    """
    from twotower.models.two_tower.prepared_inputs import PreparedInputs  # see above

    recipe = standing(folder / INPUTS) / RECIPE
    if not recipe.exists() or json.loads(recipe.read_text()) != _input_recipe(split, settings):
        return None
    try:
        return PreparedInputs.load(recipe.parent)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadInput(
            f"{recipe.parent} does not hold what was prepared there ({error}); delete that folder, or prepare it again"
        ) from error


def _input_options(settings: Mapping[str, Any]) -> "tuple[FeatureOptions, int]":
    options: FeatureOptions = instantiate(settings["features"])
    towers: TowerOptions = instantiate(settings["towers"])
    return options, towers.identity_min_count


def _input_recipe(split: Split, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the content of encoded inputs, as JSON would give it back."""
    options, min_count = _input_options(settings)
    parts = {
        "data": _recipe(settings["data"]),
        "split": settings.get("protocol") or settings["data"]["split"],
        "events": [len(split.train), split.validation.at, split.test.at],
        "features": asdict(options),
        "identity_min_count": min_count,
        "version": twotower.__version__,
    }
    recipe: dict[str, Any] = json.loads(json.dumps(parts))
    return recipe


def _recipe(data: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the content: source, positives and the state of the files read, as JSON would give them back."""
    files = _stamps(instantiate(data["source"]))
    parts = {"source": data["source"], "positives": data["positives"], "files": files}
    recipe: dict[str, Any] = json.loads(json.dumps(parts))
    return recipe


def _stamps(source: Source) -> list[tuple[str, int, int]]:
    """Path, size and time of change (ns) of every file that a source reads and that is there."""
    stats = [(str(path), path.stat()) for path in source.files() if path.is_file()]
    return [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
