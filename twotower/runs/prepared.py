"""Prepared data sets: a source read once, kept as Parquet beside the recipe that made it; likewise encoded inputs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import twotower
from twotower.allowed import OPTIONS, SOURCE
from twotower.config.build import read_source, source_in_place
from twotower.config.compose import instantiate
from twotower.data.dataset import Dataset
from twotower.data.sources import Source
from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.storage.atomic import fresh, only_one, put_in_place, standing
from twotower.storage.manifest import MANIFEST, read_manifest, reading, verify, write_manifest
from twotower.storage.ours import refuse_foreign, remove, strangers
from twotower.storage.stamps import same_files, stamps_of
from twotower.storage.whole_file import write_whole_json

if TYPE_CHECKING:
    from twotower.models.two_tower.inputs import TowerInputs
    from twotower.models.two_tower.options import FeatureOptions, TowerOptions
    from twotower.models.two_tower.prepared_inputs import PreparedInputs

RECIPE = "recipe.json"
INPUTS = "inputs"
_BESIDE = (INPUTS, f"{INPUTS}.new", f".{INPUTS}.former")
"""What lies beside the files of a data set, with a manifest of its own."""
_AGAIN = "prepare it again"


def save_prepared(dataset: Dataset, data: Mapping[str, Any], folder: Path) -> None:
    """Saves a data set with the recipe by which `load_prepared` knows it again; it appears whole or not at all.

    Encoded inputs that lie in the folder stay.

    Raises:
        BadConfig: the folder holds something else.
        BundleError: another process is preparing into it, or the disk is full.
    """
    folder = folder.absolute()
    refuse_foreign_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(folder.parent / f".{folder.name}.lock", f"preparing {folder}"):
        with fresh(folder.parent / f".{folder.name}.preparing") as new:
            dataset.save(new)
            write_whole_json(new / RECIPE, _recipe(data, digests=True))
            write_manifest(new, {"prepared": dataset.name}, uncovered=_BESIDE)
        former = put_in_place(new, folder)
        if former is not None:
            if (former / INPUTS).is_dir():
                (former / INPUTS).rename(folder / INPUTS)
            remove(former)


def refuse_foreign_folder(folder: Path) -> None:
    """Refuses a folder for prepared data that holds something else, better before reading a source than after.

    Raises:
        BadConfig: it says what lies there.
    """
    remedy = "give out=<another folder>"
    refuse_foreign(folder, remedy)
    if folder.is_dir() and (others := strangers(folder, _BESIDE)):
        raise BadConfig(f"{folder} holds {others[0]}, which `prepare` did not write, so it stays as it is; {remedy}")


def load_prepared(data: Mapping[str, Any], folder: Path) -> Dataset:
    """The data set from `folder` if it was prepared by the same recipe from the same files, else from its source.

    Raises:
        BundleError: the files are not what was prepared.
    """
    folder = standing(folder.absolute())
    if not _is_of(data, folder):
        return read_source(data)
    verify(folder, read_manifest(folder), _AGAIN)
    with reading(folder, _AGAIN):
        return Dataset.load(folder)


def _is_of(data: Mapping[str, Any], folder: Path) -> bool:
    """Whether a folder was prepared by this recipe and the files of the source hold what they held then."""
    try:
        before = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
        stamps = before.pop("files")
        before["source"] = source_in_place(before["source"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if not (folder / MANIFEST).exists():
        return False
    now = _recipe(data)
    files = now.pop("files")
    return bool(before == now) and same_files(stamps, files)


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
        write_manifest(new, {"prepared": INPUTS}, uncovered=())
    former = put_in_place(new, target)
    if former is not None:
        remove(former)
    return inputs


def load_inputs(split: Split, settings: Mapping[str, Any], folder: Path) -> "PreparedInputs | None":
    """What `save_inputs` left for the same split and settings, mapped into memory; None if it left nothing for them.

    Raises:
        BundleError: the files are not what was prepared.
    """
    from twotower.models.two_tower.prepared_inputs import PreparedInputs  # see above

    place = standing(folder / INPUTS)
    try:
        recipe = json.loads((place / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if recipe != _input_recipe(split, settings):
        return None
    verify(place, read_manifest(place), _AGAIN)
    with reading(place, _AGAIN):
        inputs = PreparedInputs.load(place)
    return replace(inputs, asked=partial(_asked, inputs, place))


def _asked(inputs: "PreparedInputs", place: Path, part: str) -> "TowerInputs":
    """Inputs of a later moment, which are opened when they are asked for."""
    with reading(place, _AGAIN):
        return inputs.asked(part)


def _input_options(settings: Mapping[str, Any]) -> "tuple[FeatureOptions, int]":
    options: FeatureOptions = instantiate(settings["features"], OPTIONS)
    towers: TowerOptions = instantiate(settings["towers"], OPTIONS)
    return options, towers.identity_min_count


def _input_recipe(split: Split, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the content of encoded inputs, as JSON would give it back."""
    options, min_count = _input_options(settings)
    parts = {
        "data": {"source": source_in_place(settings["data"]["source"]), "positives": settings["data"]["positives"]},
        "dataset": split.dataset.fingerprint(),
        "split": settings.get("protocol") or settings["data"]["split"],
        "events": [len(split.train), split.validation.at, split.test.at],
        "features": asdict(options),
        "identity_min_count": min_count,
        "version": twotower.__version__,
    }
    recipe: dict[str, Any] = json.loads(json.dumps(parts))
    return recipe


def _recipe(data: Mapping[str, Any], *, digests: bool = False) -> dict[str, Any]:
    """What decides the content: source, positives and the state of the files read, as JSON would give them back."""
    source: Source = instantiate(data["source"], SOURCE)
    files = stamps_of(source.files(), digests=digests)
    parts = {"source": source_in_place(data["source"]), "positives": data["positives"], "files": files}
    recipe: dict[str, Any] = json.loads(json.dumps(parts))
    return recipe
