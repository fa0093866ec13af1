"""`python -m twotower tune`: finds good options of a model; publishes nothing."""

import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.commands.console import run_command
from twotower.config.build import refuse_bad_options
from twotower.config.compose import compose, group_files, plain
from twotower.config.kinds import checked_settings
from twotower.config.models import ListedModel, model_names, refuse_unused
from twotower.errors import BadConfig
from twotower.evaluation.families import OURS, PEER
from twotower.metrics.metric import Metric
from twotower.storage.writable import refuse_unwritable
from twotower.text import aligned

if TYPE_CHECKING:
    from twotower.evaluation.search_result import SearchResult

USAGE = """usage: python -m twotower tune model=NAME [KEY=VALUE ...]

Fits a model with many options, each on the training part and scored on validation; the test stays closed. Prints the
trials, the best options and the command that uses them. A tuning that was killed goes on when the same command is typed
again; with more trials it goes on from those that are done.

  model=NAME          one of {models}
  data=NAME           one of {data}
  trials=20           settings tried; minutes=30 begins nothing new after them
  search={{l2: {{low: 1, high: 100, log: true}}, alpha: [1, 5]}}
                      what is tried instead of the model's own search space
  metric=map@10 seed=0 prune=true out=DIR (default: tuning/DATA/MODEL; of data=own, DATA is the name of its YAML)

All settings: conf/tune.yaml and those of training; what is tried: `search` in conf/model/NAME.yaml"""
STUDY = "study.jsonl"


def tune_model(settings: Mapping[str, Any], listed: ListedModel) -> "tuple[SearchResult, Path]":
    """Runs the whole command for plain settings; returns what was found and the folder it wrote into.

    Raises:
        BadConfig: a search or budget that makes no sense, or a library that is not installed.
    """
    from twotower.config.build import make_split
    from twotower.runs.prepared import load_prepared
    from twotower.tuning.best_file import BEST, write_tuned
    from twotower.tuning.tune import tune

    listed.make()  # a library that is not installed is told at once, not by every trial
    if settings["out"] is not None:
        refuse_unwritable(Path(settings["out"]))
    dataset = load_prepared(settings["data"], Path(settings["prepared"]))
    split = make_split(settings, dataset)
    folder = Path(settings["out"] or Path("tuning") / _folder_of(settings["data"]["name"], dataset.name) / listed.name)
    refuse_unwritable(folder)
    print(f"{listed.name} on {dataset.name}, {split.name}: {settings['metric']} on validation, into {folder}")
    best = tune(
        listed.build(),
        listed.search,
        split,
        metric=settings["metric"],
        max_trials=settings["trials"],
        minutes=settings["minutes"],
        seed=settings["seed"],
        block=settings["block"],
        say=partial(print, flush=True),
        start=listed.usual(),
        prune=settings["prune"],
        study_file=folder / STUDY,
        identity={"model": listed.name, "options": listed.fixed},
    )
    write_tuned(best, folder / BEST, model=listed.name, split=split, fixed=listed.fixed)
    _print(best, settings, listed, folder)
    return best, folder


def _folder_of(data: str, name: str) -> str:
    """A folder for each data set: several are read as data=own, so these are told apart by their own names."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".") or data if data == "own" else data


def _print(found: "SearchResult", settings: Mapping[str, Any], listed: ListedModel, folder: Path) -> None:
    from twotower.tuning.best_file import BEST

    ended = sum(trial.error is None for trial in found.trials)
    pruned = sum(trial.pruned for trial in found.trials)
    counts = f"{ended} ended, {pruned} pruned, {len(found.trials) - ended - pruned} failed"
    print(f"\n{trial_table(found)}\n\n{len(found.trials)} trials in {found.seconds:,.0f} s: {counts}")
    print(f"best: {found.metric} {found.score:.4f} with {in_words(found.options)}")
    for name in found.at_border:
        print(f"note: {name}={found.options[name]} is at the border of what was tried; let its space grow")
    print(f"written: {folder / BEST}, {folder / STUDY}\n\nnow: {use_of(found, settings, listed, folder)}")


def trial_table(found: "SearchResult") -> str:
    """All trials, best first; those without a score last, with the reason."""

    def rank(at: int) -> float:
        score = found.trials[at].score
        return -sign * score if math.isfinite(score) else math.inf

    sign, names = Metric.parse(found.metric).sign, list(found.trials[0].options)
    rows = [["trial", *names, found.metric, "seconds", ""]]
    for at in sorted(range(len(found.trials)), key=rank):
        trial = found.trials[at]
        score = f"{trial.score:.4f}" if trial.error is None else "–"
        values = [str(trial.options[name]) for name in names]
        rows.append([str(at + 1), *values, score, f"{trial.seconds:.1f}", trial.error or ""])
    return aligned(rows, left=(len(rows[0]) - 1,))


def in_words(options: Mapping[str, Any]) -> str:
    """Options as they are typed."""
    return " ".join(f"{name}={'null' if value is None else value}" for name, value in options.items()) or "no options"


def use_of(found: "SearchResult", settings: Mapping[str, Any], listed: ListedModel, folder: Path) -> str:
    """The command that uses the best options: in a report for a baseline, in a training for ours."""
    tuned = f"python -m twotower.evaluate eval.tuned={shlex.quote(str(folder.parent))}"
    if listed.family == PEER:
        return f"{tuned} {shlex.quote(f'eval.peers=[{listed.name}]')}"
    if listed.family != OURS:
        return f"{tuned} {shlex.join([f'eval.baselines=[{listed.name}]', f'eval.baseline={listed.name}'])}"
    words = [word for word in settings["typed"] if word.partition("=")[0] not in found.options]
    return f"python -m twotower.train {shlex.join([*words, *in_words(found.options).split()])}"


_OWN = {"trials", "minutes", "metric", "seed", "prune", "block", "out"}
"""Settings of this command alone; what else is typed is meant for training too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        data = ", ".join(file.stem for file in group_files("data"))
        print(USAGE.format(models=", ".join(model_names()), data=data))
        return 0
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    words, search = split_search(arguments)
    settings = checked_settings(plain(compose(words, "tune")), "tune")
    refuse_bad_options(settings)
    settings["typed"] = [w for w in words if w.partition("=")[0].lstrip("+") not in _OWN]
    listed = ListedModel.of(settings)
    refuse_unused(words, listed)
    tune_model(settings, listed.with_search(search) if search else listed)


def split_search(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """What Hydra composes, and the options of `search={…}`, which take the place of the model's own.

    Raises:
        BadConfig: `search` is no mapping.
    """
    from omegaconf import OmegaConf

    words = [word for word in arguments if not word.startswith("search=")]
    typed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([w for w in arguments if w.startswith("search=")]))
    search = typed.get("search") or {}
    if not isinstance(search, dict):
        raise BadConfig(f"search={search}: name options and what to try, e.g. search={{alpha: [1, 5]}}")
    return words, search


if __name__ == "__main__":
    sys.exit(main())
