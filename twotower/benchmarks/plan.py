"""What the benchmark runs: models and data sets by name become one task for every model and seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from twotower.benchmarks.task import BenchmarkTask
from twotower.config.compose import compose, plain
from twotower.config.models import ListedModel, baseline_names, peer_names, rating_names
from twotower.errors import BadConfig
from twotower.metrics.metric import Metric

TOWERS = {"default": ("joint",), "reference": ("single", "multi_cos", "multi_cos_affine")}
"""Networks of `conf/towers` and the objectives that were made for them."""


def tower_names() -> tuple[str, ...]:
    """Networks and objectives, such as `reference-single`."""
    return tuple(f"{network}-{objective}" for network, objectives in TOWERS.items() for objective in objectives)


def tasks_of(settings: Mapping[str, Any], data: str, words: Sequence[str]) -> Iterator[BenchmarkTask]:
    """A run for every model and seed, those of a model one after the other.

    Args:
        settings: `conf/benchmark.yaml` as composed.
        data: name of a data set.
        words: options of training that hold for it.

    Raises:
        BadConfig: an unknown name, no seed, or a budget that makes no sense.
    """
    if not settings["seeds"] or settings["trials"] < 1 or settings["towers_trials"] < 0:
        raise BadConfig(
            f"benchmark: need a seed, trials >= 1 and towers_trials >= 0, got seeds={settings['seeds']}, "
            f"trials={settings['trials']}, towers_trials={settings['towers_trials']}"
        )
    if settings["on_change"] not in ("refuse", "redo"):
        raise BadConfig(f"on_change={settings['on_change']!r} must be refuse or redo")
    common = {name: settings[name] for name in ("tune_minutes", "metric", "block")}
    k = Metric.parse(settings["metric"]).k
    common["ks"] = sorted({*settings["ks"], *([] if k is None else [k])})
    common |= {"data": data, "search_seed": settings["seed"], "folder": str(Path(settings["out"]) / data)}
    if not settings["models"]:
        raise BadConfig(f"models={settings['models']}: name models of conf/model, or all, baselines, peers, towers")
    for model in _chosen(settings["models"]):
        first = _task(model, [f"data={data}", *words], settings, common)
        seeds = settings["seeds"] if first.what().is_random else settings["seeds"][:1]
        for seed in seeds:
            yield replace(first, seed=seed)


def _task(model: str, words: Sequence[str], settings: Mapping[str, Any], common: Mapping[str, Any]) -> BenchmarkTask:
    """Of a model of the list, or of towers, whose search has only what this network and objective have."""
    trials = settings["trials"]
    if model in tower_names():
        network, _, objective = model.partition("-")
        words = ["model=two_tower", f"towers={network}", f"objective={objective}", *words]
        words = [*words, f"model.n_candidates={settings['n_candidates']}"]
        trials = settings["towers_trials"]
    else:
        words = [f"model={model}", *words]
    composed = plain(compose(words, "train"))
    listed = replace(ListedModel.of(composed), name=model)
    if model in tower_names() and not model.startswith("default-"):  # published objectives stay as they are
        search = {place: tried for place, tried in listed.search.items() if not place.startswith("objective.")}
        listed = replace(listed, search=search)
    return BenchmarkTask(
        "run", model=model, seed=0, settings={name: composed.get(name) for name in ("data", "protocol")},
        listed=asdict(listed if trials else replace(listed, search={})), trials=trials, prepared=composed["prepared"],
        **common,
    )  # fmt: skip


def _chosen(models: Sequence[str]) -> list[str]:
    """Names of models, groups written out, each once.

    Raises:
        BadConfig: an unknown name.
    """
    groups = {"baselines": baseline_names(), "peers": peer_names(), "towers": tower_names()}
    groups["all"] = tuple(name for names in groups.values() for name in names)
    groups["ratings"] = rating_names()  # examined by metrics of values, so not among all
    known = {*groups, *(name for names in groups.values() for name in names)}
    for name in models:
        if name not in known:
            listed = [*groups, *groups["all"], *groups["ratings"]]
            raise BadConfig(f"models: {name!r} is unknown; there are {', '.join(listed)}")
    return list(dict.fromkeys(one for name in models for one in groups.get(name, (name,))))


def by_model(tasks: Sequence[BenchmarkTask]) -> list[list[BenchmarkTask]]:
    """Tasks of each model together, in order."""
    groups: dict[str, list[BenchmarkTask]] = {}
    for task in tasks:
        groups.setdefault(task.model, []).append(task)
    return list(groups.values())
