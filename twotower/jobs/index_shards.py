"""Shards of a run's index: one task that any engine carries out, and the index that is merged from its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twotower.ann.faiss_factory import ADDED, FaissIndex
from twotower.ann.shards import check_mergeable, fill_shard, merged, ranges, train_shared
from twotower.errors import BadConfig
from twotower.jobs.engines import Engine, Run
from twotower.jobs.items import opened
from twotower.jobs.progress import bar
from twotower.runs.bundle import Bundle
from twotower.storage.unfinished import Unfinished, workshop

TRAINED = "trained.faiss"
LISTS = "merged.ivfdata"


@dataclass(frozen=True, slots=True)
class FillShards:
    """A `Task`: shard i holds the i-th `shard_rows` item vectors of the run."""

    run: str
    model: str
    into: Unfinished
    shard_rows: int

    def open(self) -> Run:
        """Maps the run's vectors; the trained index is read for each shard, since filling changes it."""
        vectors = opened(self.run, self.model).item_vectors()
        trained, spans = self.into.directory / TRAINED, list(ranges(len(vectors), self.shard_rows))

        def fill(number: int) -> None:
            def write(path: Path) -> int:
                fill_shard(trained, vectors, spans[number], path)
                return int(spans[number].stop - spans[number].start)

            self.into.write(shard_name(number), write)

        return fill


def shard_name(number: int) -> str:
    """File of a shard."""
    return f"shard-{number:05d}.faiss"


def with_sharded_index(
    bundle: Bundle,
    index: FaissIndex,
    engine: Engine,
    use: Callable[[FaissIndex], None],
    *,
    shard_rows: int = 16 * ADDED,
    merge: str = "memory",
) -> None:
    """Trains once, fills shards by an engine, merges them, and lets `use` have the index; then the shards go.

    Shards and the trained index lie in `.shards` of the run and outlive a kill: the same command goes on from them.

    Args:
        bundle: the run whose item vectors are indexed.
        index: empty, with its options.
        engine: who fills the shards.
        use: measures and publishes it.
        shard_rows: vectors in each; multiples of 65,536 give the same bits as an index in one piece.
        merge: `memory` or `disk`.

    Raises:
        BadConfig: such an index cannot be merged, or shard_rows is below 1.
        BundleError: another process is building shards for this run, or a worker died.
    """
    if shard_rows < 1:
        raise BadConfig(f"shard_rows must be at least 1, got {shard_rows}")
    check_mergeable(index, merge)
    vectors = bundle.item_vectors()
    options = index.options()
    plan: dict[str, Any] = {"job": "build_shards", "model": bundle.model_digest, "options": options}
    spans = list(ranges(len(vectors), shard_rows))
    with workshop((bundle.directory / ".shards").absolute(), {**plan, "shard_rows": shard_rows}) as folder:
        if folder.facts(TRAINED) is None:
            folder.write(TRAINED, lambda path: _train(FaissIndex(**options), vectors, path))
        task = FillShards(str(bundle.directory.absolute()), bundle.model_digest, folder, shard_rows)
        missing = [i for i in range(len(spans)) if folder.facts(shard_name(i)) is None]
        with bar("fill shards", "items", sum(spans[i].stop - spans[i].start for i in missing)) as progress:
            for number in engine.each(task, missing):
                progress(spans[number].stop - spans[number].start)
        files = [folder.directory / shard_name(i) for i in range(len(spans))]
        lists = folder.directory / LISTS
        lists.unlink(missing_ok=True)
        native = merged(folder.directory / TRAINED, files, merge=merge, lists=lists)
        use(index.over(native, vectors))


def _train(index: FaissIndex, vectors: Any, path: Path) -> int:
    train_shared(index, vectors, path)
    return 0
