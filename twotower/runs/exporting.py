"""`export_onnx`: the networks of a run as ONNX graphs beside the encoded catalogue and users."""

from pathlib import Path
from typing import Any

import numpy as np

from twotower.errors import BadConfig
from twotower.runs.bundle import Bundle
from twotower.storage.atomic import fresh


def export_onnx(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """Writes graphs, `inputs.json`, `items.npz` and `users.npz` into a new folder, which appears whole or not at all.

    `items.npz` holds the inputs of `item.onnx` for the catalogue, `users.npz` those of `user.onnx` for users, but no
    histories; both hold the external ids as `ids`.

    Returns:
        What `inputs.json` says.

    Raises:
        BadConfig: the run is of another model, the folder is taken, or the extra `onnx` is not installed.
    """
    from twotower.models.two_tower.estimator import TwoTower  # loads torch
    from twotower.models.two_tower.onnx_export import export_towers, graph_inputs

    if folder.exists():
        raise BadConfig(f"{folder} is there already and stays as it is; give --out=<a new folder>")
    model, files = bundle.model(), bundle.serving()
    if not isinstance(model, TwoTower):
        raise BadConfig(f"run {bundle.name!r} is of {type(model).__name__}; export is for the networks of two_tower")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with fresh(folder.with_name(f".{folder.name}.exporting")) as new:
        said = export_towers(model.encoder, new)
        inputs = model.encoder.inputs
        items = {**graph_inputs(inputs.items, "item"), "identity": inputs.identities.astype(np.int64)}
        users = {**graph_inputs(inputs.users, "user"), **graph_inputs(inputs.profiles, "profile")}
        np.savez(new / "items.npz", **_with_ids(items, files.item_ids.external.astype(str), len(files.item_ids)))
        np.savez(new / "users.npz", **_with_ids(users, files.user_ids.external.astype(str), len(files.user_ids)))
    new.rename(folder)
    return said


def _with_ids(inputs: dict[str, Any], ids: Any, n: int) -> dict[str, Any]:
    """The rows of known ids; the last row of users stands for an unknown one."""
    return {"ids": ids, **{name: array[:n] for name, array in inputs.items()}}
