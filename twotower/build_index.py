"""`python -m twotower.build_index`: builds the index of a run, measures it, exchanges it with the old one."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from twotower.bundle import LATEST, Bundle, publish_index
from twotower.config import compose, instantiate, plain
from twotower.console import run_command
from twotower.errors import BadConfig, BundleError
from twotower.types import Floats

USAGE = """usage: python -m twotower.build_index [KEY=VALUE ...]

Builds the index of a run, measures its recall against exact search, and exchanges it with the old index in one step.

  run=NAME|PATH     the run; default: the newest in runs/
  index=BACKEND     one of {backends}; options as index.metric=cosine
  min_recall=0.95   an index that finds less is not published
  n_queries=1000    user vectors that recall is measured with

All settings: conf/build_index.yaml"""


@dataclass(frozen=True, slots=True)
class Built:
    """What was published.

    Attributes:
        run: name of the run.
        backend: class of the index.
        count: vectors in it.
        seconds: time to build, without measuring.
        recall: k to mean recall@k.
    """

    run: str
    backend: str
    count: int
    seconds: float
    recall: Mapping[int, float]

    def __str__(self) -> str:
        found = ", ".join(f"recall@{k} {value:.4f}" for k, value in self.recall.items())
        return f"run {self.run}: {self.backend} of {self.count:,} items in {self.seconds:.1f} s, {found}"


def build_index(
    options: Mapping[str, Any],
    run: str | Path = LATEST,
    runs_dir: str | Path = "runs",
    *,
    recall_at: Sequence[int] = (10, 100, 500),
    min_recall: float = 0.95,
    n_queries: int = 1000,
    seed: int = 0,
) -> Built:
    """Builds, measures and publishes the index of a run; the old one is served until the last moment.

    Args:
        options: `_target_` and constructor options of the index, as in `conf/index/`.
        run: name or path of the run.
        runs_dir: where runs lie.
        recall_at: list lengths to measure; those above the catalogue are left out.
        min_recall: least recall, at every length, of an index that is published.
        n_queries: how many users' vectors to measure with.
        seed: which users.

    Raises:
        BundleError: no such run, or the index finds too little.
    """
    from tqdm import tqdm

    bundle = Bundle.open(run, runs_dir)
    vectors = bundle.item_vectors()
    started = perf_counter()
    with tqdm(total=len(vectors), desc="build index", unit=" items", unit_scale=True) as bar:
        index = instantiate(options).build(vectors, progress=bar.update)
    seconds = perf_counter() - started
    recall = _measured(index, vectors, user_sample(bundle, n_queries, seed), recall_at)
    _refuse_poor(recall, min_recall)
    facts = {
        "options": dict(options),
        "recall": {str(k): value for k, value in recall.items()},
        "n_queries": n_queries,
        "build_seconds": round(seconds, 3),
    }
    publish_index(bundle, index, facts)
    return Built(bundle.name, type(index).__name__, len(index), seconds, recall)


def user_sample(bundle: Bundle, n: int, seed: int) -> Floats:
    """Vectors of up to n users who have a history, drawn without replacement. Shape [B, D].

    Raises:
        BundleError: no user of the run has a history.
    """
    files = bundle.serving()
    active = np.flatnonzero(files.histories.lengths)
    if not len(active):
        raise BundleError(f"run {bundle.name!r}: no user has a history, so recall cannot be measured; train again")
    drawn = np.random.default_rng(seed).choice(active, min(n, len(active)), replace=False)
    vectors: Floats = bundle.model().user_vectors(files.queries(np.sort(drawn)))
    return vectors


def _measured(index: Any, vectors: Floats, queries: Floats, recall_at: Sequence[int]) -> dict[int, float]:
    """Recall at each length up to the catalogue's, or at the catalogue's if all are longer."""
    from twotower.ann.recall import recall_at as measure

    lengths = [k for k in recall_at if k <= len(vectors)] or [len(vectors)]
    return measure(index, vectors, queries, lengths)


def _refuse_poor(recall: Mapping[int, float], least: float) -> None:
    for k, value in recall.items():
        if value < least:
            raise BundleError(
                f"not published: recall@{k} is {value:.4f}, below min_recall={least}; "
                "give the index a more thorough setting, or lower min_recall"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> None:
    from twotower.config import group_files

    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(backends=", ".join(file.stem for file in group_files("index"))))
        return
    dashed = [a for a in arguments if a.startswith("-")]
    if dashed:
        raise BadConfig(f"{dashed[0]!r}: this command takes KEY=VALUE, e.g. run=NAME; see --help")
    settings = plain(compose(arguments, "build_index"))
    index = settings.pop("index")
    built = build_index(index, **settings)
    print(built)
    print(f"now: python -m twotower.recommend --user ID --run {built.run}")


if __name__ == "__main__":
    sys.exit(main())
