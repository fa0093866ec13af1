"""`python -m twotower.train`: reads a data set, trains towers and RankNet, publishes a run."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from twotower.commands.console import run_command
from twotower.config.compose import conf_dir, group_files, instantiate, plain
from twotower.errors import BundleError, TwoTowerError
from twotower.runs.bundle import Bundle, publish, workspace

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from twotower.data.dataset import Dataset
    from twotower.data.split import Split
    from twotower.models.two_tower.estimator import TwoTower
    from twotower.nn.distributed import Workers

USAGE = """usage: python -m twotower.train [KEY=VALUE ...]

Reads a data set, trains towers and RankNet, publishes runs/<run>. A training that was killed goes on when the same
command is typed again.

  data=NAME          one of {data}
  objective=NAME     one of {objective}
  model=NAME         one of {model}
  protocol=NAME      how the events are cut, if not by the data set's own split: one of
                     {protocol}
  run=NAME           name of the run; default: the data set's
  train.epochs=30 train.lr=0.001 model.dim=64 train.device=auto|cpu|cuda train.seed=0 …
  torchrun --nproc-per-node=2 -m twotower.train …
                     the same with several processes, each on its share of every batch
  --multirun         several values: objective=single,joint train.seed=0,1 (give run=… with them)

All settings: conf/train.yaml and the folders beside it; `--cfg job` prints the chosen ones."""


_GROUPS = ("data", "objective", "model", "protocol")


def train(config: "DictConfig", workers: "Workers | None" = None) -> Bundle | None:
    """Runs the whole command for a composed configuration.

    Args:
        config: composed from `conf/train.yaml`.
        workers: processes that run this together; without them this one trains alone.

    Returns:
        The published run, or None in a process that does not lead.
    """
    from twotower.config.build import make_split
    from twotower.models.two_tower.estimator import TwoTower
    from twotower.nn.distributed import ALONE
    from twotower.runs.prepared import load_inputs, load_prepared

    workers = workers or ALONE
    settings: dict[str, Any] = plain(config)
    data = settings["data"]
    started = perf_counter()
    with workers.leader_first():  # it may download
        dataset = load_prepared(data, Path(settings["prepared"]))
    split = make_split(settings, dataset)
    prepared = load_inputs(split, settings, Path(settings["prepared"]))
    model = TwoTower(
        towers=instantiate(settings["model"]),
        features=instantiate(settings["features"]),
        objective=instantiate(settings["objective"]),
        training=instantiate(settings["train"]),
    )
    with workers.leader_first():
        work = workspace(settings["runs_dir"], settings["run"])
        if workers.leads:
            print(_facts(dataset, split) + _how(workers.size, prepared is not None))
            _resumable(work, settings)
    trained = perf_counter()
    model.fit(split, workspace=work, progress=settings["progress"], workers=workers, prepared=prepared)
    seconds = perf_counter() - trained
    if not workers.leads:
        return None
    print(_outcome(model, seconds))
    bundle = publish(
        settings["runs_dir"],
        settings["run"],
        lambda folder: _write(folder, settings, split, model),
        {
            "dataset": dataset.fingerprint(),
            "split": split.name,
            "train_seconds": round(seconds, 1),
            "peak_memory_mib": _peak_mib(),
        },
    )
    print(f"published {bundle.directory} after {perf_counter() - started:.0f} s")
    print(f"now: make build-index RUN={bundle.name}, or python -m twotower.recommend --user ID --run {bundle.name}")
    return bundle


def _resumable(work: Path, settings: dict[str, Any]) -> None:
    """Marks the run's workspace; one left by a training with other settings is refused, unless `resume=false`.

    Raises:
        BundleError: a killed training of this run had other settings.
    """
    from omegaconf import OmegaConf

    identity = OmegaConf.to_yaml({k: v for k, v in settings.items() if k not in ("resume", "progress", "prepared")})
    mark = work / "config.yaml"
    if mark.exists() and not settings["resume"]:
        shutil.rmtree(work)
        work.mkdir()
    if mark.exists() and mark.read_text() != identity:
        raise BundleError(
            f"a training of run {settings['run']!r} with other settings was killed ({work}); "
            "type its command again to finish it, give run=<another name>, or discard it with resume=false"
        )
    if (work / "checkpoints").exists():
        print(f"going on from the checkpoint in {work}")
    mark.write_text(identity)


def _write(folder: Path, settings: dict[str, Any], split: "Split", model: "TwoTower") -> None:
    """Everything that a run directory holds besides its index and reports."""
    from omegaconf import OmegaConf

    from twotower.runs.serving_files import write_serving_files

    (folder / "config.yaml").write_text(OmegaConf.to_yaml(settings))
    model.save(folder)
    write_serving_files(folder, split.dataset, split.test.history)
    curve = [asdict(progress) for progress in model.progress]
    (folder / "training.json").write_text(json.dumps(curve, indent=2) + "\n")


def _facts(dataset: "Dataset", split: "Split") -> str:
    return (
        f"{dataset.name}: {dataset.n_users:,} users, {dataset.n_items:,} items, {len(dataset.interactions):,} events; "
        f"{split.name}: {len(split.train):,} train, {len(split.validation.target):,} validation, "
        f"{len(split.test.target):,} test"
    )


def _how(processes: int, prepared: bool) -> str:
    ours = [f"{processes} processes"] if processes > 1 else []
    return "".join(f"; {fact}" for fact in [*ours, *(["prepared inputs"] if prepared else [])])


def _outcome(model: "TwoTower", seconds: float) -> str:
    first = model.progress[0]
    rate = first.examples / max(first.seconds, 1e-9)
    return (
        f"trained {first.epoch} epochs in {seconds:.0f} s ({rate:,.0f} events/s); "
        f"best validation MAP@10 {first.best:.4f} at epoch {first.best_epoch + 1}"
    )


def _peak_mib() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        names = {group: ", ".join(f.stem for f in group_files(group)) for group in _GROUPS}
        print(USAGE.format(**names))
        return 0
    return run_command(lambda: _together(arguments))


def _together(arguments: list[str]) -> None:
    """With the processes that `torchrun` started, if it did."""
    from twotower.nn.distributed import process_group

    with process_group() as workers:
        _with_hydra(arguments, workers)


def _with_hydra(arguments: list[str], workers: "Workers") -> None:
    """Hydra composes the configuration, so that its own options such as --multirun and --cfg work."""
    import hydra

    failures: list[TwoTowerError] = []

    def job(config: "DictConfig") -> None:
        if failures and workers.size > 1:
            return  # the others may stand elsewhere in the run that failed; they end when this process does
        try:
            train(config, workers)
        except TwoTowerError as error:  # Hydra would print a traceback
            failures.append(error)

    typed, sys.argv = sys.argv, ["twotower.train", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(job)()
    finally:
        sys.argv = typed
    if failures:
        raise failures[0]


if __name__ == "__main__":
    sys.exit(main())
