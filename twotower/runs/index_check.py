"""Measures the published index of a run again and compares it with what was claimed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twotower.ann.base import IndexBase
from twotower.ann.measuring.recall import GroundTruth
from twotower.ann.measuring.timing import Footprint, Latency, latency, limited_threads, saved_footprint, throughput
from twotower.errors import BundleError
from twotower.runs.bundle import LATEST, Bundle
from twotower.runs.indexing import user_samples
from twotower.storage import atomic
from twotower.types import Floats

_BATCH = 256


_RECALL_AT = (10, 100, 500)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was measured of a published index.

    Attributes:
        run: name of the run.
        backend: import path of its class.
        options: its options.
        created: when it was published, UTC.
        count: vectors in it. N of them.
        dim: D.
        metric: how vectors are compared.
        n_queries: users that recall was measured with.
        threads: that faiss could use while times were measured.
        recall: k to mean recall@k, now.
        claimed: k to mean recall@k, as the manifest says.
        latencies: times of single queries, for each list length.
        batch: queries that are asked at once.
        queries_per_s: k to queries answered per second in such batches.
        footprint: bytes of the files.
    """

    run: str
    backend: str
    options: Mapping[str, Any]
    created: str
    count: int
    dim: int
    metric: str
    n_queries: int
    threads: int
    recall: Mapping[int, float]
    claimed: Mapping[int, float]
    latencies: Sequence[Latency]
    batch: int
    queries_per_s: Mapping[int, float]
    footprint: Footprint

    @property
    def drops(self) -> dict[int, float]:
        """How much is found than was claimed, by list length; negative where more is."""
        return {k: self.claimed[k] - value for k, value in self.recall.items() if k in self.claimed}

    def __str__(self) -> str:
        options = ", ".join(
            f"{k} {v}" for k, v in self.options.items() if v is not None and k not in ("metric", "seed")
        )
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        lines = [
            f"run {self.run}: {self.backend.rpartition('.')[2]} of {self.count:,} x {self.dim}, {self.metric}",
            f"{options or 'no options'}; published {self.created}",
            f"measured with {self.n_queries:,} users; times on {threads}",
            "",
        ]
        return "\n".join([*lines, *self._table()])

    def _table(self) -> Iterator[str]:
        def row(what: str, *values: str) -> str:
            return f"{what:<34}" + "".join(f"{value:>14}" for value in values)

        yield row("", "now", "published", "change")
        for k, value in self.recall.items():
            claim = self.claimed.get(k)
            yield row(
                f"recall@{k}",
                f"{value:.4f}",
                *(("-", "") if claim is None else (f"{claim:.4f}", f"{value - claim:+.4f}")),
            )
        for time in self.latencies:
            yield row(f"one query, k={time.k}, p50", f"{time.p50_ms:.3f} ms")
            yield row(f"one query, k={time.k}, p99", f"{time.p99_ms:.3f} ms")
        for k, rate in self.queries_per_s.items():
            yield row(f"batches of {self.batch}, k={k}", f"{rate:,.0f} /s")
        size = self.footprint
        yield row("files of the index, per vector", f"{size.beside:.1f} bytes")
        if size.shared:
            yield row("with the item vectors it needs", f"{size.including:.1f} bytes")


def verify_index(
    run: str | Path = LATEST,
    runs_dir: str | Path = "runs",
    *,
    n_queries: int | None = None,
    seed: int | None = None,
    recall_at: Sequence[int] | None = None,
    latency_at: Sequence[int] = (100, 500),
    calls: int = 1000,
    threads: int | None = 1,
) -> Verified:
    """Measures the published index of a run.

    Args:
        run: name or path of the run.
        runs_dir: where runs lie.
        n_queries: how many users' vectors measure recall; None: as many as when it was published.
        seed: which users; None: those of the publishing.
        recall_at: list lengths for recall; None: those of the publishing.
        latency_at: list lengths for times; those above the catalogue become its size.
        calls: single queries that are timed for each length.
        threads: of searching while it is timed; None: all.

    Raises:
        BundleError: no such run, it has no index, or a file of it is damaged.
        IndexMismatch: the index belongs to other towers.
    """
    bundle = Bundle.open(run, runs_dir)
    index, manifest = _opened(bundle)
    vectors = bundle.item_vectors()
    claimed = {int(k): float(value) for k, value in manifest.get("recall", {}).items()}
    n_queries = n_queries or int(manifest.get("n_queries", 1000))
    seed = int(manifest.get("query_seed", 0)) if seed is None else seed
    held_out = user_samples(bundle, n_queries, seed)[1]
    recall = GroundTruth(vectors, held_out, recall_at or list(claimed) or _RECALL_AT, index.metric).recall(index)
    lengths = sorted({min(k, len(index)) for k in latency_at})
    batch = held_out[:_BATCH]
    with limited_threads(threads) as used:
        latencies = [latency(index, held_out, k, calls=calls) for k in lengths]
        rates = {k: throughput(index, batch, k) for k in lengths}
    return Verified(
        run=bundle.name,
        backend=str(manifest["backend"]),
        options=index.options(),
        created=str(manifest["created"]),
        count=len(index),
        dim=index.dim,
        metric=index.metric,
        n_queries=len(held_out),
        threads=used,
        recall=recall,
        claimed=claimed,
        latencies=latencies,
        batch=len(batch),
        queries_per_s=rates,
        footprint=_weighed(bundle, index, vectors),
    )


def _opened(bundle: Bundle) -> tuple[IndexBase, Mapping[str, Any]]:
    """The run's index, checked, with its manifest."""
    index, manifest = bundle.index(), bundle.index_manifest()
    if index is None or manifest is None:
        raise BundleError(f"run {bundle.name!r} has no index to verify; build one with `make build-index`")
    if index.changed:
        raise BundleError(
            f"{index.changed} items of the index of run {bundle.name!r} were changed since it was built, so the run's "
            "item vectors cannot measure it; build it again with `make build-index`"
        )
    return index, manifest


def _weighed(bundle: Bundle, index: IndexBase, vectors: Floats) -> Footprint:
    return saved_footprint(atomic.standing(bundle.directory / "index"), len(index), vectors.nbytes)


def refuse_drop(verified: Verified, most: float) -> None:
    """Raises an error if recall is lower than claimed by more than `most`.

    Raises:
        BundleError: it is.
    """
    k, drop = max(verified.drops.items(), key=lambda pair: pair[1], default=(0, 0.0))
    if drop > most:
        raise BundleError(
            f"recall@{k} is {verified.recall[k]:.4f}, but {verified.claimed[k]:.4f} was measured when the index of run "
            f"{verified.run!r} was published (max_drop={most}); build it again with `make build-index`"
        )
