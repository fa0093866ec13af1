"""Both towers and RankNet as ONNX graphs, which any runtime computes without torch, and what goes into them."""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twotower.errors import BadConfig
from twotower.features.encoded import Bags, EncodedTable
from twotower.models.two_tower.encoder import TowerEncoder
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.user_net import UserInputs
from twotower.nn.tensors import FeatureTensors, PaddedBags
from twotower.types import Array

OPSET = 18
_ROWS, _LENGTH, _CANDIDATES, _STEPS = "rows", "values", "candidates", "steps"


def graph_inputs(table: EncodedTable, prefix: str) -> dict[str, Array]:
    """What a tower's graph takes of some encoded rows.

    A field of one value is `<prefix>.<field>` int64 [n]; of several values `<prefix>.<field>.codes` int64 [n, L] and
    `<prefix>.<field>.weights` float32 [n, L], weight 0 where a row ends; `<prefix>.numbers` is float32 [n, F].
    """
    inputs: dict[str, Array] = {}
    for name, values in table.codes.items():
        if isinstance(values, Bags):
            width = max(1, int(values.codes.lengths.max(initial=0)))
            inputs[f"{prefix}.{name}.codes"] = values.codes.padded(width, 0).astype(np.int64)
            weights = type(values.codes)(values.weights, values.codes.offsets)
            inputs[f"{prefix}.{name}.weights"] = weights.padded(width, 0).astype(np.float32)
        else:
            inputs[f"{prefix}.{name}"] = values.astype(np.int64)
    inputs[f"{prefix}.numbers"] = table.continuous.astype(np.float32)
    return inputs


def export_towers(encoder: TowerEncoder, folder: Path) -> dict[str, Any]:
    """Writes `item.onnx`, `user.onnx`, `rank.onnx` and `inputs.json` into an existing folder.

    Returns:
        What `inputs.json` says: of each graph its inputs and outputs, their types and shapes.

    Raises:
        BadConfig: the extra `onnx` is not installed, or a tower is of a kind that has no graph.
    """
    _refuse_missing()
    if encoder.model.history_net is not None:
        raise BadConfig("export: towers with a second item tower (history_items=content) have no graph; use shared")
    model, inputs = encoder.model.eval().cpu(), encoder.inputs
    two = np.arange(2) % max(1, len(inputs.items))
    item = {**graph_inputs(inputs.items.take(two), "item"), "identity": inputs.identities[two].astype(np.int64)}
    static = graph_inputs(inputs.users.take(np.zeros(2, np.int64)), "user")
    user = {**static, **graph_inputs(inputs.profiles.take(np.zeros(2, np.int64)), "profile")}
    dim = encoder.items.shape[1]
    if model.user_net.history is not None:
        user |= {"history": np.zeros((2, 3, dim), np.float32), "length": np.array([3, 1])}
    rank = {
        "user": np.zeros((2, dim), np.float32), "user_wide": np.zeros(2, np.float32),
        "items": np.zeros((2, 4, dim), np.float32), "items_wide": np.zeros((2, 4), np.float32),
    }  # fmt: skip
    graphs: dict[str, tuple[nn.Module, dict[str, Array], list[str]]] = {
        "item": (_ItemGraph(model, list(item)), item, ["vector", "wide"]),
        "user": (_UserGraph(model, list(user)), user, ["vector", "wide"]),
        "rank": (_RankGraph(model), rank, ["logit"]),
    }
    said = {name: _written(folder / f"{name}.onnx", *graph) for name, graph in graphs.items()}
    (folder / "inputs.json").write_text(json.dumps(said, indent=2) + "\n")
    return said


class _ItemGraph(nn.Module):
    """Item features and identities to unit vectors [n, D] and wide shares [n]."""

    def __init__(self, model: JointModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        given = dict(zip(self.names, inputs, strict=True))
        features = _features(given, "item")
        return self.model.item_net(features, given["identity"]), self.model.wide_shares(features)


class _UserGraph(nn.Module):
    """Own features, profile and vectors of the history to unit vectors [n, D] and wide shares [n]."""

    def __init__(self, model: JointModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        given = dict(zip(self.names, inputs, strict=True))
        static, profile = _features(given, "user"), _features(given, "profile")
        wide = self.model.wide_users(static, profile)
        if "history" not in given:
            empty = static.continuous.new_zeros(len(static), 0, self.model.user_net.dim)
            return self.model.user_net(UserInputs(static, profile, None, empty))[:, 0], wide
        history, length = given["history"], given["length"]
        rows = torch.arange(history.shape[0], device=history.device)
        every = rows[:, None].expand(-1, history.shape[1] + 1)
        vectors = self.model.user_net(UserInputs(static, profile, every, history))
        return vectors[rows, length], wide


class _RankGraph(nn.Module):
    """Vectors of users [B, D] and of candidates [B, C, D] with their wide shares to logits [B, C]."""

    def __init__(self, model: JointModel) -> None:
        super().__init__()
        self.rank_net = model.rank_net

    def forward(self, inputs: list[Tensor]) -> Tensor:
        user, user_wide, items, items_wide = inputs
        logits: Tensor = self.rank_net(user, items, user_wide[:, None] + items_wide)
        return logits


def _features(given: Mapping[str, Tensor], prefix: str) -> FeatureTensors:
    codes: dict[str, Any] = {}
    for name, tensor in given.items():
        field = name.removeprefix(f"{prefix}.")
        if not name.startswith(f"{prefix}.") or name == f"{prefix}.numbers" or f"{name}.codes" in given:
            continue
        if f"{name.removesuffix('.codes')}.weights" in given and name.endswith(".codes"):
            codes[field.removesuffix(".codes")] = PaddedBags(tensor, given[f"{name.removesuffix('.codes')}.weights"])
        elif not (name.endswith(".weights") and f"{name.removesuffix('.weights')}.codes" in given):
            codes[field] = tensor
    return FeatureTensors(codes, given[f"{prefix}.numbers"])


def _axes(name: str, array: Array) -> list[str | int]:
    """Names of the axes that may have any size."""
    if name in ("items", "items_wide"):
        return [_ROWS, _CANDIDATES, *array.shape[2:]]
    if name == "history":
        return [_ROWS, _STEPS, *array.shape[2:]]
    if name.endswith((".codes", ".weights")) and array.ndim == 2:
        return [_ROWS, f"{_LENGTH} of {name.rpartition('.')[0]}"]
    return [_ROWS, *array.shape[1:]]


def _written(path: Path, graph: nn.Module, inputs: Mapping[str, Array], outputs: list[str]) -> dict[str, Any]:
    """Exports one graph; says its inputs and outputs."""
    tensors = [torch.from_numpy(_grown(name, array)) for name, array in inputs.items()]
    shapes = [
        {at: torch.export.Dim.DYNAMIC for at, axis in enumerate(_axes(name, array)) if isinstance(axis, str)}
        for name, array in inputs.items()
    ]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of libraries that nobody asked for
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(), (tensors,), path, input_names=list(inputs), output_names=outputs, dynamic_shapes=(shapes,),
            opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    told = {name: {"type": str(a.dtype), "shape": _axes(name, a)} for name, a in inputs.items()}
    return {"inputs": told, "outputs": outputs}


def _grown(name: str, array: Array) -> Array:
    """A sample whose free axes are at least 2 long, since an exporter takes lengths of 0 and 1 for fixed."""
    widths = [
        (0, max(0, 2 - n) if isinstance(axis, str) else 0)
        for n, axis in zip(array.shape, _axes(name, array), strict=True)
    ]
    return np.ascontiguousarray(np.pad(array, widths))


def _refuse_missing() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise BadConfig(f"export: {error.name} is not installed; pip install 'twotower[onnx]'") from error
