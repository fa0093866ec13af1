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

ERROR = "error: "
"""How the last line of a process that failed begins; what follows goes into the table."""
TUNING, MARK, STUDY = "tuning", "settings.json", "study.jsonl"
PEER_LIBRARIES = ("implicit", "lightfm-next")


@dataclass(frozen=True, slots=True)
class BenchmarkTask:
    """What one process has to do; all of it can be written as JSON.

    Attributes:
        kind: search for options, or run a model with the options found.
        data: name of the data set.
        model: name of a file of `conf/model`, or of towers (network-objective).
        seed: of the model.
        settings: data and protocol of a composed configuration of training.
        listed: all of the `ListedModel`, what is tried included.
        trials: of the search; 0: options as they are.
        search_seed: of what is tried.
        tune_minutes: no trial is begun after them.
        metric: what is maximised.
        ks: cut-offs.
        block: queries asked at once.
        prepared: where a prepared data set may lie.
        folder: of the data set's runs.
    """

    kind: Literal["tune", "run"]
    data: str
    model: str
    seed: int
    settings: Mapping[str, Any]
    listed: Mapping[str, Any]
    trials: int
    search_seed: int
    tune_minutes: float | None
    metric: str
    ks: Sequence[int]
    block: int
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
        return sha256_of_json({name: getattr(self, name) for name in ("settings", "listed", "search_seed", "metric")})

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

    def what(self) -> ListedModel:
        """The model."""
        return ListedModel(**self.listed)


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

    listed = task.what()
    listed.make()  # a library that is not installed is told at once, and not by every trial
    task.tuning.mkdir(parents=True, exist_ok=True)
    _mark(task, ended=False)
    try:
        best = tune(
            listed.build(), listed.search, split,
            metric=task.metric, max_trials=task.trials, minutes=task.tune_minutes, seed=task.search_seed,
            block=task.block, say=print, start=listed.usual(), study_file=task.tuning / STUDY,
            identity={"model": task.model, "options": listed.fixed},
        )  # fmt: skip
    except TrainingDiverged:  # failed trials would count as tried when the command is typed again
        (task.tuning / STUDY).unlink()
        raise
    write_tuned(best, task.tuning / BEST, model=task.model, split=split, fixed=listed.fixed)
    _mark(task, ended=True)
    return best


def _mark(task: BenchmarkTask, *, ended: bool) -> None:
    """Keeps beside the trials what they were made with, and how many were wanted when the search ended."""
    facts = {"digest": task.search_digest, "trials": task.trials if ended else None, "minutes": task.tune_minutes}
    (task.tuning / MARK).write_text(json.dumps(facts) + "\n")


def examine(task: BenchmarkTask, split: "Split") -> "BenchmarkRun":
    """Fits with the options found, on train and validation together, and asks the test once."""
    from twotower.benchmarks.results import BenchmarkRun, subject_of
    from twotower.evaluation.machine import LIBRARIES, machine, peak_memory_bytes, versions

    tuned = _found(task, split)
    started = time.perf_counter()
    model = _fitted(task, split, tuned)
    fit_seconds = time.perf_counter() - started
    stages = {
        name: _examined(recommender, count, task, split) for name, (recommender, count) in _stages(model, split).items()
    }
    return BenchmarkRun(
        task.data, task.model, task.seed, task.digest,
        subject=subject_of(split),
        options=model.options(),
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
    fixed = task.what().fixed
    return read_tuned(task.tuning / BEST, model=task.model, split=split, metric=task.metric, fixed=fixed)


def _fitted(task: BenchmarkTask, split: Split, tuned: SearchResult | None) -> Any:
    """The model with the options found, under the seed of the task."""
    from twotower.tuning.tune import fit_final

    listed = task.what()
    seed = {listed.seed_option: task.seed} if listed.seed_option else {}
    return fit_final(listed.build(**seed), tuned.options if tuned else {}, split)


def _stages(model: Any, split: Split) -> dict[str, tuple[Any, int]]:
    """What is examined of a model, with the number of all that it learnt: the whole, or of towers each stage.

    Towers have the first stage alone, both stages, and RankNet over everything where nothing else trains them.
    """
    from twotower.models.two_tower.estimator import TwoTower
    from twotower.stages.recommender import GoldStandard, TwoStageRecommender

    if not isinstance(model, TwoTower):
        return {"": (model, sum(array.size for array in model.state().values()))}
    recommender = model.recommender()
    popular = split.test.history.item_counts().astype("float32")
    both = TwoStageRecommender(
        recommender.retriever, recommender.ranker, n_candidates=model.n_candidates, popularity=popular
    )
    towers = TwoStageRecommender(recommender.retriever, n_candidates=1, popularity=popular)
    learnt = {name: tensor.numel() for name, tensor in model.encoder.model.named_parameters()}
    first, every = sum(n for name, n in learnt.items() if not name.startswith("rank_net.")), sum(learnt.values())
    stages: dict[str, tuple[Any, int]] = {"towers": (towers, first), "towers + RankNet": (both, every)}
    if not model.objective.trains_towers:
        stages["RankNet on everything"] = (GoldStandard(both), every)
    return stages


def _examined(recommender: Any, parameters: int, task: BenchmarkTask, split: "Split") -> "Stage":
    from twotower.benchmarks.results import Stage
    from twotower.evaluation.examine import examine

    return Stage(examine(recommender, split.test, ks=task.ks, block=task.block), parameters)
