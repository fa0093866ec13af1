"""`python -m twotower tune`: finds good options of a baseline, a peer or the towers; publishes nothing."""

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twotower.commands.console import run_command
from twotower.config.build import TowersOf, with_options
from twotower.config.compose import compose, conf_dir, group_files, plain
from twotower.config.models import PEERS, ListedModel, listed_model, model_names
from twotower.text import aligned

if TYPE_CHECKING:
    from twotower.evaluation.search_result import SearchResult
    from twotower.tuning.tune import Build

USAGE = """usage: python -m twotower tune model=NAME [KEY=VALUE ...]

Fits a model with many options, each on the training part and scored on validation; the test stays closed. Prints the
trials, the best options and the command that uses them. A tuning that was killed goes on when the same command is typed
again; with more trials it goes on from those that are done.

  model=NAME          two_tower, or one of {models}
  data=NAME           one of {data}
  trials=20           settings tried; minutes=30 begins nothing new after them
  search={{l2: {{low: 1, high: 100, log: true}}, alpha: [1, 5]}}
                      what is tried instead of the model's own search space
  metric=map@10 seed=0 prune=true out=DIR

All settings: conf/tune.yaml; what is tried: `search` in conf/baseline/NAME.yaml, conf/peer/NAME.yaml,
conf/search/two_tower.yaml"""
TOWERS = "two_tower"
STUDY = "study.jsonl"


def tune_model(settings: Mapping[str, Any]) -> "tuple[SearchResult, Path]":
    """Runs the whole command for plain settings; returns what was found and the folder it wrote into.

    Raises:
        BadConfig: an unknown model, or a search or budget that makes no sense.
    """
    from twotower.config.build import make_split
    from twotower.runs.prepared import load_prepared
    from twotower.tuning.best_file import BEST, write_tuned
    from twotower.tuning.tune import tune

    name = settings["tuned"]
    build, search, start, fixed = _searched(settings)
    folder = Path(settings["out"] or Path("tuning") / settings["data"]["name"] / name)
    dataset = load_prepared(settings["data"], Path(settings["prepared"]))
    split = make_split(settings, dataset)
    print(f"{name} on {dataset.name}, {split.name}: {settings['metric']} on validation, into {folder}")
    found = tune(
        build,
        search,
        split,
        metric=settings["metric"],
        max_trials=settings["trials"],
        minutes=settings["minutes"],
        seed=settings["seed"],
        block=settings["block"],
        say=partial(print, flush=True),
        start=start,
        prune=settings["prune"],
        study_file=folder / STUDY,
        identity={"model": name, "options": fixed},
    )
    write_tuned(found, folder / BEST, model=name, split=split, fixed=fixed)
    _print(found, settings, folder)
    return found, folder


def _searched(settings: Mapping[str, Any]) -> "tuple[Build, dict[str, Any], dict[str, Any], dict[str, Any]]":
    """What makes the model, its search space, its usual options, and what stays fixed.

    Raises:
        BadConfig: no such model.
    """
    from omegaconf import OmegaConf

    name, own = settings["tuned"], settings["search"]
    if name == TOWERS:
        groups = {group: settings[group] for group in ("model", "features", "objective", "train")}
        search = own or _content(conf_dir() / "search" / f"{TOWERS}.yaml")
        with_options(groups, dict.fromkeys(search))
        usual = {place: OmegaConf.select(OmegaConf.create(groups), place) for place in search}
        n = int(settings["n_candidates"])
        return partial(TowersOf, groups, n), search, usual, {**groups, "n_candidates": n}
    listed = _listed(name)
    build = listed.build()
    build()  # a library that is not installed is told at once, not by every trial
    return build, own or dict(listed.search), listed.options, dict(listed.model)


def _listed(name: str) -> ListedModel:
    return listed_model(name, also=(TOWERS,))


def _content(file: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(OmegaConf.load(file))
    return dict(found)


def _print(found: "SearchResult", settings: Mapping[str, Any], folder: Path) -> None:
    from twotower.tuning.best_file import BEST

    ended = sum(trial.error is None for trial in found.trials)
    pruned = sum(trial.pruned for trial in found.trials)
    counts = f"{ended} ended, {pruned} pruned, {len(found.trials) - ended - pruned} failed"
    print(f"\n{trial_table(found)}\n\n{len(found.trials)} trials in {found.seconds:,.0f} s: {counts}")
    print(f"best: {found.metric} {found.score:.4f} with {in_words(found.options)}")
    for name in found.at_border:
        print(f"note: {name}={found.options[name]} is at the border of what was tried; let its space grow")
    print(f"written: {folder / BEST}, {folder / STUDY}\n\nnow: {use_of(found, settings, folder)}")


def trial_table(found: "SearchResult") -> str:
    """All trials, best first; those without a score last, with the reason."""

    def rank(at: int) -> float:
        score = found.trials[at].score
        return -score if math.isfinite(score) else math.inf

    names = list(found.trials[0].options)
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


def use_of(found: "SearchResult", settings: Mapping[str, Any], folder: Path) -> str:
    """The command that uses the best options."""
    if settings["tuned"] in model_names(PEERS):
        chosen = shlex.quote(f"eval.peers=[{settings['tuned']}]")
        return f"python -m twotower.evaluate eval.tuned={shlex.quote(str(folder.parent))} {chosen}"
    if settings["tuned"] != TOWERS:
        chosen = shlex.join([f"eval.baselines=[{settings['tuned']}]", f"eval.baseline={settings['tuned']}"])
        return f"python -m twotower.evaluate eval.tuned={shlex.quote(str(folder.parent))} {chosen}"
    typed = [word for word in settings["typed"] if word.partition("=")[0] not in found.options]
    return f"python -m twotower.train {shlex.join([*typed, *in_words(found.options).split()])}"


_OWN = {"tuned", "trials", "minutes", "metric", "seed", "prune", "block", "n_candidates", "out", "search"}
"""Settings of this command alone; what else is typed is meant for training too."""


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """What was typed as Hydra takes it: `model=als` chooses what is tuned, `model=reference` the towers' networks."""
    networks = {file.stem for file in group_files("model")}
    found = []
    for word in arguments:
        key, _, value = word.partition("=")
        found.append(f"tuned={value}" if key == "model" and value not in networks else word)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        data = ", ".join(file.stem for file in group_files("data"))
        print(USAGE.format(models=", ".join(model_names()), data=data))
        return 0
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    overrides = overrides_of(arguments)
    settings = plain(compose(overrides, "tune"))
    settings["typed"] = [w for w in overrides if w.partition("=")[0].lstrip("+") not in _OWN]
    if settings["tuned"] != TOWERS:
        _listed(settings["tuned"])
    tune_model(settings)


if __name__ == "__main__":
    sys.exit(main())
