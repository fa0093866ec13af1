"""Runs of models that were fitted in Python: published with the data set that no file holds, and opened with it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twotower.data.dataset import Dataset
from twotower.data.growth import grown
from twotower.errors import BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.prepared import load_prepared
from twotower.runs.publishing import publish, save_model
from twotower.runs.served_run import ServedRun
from twotower.runs.serving_files import ServingFiles
from twotower.storage.manifest import reading

DATASET = "dataset"
"""Folder of a run that holds its data set."""


def publish_fitted(
    served: ServedRun, dataset: Dataset | None, split: str, path: Path, *, keep: int, of: Bundle | None
) -> Path:
    """Writes a run.

    Args:
        served: the model and what it answers with.
        dataset: goes into the run; None: not known.
        split: how the model learnt.
        path: of the run.
        keep: former runs of that name to keep.
        of: the run that the model was opened from.
    """
    import yaml  # type: ignore[import-untyped]

    assert dataset is not None or of is not None
    fingerprint = dataset.fingerprint() if dataset is not None else of and of.manifest["dataset"]
    config = _config(served, path, of)

    def write(folder: Path) -> None:
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        save_model(served.model, folder)
        served.files.save(folder)
        if dataset is not None:
            dataset.save(folder / DATASET)
        curve = [asdict(progress) for progress in getattr(served.model, "progress", ())]
        (folder / "training.json").write_text(json.dumps(curve, indent=2) + "\n")

    facts: dict[str, Any] = {"dataset": fingerprint, "split": split, "production": {}}
    return publish(path.parent, path.name, write, facts, keep=keep).directory


def dataset_of(bundle: Bundle, files: ServingFiles) -> Dataset:
    """The data set of a run: its own copy, or what its source gives now in the run's numbers.

    Raises:
        BundleError: the run keeps none and names no source.
    """
    folder = bundle.directory / DATASET
    if folder.is_dir():
        with reading(folder, "publish it again"):
            return Dataset.load(folder)
    config = bundle.config()
    if "data" not in config:
        raise BundleError(f"run {bundle.name!r} keeps no data set and names no source; fit again")
    return grown(load_prepared(config["data"], Path(config["prepared"])), files.user_ids, files.item_ids)


def _config(served: ServedRun, path: Path, of: Bundle | None) -> dict[str, Any]:
    if of is not None:
        return {**of.config(), "run": path.name, "runs_dir": str(path.parent)}
    serve = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(served.options).items()}
    model: dict[str, Any] = json.loads(json.dumps(served.model.options()))
    return {
        "model_name": type(served.model).__name__,
        "model": {"_target_": served.model.path(), **model},
        "run": path.name,
        "runs_dir": str(path.parent),
        "serve": {"_target_": "twotower.runs.served_run.ServeOptions", **serve},
    }
