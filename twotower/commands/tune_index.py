"""`python -m twotower tune-index`: finds the fastest index that reaches a wanted recall; publishes nothing."""

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twotower.commands.words import run_words, settings_of
from twotower.config.compose import group_files, instantiate
from twotower.errors import BadConfig, BadInput
from twotower.storage.whole_file import write_whole_text
from twotower.text import aligned
from twotower.types import Floats

if TYPE_CHECKING:
    from twotower.ann.measuring.exploration import Exploration, Grid
    from twotower.ann.measuring.pareto import IndexSearch, Setting

USAGE = """usage: python -m twotower tune-index [KEY=VALUE ...]

Builds every backend with several options, measures recall against exact search, time, throughput and weight, and
writes the fastest setting that reaches the wanted recall as tuned.yaml, with figures and a page. Publishes nothing.

  run=NAME|PATH                   the run; default: the newest in runs/
  vectors=FILE.npy queries=FILE.npy  item and query vectors instead of a run
  target_recall=0.99              recall to be reached at every list length
  bytes_per_vector=64             the most that the index's files may weigh; count_vectors=true adds shared item vectors
  backends=[faiss,kmeans]         some of {backends}
  grids.kmeans.plain.build.cells=[256,1024]  other options to try
  compare=true (or --compare)     also draw all backends beside each other
  minutes=20                      nothing new is begun after them
  out=DIR                         where to write; default: the run's figures/

All settings: conf/tune_index.yaml"""
TUNED = "tuned.yaml"
_CHOOSES_ITSELF = "auto"


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be indexed and who asks.

    Attributes:
        subject: in words.
        run: name or path of the run; None for vectors from files.
        vectors: item vectors. Shape [N, D].
        calibrating: query vectors that settings are chosen with. Shape [B, D].
        held_out: query vectors that the chosen setting is measured with again. Shape [B, D].
        directory: where output goes unless said otherwise.
    """

    subject: str
    run: str | None
    vectors: Floats
    calibrating: Floats
    held_out: Floats
    directory: Path


def tune_index(settings: Mapping[str, Any]) -> tuple["IndexSearch", list[Path]]:
    """Runs the whole command for plain settings; returns what was found and the files that were written.

    Raises:
        BadConfig: an option makes no sense.
        BadInput: vectors or queries cannot be used, or nothing could be measured.
    """
    from twotower.ann.measuring.exploration import Bench, Exploration
    from twotower.ann.measuring.pareto import Goal
    from twotower.ann.measuring.recall import GroundTruth
    from twotower.ann.vectors import checked_metric
    from twotower.reports.index_page import write_tuning

    goal = Goal(settings["target_recall"], settings["bytes_per_vector"], settings["count_vectors"])
    metric, grids = checked_metric(settings["metric"]), _grids(settings)
    source = _from_files(settings) if settings["vectors"] or settings["queries"] else _from_run(settings)
    ground_truth = GroundTruth(source.vectors, source.calibrating, settings["recall_at"], metric)
    k = min(settings["latency_at"], len(source.vectors))
    how = {name: settings[name] for name in ("calls", "threads", "batch_seconds")}
    bench = Bench(ground_truth, k, **how)
    exploration = Exploration(bench, goal, minutes=settings["minutes"])
    _explore(exploration, grids)
    if not exploration.settings:
        reasons = [f"{f.label}: {f.error}" for f in exploration.failures]
        reasons += [f"time was over before {label}" for label in exploration.left_out]
        raise BadInput(f"no setting could be measured: {'; '.join(reasons)}")
    tuned = _finished(exploration, source, settings)
    out = Path(settings["out"] or source.directory)
    build = None
    if tuned.chosen is not None:
        build = _build_command(source, tuned, settings, out / TUNED)
    files = write_tuning(tuned, out, build=build, compare=settings["compare"])
    if tuned.chosen is not None:
        write_whole_text(out / TUNED, _as_yaml(tuned, tuned.chosen))
        files.append(out / TUNED)
    _print(tuned, files, build)
    return tuned, files


def _from_run(settings: Mapping[str, Any]) -> Source:
    from twotower.runs.bundle import Bundle
    from twotower.runs.indexing import user_samples

    bundle = Bundle.open(settings["run"], settings["runs_dir"])
    calibrating, held_out = user_samples(bundle, settings["n_queries"], settings["seed"])
    run = bundle.name if bundle.directory.parent == Path(settings["runs_dir"]) else str(bundle.directory)
    figures = bundle.directory / "figures"
    return Source(f"run {bundle.name}", run, bundle.item_vectors(), calibrating, held_out, figures)


def _from_files(settings: Mapping[str, Any]) -> Source:
    """Vectors from two files; the queries are drawn and halved as users of a run are."""
    if not (settings["vectors"] and settings["queries"]):
        raise BadConfig("vectors=FILE.npy and queries=FILE.npy belong together; give both, or run=NAME")
    vectors, queries = (_matrix(Path(settings[name]), name) for name in ("vectors", "queries"))
    if queries.shape[1] != vectors.shape[1] or len(queries) < 2:
        raise BadInput(f"queries must have shape [B >= 2, {vectors.shape[1]}], got {queries.shape}")
    drawn = np.random.default_rng(settings["seed"]).permutation(len(queries))[: 2 * settings["n_queries"]]
    halves = queries[drawn[: len(drawn) // 2]], queries[drawn[len(drawn) // 2 :]]
    return Source(Path(settings["vectors"]).name, None, vectors, *halves, Path("index-tuning"))


def _matrix(path: Path, name: str) -> Floats:
    try:
        matrix: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{name}={path} cannot be read as .npy: {error}") from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
        raise BadInput(f"{name}={path} must hold one matrix")
    return matrix


def _grids(settings: Mapping[str, Any]) -> list["Grid"]:
    """The grids of the wanted backends, in the order of the configuration; those without one as their files say."""
    from twotower.ann.measuring.exploration import Grid
    from twotower.runs.indexing import options_in

    files = _backends()
    chosen = list(files) if settings["backends"] is None else list(settings["backends"])
    unknown = [name for name in chosen if name not in files]
    if unknown:
        raise BadConfig(f"backends: no {unknown[0]!r}; choose from {', '.join(files)}")
    order = [*settings["grids"], *(name for name in files if name not in settings["grids"])]
    grids = []
    for name in (name for name in order if name in chosen):
        config = {**options_in(files[name]), "metric": settings["metric"]}
        for parts in settings["grids"].get(name, {"plain": {}}).values():
            build, search = (_values(parts, part, name) for part in ("build", "search"))
            grids.append(Grid(name, partial(instantiate, config), build, search))
    return grids


def _backends() -> dict[str, Path]:
    """Those that can be compared, with their files."""
    return {file.stem: file for file in group_files("index") if file.stem != _CHOOSES_ITSELF}


def _values(parts: Mapping[str, Any], part: str, backend: str) -> dict[str, list[Any]]:
    """Options with lists of values; a single value is a list of one."""
    options = parts.get(part, {})
    if set(parts) - {"build", "search"} or not isinstance(options, Mapping):
        raise BadConfig(f"grids.{backend}: a grid holds build and search, each option: values, got {dict(parts)}")
    return {name: values if isinstance(values, list) else [values] for name, values in options.items()}


def _explore(exploration: "Exploration", grids: Sequence["Grid"]) -> None:
    from tqdm import tqdm

    from twotower.ann.measuring.exploration import combinations

    total = sum(len(combinations(grid.build)) for grid in grids)
    with tqdm(total=total, desc="tune index", unit=" index", disable=None) as bar:
        exploration.run(grids, tell=partial(bar.write, file=sys.stderr), progress=bar.update)


def _finished(exploration: "Exploration", source: Source, settings: Mapping[str, Any]) -> "IndexSearch":
    """What was found; the chosen index is measured again with queries that had no part in choosing it."""
    from twotower.ann.measuring.pareto import IndexSearch
    from twotower.ann.measuring.recall import GroundTruth

    chosen, held_out = None, {}
    if exploration.best is not None:
        chosen, index = exploration.best
        held_out = GroundTruth(source.vectors, source.held_out, settings["recall_at"], index.metric).recall(index)
    return IndexSearch(
        subject=source.subject,
        count=len(source.vectors),
        dim=source.vectors.shape[1],
        metric=settings["metric"],
        n_queries=len(source.calibrating),
        threads=settings["threads"],
        goal=exploration.goal,
        settings=exploration.settings,
        failures=exploration.failures,
        left_out=exploration.left_out,
        chosen=chosen,
        held_out=held_out,
        n_held_out=len(source.held_out),
    )


def _as_yaml(tuned: "IndexSearch", chosen: "Setting") -> str:
    """A file like those of `conf/index/`, that says where it comes from."""
    from omegaconf import OmegaConf

    recalls = ", ".join(f"recall@{k} {value:.4f}" for k, value in tuned.held_out.items())
    origin = (
        f"# Found by tune_index on {datetime.now(UTC):%Y-%m-%d} for {tuned.subject} ({tuned.count:,} x {tuned.dim}).\n"
        f"# Held-out queries: {recalls}; {chosen.p50_ms:.3f} ms a query, "
        f"{chosen.footprint.beside:.1f} bytes per vector beside the item vectors.\n"
    )
    return origin + OmegaConf.to_yaml(OmegaConf.create({"_target_": chosen.target, **chosen.options}))


def _build_command(source: Source, tuned: "IndexSearch", settings: Mapping[str, Any], file: Path) -> str | None:
    """What builds the chosen index as it was measured; None where there is no run."""
    if source.run is None:
        return None
    words = [f"run={source.run}", f"index_file={file}", "target_recall=null"]
    if source.run == Path(source.run).name and settings["runs_dir"] != "runs":
        words.insert(1, f"runs_dir={settings['runs_dir']}")
    least = min(tuned.held_out.values())
    if least < 0.96:  # build_index refuses less than .95 unless it is told to accept it
        words.append(f"min_recall={math.floor(100 * least - 1) / 100}")
    return "python index/build.py " + " ".join(map(shlex.quote, words))


def _print(tuned: "IndexSearch", files: Sequence[Path], build: str | None) -> None:
    from twotower.reports.index_page import columns_of, row_of

    rows = [columns_of(tuned), *map(row_of, tuned.unbeaten())]
    print(f"settings near recall {tuned.goal.recall} that no other one beats in recall, time and weight:\n")
    print(aligned(rows))
    for failure in tuned.failures:
        print(f"\nnot measured: {failure.label}: {failure.error}")
    if tuned.left_out:
        print(f"\nleft out when time was over: {', '.join(tuned.left_out)}")
    if tuned.chosen is not None:
        recalls = ", ".join(f"recall@{k} {value:.4f}" for k, value in tuned.held_out.items())
        print(f"\nchosen: {tuned.chosen.label}; {tuned.n_held_out:,} held-out queries: {recalls}")
        short = tuned.goal.recall - min(tuned.held_out.values())
        if short > 0:
            print(
                f"with these it misses the target by {short:.4f}; raise target_recall by as much to be on the safe side"
            )
    print("\nwritten: " + "\n         ".join(map(str, files)))
    if build is not None:
        print(f"\nnow: {build}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, which is 1 where no setting meets the goal."""
    return run_words(arguments, lambda: USAGE.format(backends=", ".join(_backends())), _run)


def _run(arguments: Sequence[str]) -> None:
    words = ["compare=true" if word == "--compare" else word for word in arguments]
    tuned, _ = tune_index(settings_of(words, "tune_index", lists=("backends", "recall_at")))
    if tuned.chosen is None:
        raise BadConfig(
            f"no measured setting reaches recall {tuned.goal.recall}: {tuned.goal.shortfall(tuned.settings)}; "
            f"no {TUNED} was written"
        )


if __name__ == "__main__":
    sys.exit(main())
