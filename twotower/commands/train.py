"""`python -m twotower.train`: reads a data set, trains a model, publishes a run."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from twotower.commands.console import run_command
from twotower.commands.train_usage import help_text
from twotower.config.build import refuse_bad_options, with_absolute_paths
from twotower.config.compose import SEARCH_PATH, compose, plain
from twotower.config.kinds import checked_settings
from twotower.config.models import (
    ListedModel,
    chosen,
    refuse_unused,
)
from twotower.config.several import combinations
from twotower.errors import BadConfig, BundleError, TwoTowerError
from twotower.runs.bundle import Bundle
from twotower.runs.publishing import fate_of_former, publish, save_model, training, workspace
from twotower.storage.ours import begin, remove
from twotower.text import one_line
from twotower.training.loggers import check_loggers

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from twotower.data.dataset import Dataset
    from twotower.data.split import Split
    from twotower.models.base import Model
    from twotower.nn.distributed import Workers

_TOLD = ("map@10", "ndcg@10", "recall@10", "hit_rate@10", "rmse", "mae")


def train(config: "DictConfig", workers: "Workers | None" = None) -> Bundle | None:
    """Runs the whole command for a composed configuration.

    Args:
        config: composed from `conf/train.yaml`.
        workers: processes that run this together; without them this one trains alone.

    Returns:
        The published run, or None in a process that does not lead.
    """
    asked = checked_settings(plain(config), "train")
    refuse_bad_options(asked)
    settings, model, listed = chosen(with_absolute_paths(asked))
    check_loggers(settings["loggers"])
    with nullcontext() if workers and not workers.leads else training(settings["runs_dir"], settings["run"]):
        return _trained(settings, model, listed, workers)


def _trained(
    settings: dict[str, Any], model: "Model", listed: Sequence[ListedModel], workers: "Workers | None"
) -> Bundle | None:
    """Reads, trains and publishes, while no other process trains a run of this name."""
    from twotower.config.build import make_split
    from twotower.evaluation.machine import peak_memory_bytes
    from twotower.runs.prepared import load_prepared
    from twotower.training.context import FitContext

    started = perf_counter()
    context = FitContext(
        progress=settings["progress"], workers=workers, device=settings["device"], threads=settings["threads"],
        loggers=check_loggers(settings["loggers"]),
    )  # fmt: skip
    with context.together.leader_first():  # it may download
        dataset = load_prepared(settings["data"], Path(settings["prepared"]))
    split = make_split(settings, dataset)
    inputs = _inputs(split, settings, listed) if len(listed) == 1 else {}
    with context.together.leader_first():
        work = workspace(settings["runs_dir"], settings["run"])
        if context.leads:
            print(_facts(dataset, split) + _how(context.together.size, bool(inputs)), flush=True)
            if fate := fate_of_former(settings["runs_dir"], settings["run"]):
                print(fate, flush=True)
            _resumable(work, settings, dataset)
    trained = perf_counter()
    context = replace(context, workspace=work)
    model = cast(Any, model).fit(split, context, **inputs) if inputs else model.fit_for_test(split, context)
    seconds = perf_counter() - trained
    facts: dict[str, Any] = {"dataset": dataset.fingerprint(), "split": split.name}
    if context.leads:
        print(_outcome(model, seconds), flush=True)
    if settings["production"]:
        facts["production"] = _figures(model, split) if context.leads else {}
        split = split.whole()
        model = model.again(split, context.inside("production"))
        seconds = perf_counter() - trained
    if not context.leads:
        return None
    bundle = publish(
        settings["runs_dir"],
        settings["run"],
        lambda folder: _write(folder, settings, split, model),
        {**facts, "train_seconds": round(seconds, 1), "peak_memory_mib": peak_memory_bytes() >> 20},
    )
    print(f"published {bundle.directory} after {perf_counter() - started:.0f} s")
    print(_next_step(model, bundle.name))
    return bundle


def _figures(model: "Model", split: "Split") -> dict[str, float]:
    """What the model reaches on the test, before it learns from all events and nothing is left to measure."""
    from twotower.evaluation.examine import examine

    found = examine(model, split.test, ks=(10,))
    means = {name: found.mean(name) for name in found.per_user}
    told = {name: round(mean, 6) for name, mean in means.items() if name in _TOLD} or means
    print(f"on the test: {', '.join(f'{name} {mean:.4f}' for name, mean in told.items())}; now all events are learnt")
    return told


def _inputs(split: "Split", settings: dict[str, Any], listed: Sequence[ListedModel]) -> dict[str, Any]:
    """What `prepare` left for a model that reads encoded inputs, if it left some for these settings."""
    from twotower.runs.prepared import load_inputs

    if not {"features", "towers"} <= set(listed[0].parts):
        return {}
    inputs = load_inputs(split, settings, Path(settings["prepared"]))
    return {} if inputs is None else {"prepared": inputs}


def _resumable(work: Path, settings: dict[str, Any], dataset: "Dataset") -> None:
    """Marks the run's workspace; one left by a training with other settings or data is refused, unless `resume=false`.

    Raises:
        BundleError: a killed training of this run had other settings, or learnt from other data.
    """
    from omegaconf import OmegaConf

    data = f"# data {dataset.fingerprint()}\n"
    identity = data + OmegaConf.to_yaml(
        {k: v for k, v in settings.items() if k not in ("resume", "progress", "prepared", "loggers")}
    )
    mark = work / "config.yaml"
    if mark.exists() and not settings["resume"]:
        remove(work)
        begin(work)
    if mark.exists() and mark.read_text() != identity:
        other = "settings" if mark.read_text().startswith(data) else "data or settings"
        raise BundleError(
            f"a training of run {settings['run']!r} with other {other} was killed ({work}); "
            "type its command again to finish it, give run=<another name>, or discard it with resume=false"
        )
    if (work / "checkpoints").exists():
        print(f"going on from the checkpoint in {work}")
    mark.write_text(identity)


def _write(folder: Path, settings: dict[str, Any], split: "Split", model: "Model") -> None:
    """Everything that a run directory holds besides its index and reports."""
    from omegaconf import OmegaConf

    from twotower.runs.serving_files import write_serving_files

    (folder / "config.yaml").write_text(OmegaConf.to_yaml(settings))
    save_model(model, folder)
    data, then = split.dataset, split.test.history
    described = data.users.described() if model.reads_users else None
    now = settings["as_of"] == "newest"
    history, seen = (data.interactions, data.touched) if now else (then, None)
    write_serving_files(folder, data, history, seen, then=then, described=described)
    curve = [asdict(progress) for progress in getattr(model, "progress", ())]
    (folder / "training.json").write_text(json.dumps(curve, indent=2) + "\n")


def _facts(dataset: "Dataset", split: "Split") -> str:
    read = "" if dataset.log is None else f" of {len(dataset.log):,} read"
    events = f"{len(dataset.interactions):,} events{read}"
    parts = {
        "train": len(split.train),
        "validation": len(split.validation.target),
        "test": len(split.test.target),
    }
    parts["in none of these (touched before, or outside its times)"] = len(dataset.interactions) - sum(parts.values())
    said = ", ".join(f"{n:,} {part}" for part, n in parts.items() if n > 0 or part in ("train", "validation", "test"))
    return f"{dataset.name}: {dataset.n_users:,} users, {dataset.n_items:,} items, {events}; {split.name}: {said}"


def _how(processes: int, prepared: bool) -> str:
    ours = [f"{processes} processes"] if processes > 1 else []
    return "".join(f"; {fact}" for fact in [*ours, *(["prepared inputs"] if prepared else [])])


def _outcome(model: "Model", seconds: float) -> str:
    fits = getattr(model, "progress", ())
    if not fits:
        return f"fitted {model!r} in {seconds:.1f} s"
    first = fits[0]
    rate = first.examples / max(first.seconds, 1e-9)
    trained = f"trained {first.epoch} epochs in {seconds:.0f} s ({rate:,.0f} events/s)"
    if first.best is None:
        return trained
    return f"{trained}; best validation {str(first.metric).upper()} {first.best:.4f} at epoch {first.best_epoch + 1}"


def _next_step(model: "Model", run: str) -> str:
    index = f"make build-index RUN={run}, or " if model.has_vectors else ""
    return f"now: {index}python -m twotower.recommend --user ID --run {run}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        return run_command(lambda: print(help_text([word for word in arguments if "=" in word])))
    return run_command(lambda: _together(arguments))


def _together(arguments: list[str]) -> None:
    """With the processes that `torchrun` started, if it did."""
    flags, words = _flags(arguments)
    every = combinations(words) if flags.multirun else [words]
    if flags.cfg:
        print("\n".join(_shown(words) for words in every))
        return
    for words in every:
        refuse_bad_options(checked_settings(plain(compose(words)), "train"))
    from twotower.nn.distributed import process_group  # loads torch, which a mistyped word need not wait for

    with process_group() as workers:
        failures: list[TwoTowerError] = []
        for words in every:
            try:
                config = compose(words)
                refuse_unused(words, *chosen(plain(config))[2])
                train(config, workers)
            except TwoTowerError as error:  # of several runs the others are still trained
                failures.append(error)
                if workers.size > 1:
                    break  # the others may stand elsewhere in the run that failed; they end when this process does
        if failures:
            raise failures[0]


def _flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Flags of the command, and its KEY=VALUE words.

    Raises:
        BadConfig: a flag that is not known, or its value is missing.
    """
    parser = argparse.ArgumentParser(prog="twotower train", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=("job",))
    parser.add_argument("--config-dir", "-cd")
    try:
        flags, words = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise BadConfig(f"{one_line(error)}; see --help") from error
    for word in words:
        if word.startswith("-") or "=" not in word:
            raise BadConfig(f"{word!r}: this command takes KEY=VALUE, e.g. train.epochs=3; see --help")
    if flags.config_dir is not None:
        words = [f"{SEARCH_PATH}=['file://{Path(flags.config_dir).absolute()}']", *words]
    return flags, words


def _shown(words: Sequence[str]) -> str:
    """The settings that words choose, as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(compose(words)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
