"""One task of the benchmark: a model is tuned, or fitted with one seed and examined."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from twotower.benchmarks.results import BenchmarkRun, Stage
from twotower.config.models import ListedModel
from twotower.data.split import Split
from twotower.errors import TrainingDiverged
from twotower.evaluation.search_result import SearchResult
from twotower.storage.atomic import only_one, sha256_of_json
from twotower.tuning.tune import Fittable

ERROR = "error: "
"""How the last line of a process that failed begins; what follows goes into the table."""
TUNING, MARK, STUDY = "tuning", "settings.json", "study.jsonl"
PEER_LIBRARIES = ("implicit", "lightfm-next")
TOWER_GROUPS = ("model", "features", "objective", "train")


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """What one process has to do; all of it can be written as JSON.

    Attributes:
        kind: search for options, or run a model with the options found.
        data: name of the data set.
        model: name of a file of `conf/baseline` or `conf/peer`, or of towers (network-objective).
        seed: of the model.
        settings: composed configuration of training; for models that are no towers only data and protocol.
        listed: content of the model's file, None for towers.
        search: what is tried.
        trials: of the search; 0: options as they are.
        search_seed: of what is tried.
        tune_minutes: no trial is begun after them.
        metric: what is maximised.
        ks: cut-offs.
        block: queries asked at once.
        n_candidates: items that RankNet orders.
        prepared: where a prepared data set may lie.
        folder: of the data set's runs.
    """

    kind: Literal["tune", "run"]
    data: str
    model: str
    seed: int
    settings: Mapping[str, Any]
    listed: Mapping[str, Any] | None
    search: Mapping[str, Any]
    trials: int
    search_seed: int
    tune_minutes: float | None
    metric: str
    ks: Sequence[int]
    block: int
    n_candidates: int
    prepared: str
    folder: str

    @property
    def name(self) -> str:
        """What its log and, for a run, its directory are called."""
        return f"{self.model}-{'tuning' if self.kind == 'tune' else f'seed{self.seed}'}"

    @property
    def directory(self) -> Path:
        """Of the run."""
        return Path(self.folder) / f"{self.model}-seed{self.seed}"

    @property
    def tuning(self) -> Path:
        """Of the search that the seeds share; `eval.tuned` takes the folder above it."""
        return Path(self.folder) / TUNING / self.model

    @property
    def search_digest(self) -> str:
        """Of what trials depend on, beside their number and the data's content, which the study file knows."""
        parts = {name: getattr(self, name) for name in ("settings", "listed", "search", "search_seed", "metric")}
        return sha256_of_json(parts | ({} if self.listed else {"n_candidates": self.n_candidates}))

    @property
    def digest(self) -> str:
        """Of all settings that the figures depend on; how many queries are asked at once changes none."""
        parts = {"search": self.search_digest, "trials": self.trials, "seed": self.seed, "ks": list(self.ks)}
        return sha256_of_json(parts | {"tune_minutes": self.tune_minutes})

    def write(self, file: Path) -> Path:
        """Writes the task for the process that will do it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return file

    @property
    def groups(self) -> dict[str, Any]:
        """Of towers, the configurations that make them."""
        return {name: self.settings[name] for name in TOWER_GROUPS}


def run(task: BenchmarkTask) -> None:
    """Does one task: leaves `best.yaml` behind, or the directory of a cell."""
    from twotower.config.build import make_split
    from twotower.runs.prepared import load_prepared

    logs = Path(task.folder) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with only_one(logs / f".{task.name}.lock", f"running {task.name}"):
        split = make_split(task.settings, load_prepared(task.settings["data"], Path(task.prepared)))
        if task.kind == "tune":
            search(task, split)
        else:
            examine(task, split).save(task.directory)


def search(task: BenchmarkTask, split: "Split") -> "SearchResult":
    """Tunes the model on validation; trials of a search that was killed are kept, those of one that failed are not."""
    from twotower.tuning.best_file import BEST, write_tuned
    from twotower.tuning.tune import tune

    build, start, fixed = _searched(task)
    build()  # a library that is not installed is told at once, and not by every trial
    task.tuning.mkdir(parents=True, exist_ok=True)
    _mark(task, ended=False)
    try:
        found = tune(
            build, task.search, split,
            metric=task.metric, max_trials=task.trials, minutes=task.tune_minutes, seed=task.search_seed,
            block=task.block, say=print, start=start, study_file=task.tuning / STUDY,
            identity={"model": task.model, "options": fixed},
        )  # fmt: skip
    except TrainingDiverged:  # failed trials would count as tried when the command is typed again
        (task.tuning / STUDY).unlink()
        raise
    write_tuned(found, task.tuning / BEST, model=task.model, split=split, fixed=fixed)
    _mark(task, ended=True)
    return found


def _mark(task: BenchmarkTask, *, ended: bool) -> None:
    """Keeps beside the trials what they were made with, and how many were wanted when the search ended."""
    facts = {"digest": task.search_digest, "trials": task.trials if ended else None, "minutes": task.tune_minutes}
    (task.tuning / MARK).write_text(json.dumps(facts) + "\n")


def _searched(task: BenchmarkTask) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """What makes the model of options tried, its usual options, and what stays fixed."""
    from omegaconf import OmegaConf

    from twotower.config.build import TowersOf

    if task.listed is not None:
        listed = _listed(task)
        return listed.build(), listed.options, dict(listed.model)
    usual = {place: OmegaConf.select(OmegaConf.create(task.groups), place) for place in task.search}

    def build(**options: Any) -> "Fittable":
        return TowersOf(task.groups, task.n_candidates, **options)

    return build, usual, {**task.groups, "n_candidates": task.n_candidates}


def _listed(task: BenchmarkTask) -> ListedModel:
    assert task.listed is not None, "towers have no file of their own"
    return ListedModel(task.model, task.listed, task.search)


def examine(task: BenchmarkTask, split: "Split") -> "BenchmarkRun":
    """Fits with the options found, on train and validation together, and asks the test once."""
    from twotower.benchmarks.results import BenchmarkRun, subject_of
    from twotower.evaluation.machine import LIBRARIES, machine, peak_memory_bytes, versions

    tuned = _found(task, split)
    started = time.perf_counter()
    options, recommenders = _fitted_towers(task, split, tuned) if task.listed is None else _fitted(task, split, tuned)
    fit_seconds = time.perf_counter() - started
    stages = {name: _examined(recommender, count, task, split) for name, (recommender, count) in recommenders.items()}
    return BenchmarkRun(
        task.data, task.model, task.seed, task.digest,
        subject=subject_of(split),
        options=options,
        trials=tuple(trial.facts() for trial in tuned.trials) if tuned else (),
        tune_seconds=tuned.seconds if tuned else 0.0,
        fit_seconds=fit_seconds,
        peak_memory_bytes=peak_memory_bytes(),
        environment={"machine": machine(), "versions": versions((*LIBRARIES, *PEER_LIBRARIES))},
        stages=stages,
    )  # fmt: skip


def _found(task: BenchmarkTask, split: "Split") -> "SearchResult | None":
    """The outcome of the search; None where nothing is tuned."""
    from twotower.tuning.best_file import BEST, read_tuned

    if not task.trials:
        return None
    fixed = task.listed if task.listed is not None else {**task.groups, "n_candidates": task.n_candidates}
    return read_tuned(task.tuning / BEST, model=task.model, split=split, metric=task.metric, fixed=fixed)


def _fitted(
    task: BenchmarkTask, split: "Split", tuned: "SearchResult | None"
) -> tuple[dict[str, Any], dict[str, tuple[Any, int]]]:
    """Options, and the one recommender with the number of all that its arrays hold."""
    from twotower.tuning.tune import fit_final

    listed = _listed(task)
    build = listed.build(**({"seed": task.seed} if listed.is_random else {}))
    model: Any = fit_final(build, tuned.options if tuned else {}, split)
    return model.options(), {"": (model, sum(array.size for array in model.state().values()))}


def _fitted_towers(
    task: BenchmarkTask, split: "Split", tuned: "SearchResult | None"
) -> tuple[dict[str, Any], dict[str, tuple[Any, int]]]:
    """Options; the first stage alone, both stages, and RankNet over everything where nothing else trains the towers."""
    from twotower.config.build import with_options
    from twotower.config.compose import instantiate
    from twotower.models.two_tower.estimator import TwoTower
    from twotower.stages.recommender import GoldStandard, TwoStageRecommender

    settings = with_options(task.groups, tuned.options if tuned else {})
    model = TwoTower(
        towers=instantiate(settings["model"]),
        features=instantiate(settings["features"]),
        objective=instantiate(settings["objective"]),
        training=instantiate(settings["train"], seed=task.seed),
    ).fit(split)
    made = model.recommender()
    popular = split.test.history.item_counts().astype("float32")
    both = TwoStageRecommender(made.retriever, made.ranker, n_candidates=task.n_candidates, popularity=popular)
    towers = TwoStageRecommender(made.retriever, n_candidates=1, popularity=popular)
    learnt = {name: tensor.numel() for name, tensor in model.encoder.model.named_parameters()}
    first, every = sum(n for name, n in learnt.items() if not name.startswith("rank_net.")), sum(learnt.values())
    stages: dict[str, tuple[Any, int]] = {"towers": (towers, first), "towers + RankNet": (both, every)}
    if not model.objective.trains_towers:
        stages["RankNet on everything"] = (GoldStandard(both), every)
    return model.options(), stages


def _examined(recommender: Any, parameters: int, task: BenchmarkTask, split: "Split") -> "Stage":
    from twotower.benchmarks.results import Stage
    from twotower.evaluation.examine import examine

    return Stage(examine(recommender, split.test, ks=task.ks, block=task.block), parameters)
