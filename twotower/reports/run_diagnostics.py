"""What the report page shows of a published run beyond its metrics: read from the run, measured on its test."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twotower.ann.base import IndexBase
from twotower.config.compose import compose, group_files, plain
from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.evaluation.report import Report
from twotower.reports import measure as gathering
from twotower.reports.diagnostics import Frontier, FrontierPoint, Insights
from twotower.reports.index_frontier import quick_frontier
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import user_samples
from twotower.runs.served_run import ServedRun
from twotower.stages.recommender import TwoStageRecommender

_INDEX_FACTS = ("created", "recall", "n_queries", "latency", "build_seconds", "count", "dim", "metric")
_FRONTIER_USERS = 500
_WHOLE = "full catalogue"
_PHASES = ("choosing the epochs", "last fit")
_WITHOUT_TRACE = frozenset(("progress", "resume"))
"""Settings that change how it goes, not what comes out."""


def insights_of(bundle: Bundle, split: Split, report: Report, settings: Mapping[str, Any]) -> Insights:
    """Watches both stages of a run at work on the test and reads what its directory knows.

    Args:
        bundle: the run that the report is about.
        split: whose test is asked.
        report: of the run and others.
        settings: of the evaluation, as composed.
    """
    served = ServedRun.open(bundle.directory)
    stages = TwoStageRecommender(
        served.direct,
        served.recommender.ranker,
        n_candidates=int(settings["n_candidates"]),
        popularity=served.recommender.popularity,
    )
    seed, files = int(settings["eval"]["seed"]), served.files
    # where targets compete with a few sampled items only, lists over the whole catalogue mean something else
    whole = report.split.get("competitors", _WHOLE) == _WHOLE
    watched = gathering.watch(stages, split.test, seed=seed) if whole else {}
    ids = (files.user_ids.external, files.item_ids.external)
    title = served.title_of
    return Insights(
        run=bundle.name,
        vectors=gathering.vector_map(bundle.item_vectors(), files.catalogue, seed=seed),
        examples=gathering.examples_of(stages, split.test, ids, title, seed=seed) if whole else (),
        curves=_curves(bundle.directory),
        index=_index(bundle),
        frontier=_frontier(bundle, served, settings),
        commands=(*_train_command(bundle), *evaluate_command(settings)),
        **watched,
    )


def evaluate_command(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The command that composes these settings, or nothing if no command does."""
    return _command("evaluate", settings, ())


def _curves(directory: Path) -> tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]:
    path = directory / "training.json"
    if not path.exists():
        return ()
    phases = json.loads(path.read_text())
    return tuple((name, tuple(phase["history"])) for name, phase in zip(_PHASES, phases, strict=False))


def _index(bundle: Bundle) -> Mapping[str, Any] | None:
    manifest = bundle.index_manifest()
    if manifest is None:
        return None
    facts: dict[str, Any] = {"index": str(manifest["backend"]).rpartition(".")[2]}
    if "options" in manifest:
        facts["options"] = manifest["options"]
    named = {name: manifest[name] for name in _INDEX_FACTS if name in manifest}
    if "recall" in named:
        named["recall"] = {f"@{k}": f"{value:.4f}" for k, value in named["recall"].items()}
    if "build_seconds" in named:
        named["build_seconds"] = f"{named['build_seconds']:.1f}"
    return facts | {name.replace("_", " "): value for name, value in named.items()}


def _frontier(bundle: Bundle, served: ServedRun, settings: Mapping[str, Any]) -> Frontier | None:
    """What `tune_index` left beside the figures of the run, else what is measured now in the time that is given."""
    path, seconds = bundle.directory / "figures" / "index-tuning.json", settings["frontier_seconds"]
    if path.exists():
        return _tuned_frontier(json.loads(path.read_text()))
    index = getattr(served.direct, "index", None)
    if not seconds or not isinstance(index, IndexBase):
        return None
    published = bundle.index_manifest() or {}
    n_queries, drawn = int(published.get("n_queries", _FRONTIER_USERS)), int(published.get("query_seed", 0))
    queries = user_samples(bundle, n_queries, drawn)[1][:_FRONTIER_USERS]  # those that did not calibrate the index
    n = int(settings["n_candidates"])
    return quick_frontier(index, bundle.item_vectors(), queries, k=n, seconds=float(seconds))


def _tuned_frontier(facts: Mapping[str, Any]) -> Frontier:
    points = tuple(
        FrontierPoint(
            s["label"],
            min(s["recall"].values()),
            s["latency"]["p50_ms"],
            s == facts.get("chosen"),
            s["backend"] == "exact",
        )
        for s in facts["settings"]
    )
    k, threads = facts["settings"][0]["latency"]["k"], facts["threads"] or "all"
    told = f"Found by make tune-index: {facts['n_queries']:,} users, lists of {k}, {threads} thread(s)."
    return Frontier(points, told)


def _train_command(bundle: Bundle) -> tuple[str, ...]:
    config = bundle.config()
    name = str(config["data"]["name"])
    known = [f"data={name}"] if name in {file.stem for file in group_files("data")} else []
    return _command("train", config, known)


def _command(command: str, wanted: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, ...]:
    """What to type, tried out: composed again it gives the same settings, else it is not told."""
    try:
        plainly = plain(compose(choices, command))
        changes = [*choices, *_changes(wanted, plainly)]
        again = plain(compose(changes, command))
    except BadConfig:
        return ()
    if any(again.get(key) != value for key, value in wanted.items() if key not in _WITHOUT_TRACE):
        return ()
    return (shlex.join(["python", "-m", f"twotower.{command}", *changes]),)


def _changes(wanted: Mapping[str, Any], given: Mapping[str, Any], under: str = "") -> Iterator[str]:
    """Overrides that lead from one configuration to another."""
    for key, value in wanted.items():
        name = f"{under}{key}"
        if name in _WITHOUT_TRACE or (key in given and given[key] == value):
            continue
        if isinstance(value, Mapping) and isinstance(given.get(key), Mapping):
            yield from _changes(value, given[key], f"{name}.")
        else:
            yield f"{'' if key in given else '+'}{name}={_written(value)}"


def _written(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(part) for part in value) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value)
