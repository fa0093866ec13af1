"""`BenchmarkRun`: one model on one data set under one seed: facts in JSON, figures by user in an archive."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from twotower.data.split import Split
from twotower.errors import BadInput
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.ratio import Ratio
from twotower.metrics.metric import Metric
from twotower.storage.atomic import fresh, put_in_place, standing, sync_tree
from twotower.storage.ours import remove
from twotower.text import one_line

FACTS, PER_USER = "cell.json", "per_user.npz"
FORMAT = 1
"""Version of `cell.json`."""
_USERS, _BETWEEN, _WEIGHT = "users", "|", "|weight"


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What was examined: the whole of a model, or the first or both stages of one.

    Attributes:
        evaluation: its figures, user by user.
        parameters: learnt numbers.
    """

    evaluation: Evaluation
    parameters: int


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkRun:
    """One run of a benchmark.

    Attributes:
        data: name of the data set.
        model: name of the model.
        seed: of the model.
        digest: of all settings that its figures depend on.
        error: why there are no figures, else None.
        subject: data set and split: name, fingerprint, users, items, events, split, competitors, asked users, targets.
        options: what the model was fitted with.
        trials: of the search behind the options; the same for all seeds.
        tune_seconds: wall time of the trials.
        fit_seconds: wall time of the last fit.
        peak_memory_bytes: the most that the run's own process held; the search had a process of its own.
        environment: machine and versions.
        stages: name to figures; a model that has no stages has one of no name.
    """

    data: str
    model: str
    seed: int
    digest: str
    error: str | None = None
    subject: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[Mapping[str, Any], ...] = ()
    tune_seconds: float = 0.0
    fit_seconds: float = 0.0
    peak_memory_bytes: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    stages: Mapping[str, Stage] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Writes the directory whole or not at all; a former one is replaced.

        Raises:
            BundleError: the disk is too small.
        """
        directory.parent.mkdir(parents=True, exist_ok=True)
        beside = directory.with_name(f".{directory.name}.part")
        with fresh(beside):
            facts = {"format": FORMAT, **{name: getattr(self, name) for name in _PLAIN}}
            facts["stages"] = {name: _facts_of(stage) for name, stage in self.stages.items()}
            (beside / FACTS).write_text(json.dumps(facts, indent=2, allow_nan=False, default=str) + "\n")
            if self.stages:
                np.savez_compressed(beside / PER_USER, **_arrays(self.stages))
            sync_tree(beside)
        former = put_in_place(beside, directory)
        if former is not None:
            remove(former)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Opens what `save` wrote.

        Raises:
            BadInput: it cannot be read, or is of another format version.
        """
        directory = standing(directory)
        try:
            facts = read_facts(directory)
            stages = facts.pop("stages")
            per_user: dict[str, Any] = {}
            if stages:
                with np.load(directory / PER_USER, allow_pickle=False) as archive:
                    per_user = dict(archive)
            figures = {name: _stage(name, of_stage, per_user) for name, of_stage in stages.items()}
            return cls(**{**facts, "trials": tuple(facts["trials"])}, stages=figures)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = one_line(f"{type(error).__name__}: {error}")
            raise BadInput(f"{directory} cannot be read ({reason}); move it away, and the run is done again") from error


_PLAIN = (
    "data", "model", "seed", "digest", "error", "subject", "options", "trials", "tune_seconds", "fit_seconds",
    "peak_memory_bytes", "environment",
)  # fmt: skip


def read_facts(directory: Path) -> dict[str, Any]:
    """The JSON of a cell, without its per-user figures; a directory that is not there gives an empty one.

    Raises:
        BadInput: it is of another format version.
    """
    file = standing(directory) / FACTS
    if not file.exists():
        return {}
    facts: dict[str, Any] = json.loads(file.read_text())
    if facts.pop("format", None) != FORMAT:
        raise BadInput(f"{file} is not of format {FORMAT}; remove {directory}, and the run is done again")
    return facts


def subject_of(split: Split) -> dict[str, Any]:
    """What a cell's figures are about."""
    data, test = split.dataset, split.test
    return {
        "name": data.name,
        "fingerprint": data.fingerprint(),
        "users": data.n_users,
        "items": data.n_items,
        "events": len(data.interactions),
        "split": split.name,
        "competitors": test.competitors,
        "asked": len(test.users()),
        "targets": len(test.target),
    }


def _facts_of(stage: Stage) -> dict[str, Any]:
    evaluation = stage.evaluation
    return {
        "metrics": list(evaluation.per_user),
        "means": evaluation.means,
        "catalogue": {name: value if math.isfinite(value) else None for name, value in evaluation.catalogue.items()},
        "ks": list(evaluation.ks),
        "seconds": evaluation.seconds,
        "users_per_second": evaluation.users_per_second,
        "competitors": evaluation.competitors,
        "parameters": stage.parameters,
    }


def _arrays(stages: Mapping[str, Stage]) -> dict[str, Any]:
    """Users once, then amounts of every metric of every stage under "stage|metric", weights beside them."""
    arrays: dict[str, Any] = {_USERS: next(iter(stages.values())).evaluation.users}
    for name, stage in stages.items():
        for metric, ratio in stage.evaluation.per_user.items():
            arrays[f"{name}{_BETWEEN}{metric}"] = ratio.amount
            if ratio.weight is not None:
                arrays[f"{name}{_BETWEEN}{metric}{_WEIGHT}"] = ratio.weight
    return arrays


def _stage(name: str, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Stage:
    keys = {metric: f"{name}{_BETWEEN}{metric}" for metric in facts["metrics"]}
    per_user = {
        metric: Ratio(Metric.parse(metric), arrays[key], arrays.get(f"{key}{_WEIGHT}")) for metric, key in keys.items()
    }
    catalogue = {metric: math.nan if value is None else value for metric, value in facts["catalogue"].items()}
    evaluation = Evaluation(
        arrays[_USERS], per_user, catalogue, tuple(facts["ks"]), facts["seconds"], facts["competitors"]
    )
    return Stage(evaluation, facts["parameters"])
