"""`python -m twotower build-shards`: the index of a run, built in shards on one machine or many, merged, published."""

import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from twotower.commands.words import ENGINE_WORDS, run_words, settings_of, take_engine

if TYPE_CHECKING:
    from twotower.ann.faiss_factory import FaissIndex
    from twotower.runs.indexing import Built

USAGE = """usage: python -m twotower build-shards [KEY=VALUE ...]

Builds the faiss index of a run in shards: cells and codes are learnt once, every shard is a range of the item vectors
in a copy of them, and the merged index is measured and published as by `python -m twotower build-index`. It answers
as the index that `build_index index=faiss` makes in one piece.

  run=NAME|PATH       the run; default: the newest in runs/
  index.factory=NAME  any faiss index with inverted lists; other options as index.cells=4096
  shard_rows=1048576  vectors in each shard, a multiple of 65,536
  merge=memory        or disk: lists in a file that need not fit into memory; not for 4-bit codes (the default index)
  target_recall=0.99  min_recall=0.95  n_queries=1000   as for build_index
{engine}

All settings: conf/build_shards.yaml"""


def build_shards(
    options: Mapping[str, Any],
    run: str,
    runs_dir: str,
    *,
    engine: Any,
    shard_rows: int,
    merge: str,
    **measured: Any,
) -> "Built":
    """Trains, fills shards, merges, calibrates, measures and publishes.

    Args:
        options: `_target_` and constructor options of a `FaissIndex`, as in `conf/index/faiss.yaml`.
        run: name or path of the run.
        runs_dir: where runs lie.
        engine: an `Engine`, which fills the shards.
        shard_rows: vectors in each.
        merge: `memory` or `disk`.
        **measured: options of `publish_measured`.

    Raises:
        BadConfig: the index is of another kind, or cannot be merged.
        BundleError: no such run, or the index finds too little.
    """
    from twotower.ann.faiss_factory import FaissIndex
    from twotower.config.compose import instantiate
    from twotower.errors import BadConfig
    from twotower.jobs.index_shards import with_sharded_index
    from twotower.runs.bundle import Bundle
    from twotower.runs.indexing import publish_measured

    bundle, index = Bundle.open(run, runs_dir), instantiate(options)
    if not isinstance(index, FaissIndex):
        raise BadConfig(f"index {type(index).__name__}: only faiss indexes are built in shards; take index=faiss")
    published: list[Built] = []
    started = perf_counter()

    def publish(merged: "FaissIndex") -> None:
        published.append(publish_measured(bundle, merged, perf_counter() - started, **measured))

    with_sharded_index(bundle, index, engine, publish, shard_rows=shard_rows, merge=merge)
    return published[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_words(arguments, lambda: USAGE.format(engine=ENGINE_WORDS), _run)


def _run(arguments: Sequence[str]) -> None:
    settings = settings_of(arguments, "build_shards")
    engine = take_engine(settings)
    built = build_shards(settings.pop("index"), **settings, engine=engine)
    print(built)
    print(f"now: python -m twotower.recommend --user ID --run {built.run}")


if __name__ == "__main__":
    sys.exit(main())
