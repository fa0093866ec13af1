"""Job: measures the indexes: exact search by size, the frontier at 1 million vectors, LOPQ, 1.7 million, one request.

    python pipelines/bench/indexes.py                        # everything: what `make bench-ann` runs, about 20 minutes
    python pipelines/bench/indexes.py --only frontier
    python pipelines/bench/indexes.py --only real --runs ml-1m,marketplace
    python pipelines/bench/indexes.py --only request --runs marketplace-full

One search thread; every figure of a table is measured in one process.
Made-up vectors: `twotower/ann/measuring/synthetic.py`.
Peers (hnswlib, usearch, voyager) are measured where they are installed: pip install 'twotower[peers]'.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twotower.ann.annoy_trees import AnnoyIndex
from twotower.ann.base import IndexBase
from twotower.ann.exact import ExactIndex
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.kmeans import KMeansIndex
from twotower.ann.lopq.index import LOPQIndex
from twotower.ann.measuring.recall import GroundTruth
from twotower.ann.measuring.synthetic import clustered_vectors, isotropic_vectors
from twotower.ann.measuring.timing import footprint, latency, throughput
from twotower.benchmarks.index_libraries import Find, by_numpy, installed_peers
from twotower.evaluation.machine import machine, peak_memory_bytes
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import build_index, user_samples
from twotower.runs.served_run import ServedRun
from twotower.types import Floats

MILLION, REFERENCE = 1_000_000, 1_711_191
Settings = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    recall: float
    p50: float
    p99: float
    per_second: float
    bytes_per_vector: float
    build_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.name:<46} {self.recall:>7.4f} {self.p50:>8.3f} {self.p99:>8.3f} {self.per_second:>9,.0f} "
            f"{self.bytes_per_vector:>8.1f} {self.build_seconds:>8.1f}"
        )


HEAD = f"{'index':<46} {'rec@100':>7} {'p50 ms':>8} {'p99 ms':>8} {'queries/s':>9} {'B/vector':>8} {'build s':>8}"


def exact(count: int) -> None:
    """Exact search by catalogue size, one query and 256 at once, beside numpy and the approximate default."""
    print("milliseconds a query, k=100")
    print(f"{'vectors':>10} {'exact 1':>10} {'numpy 1':>10} {'faiss 1':>10} {'exact 256':>10} {'numpy 256':>10}")
    for size in (n for n in (1_000, 10_000, 30_000, 100_000, 300_000, MILLION, 2 * MILLION) if n <= count):
        vectors, queries = clustered_vectors(size, 512)
        ways = [ExactIndex().build(vectors), Peer(partial(by_numpy, vectors)), FaissIndex().build(vectors)]
        single = [latency(index, queries, 100, calls=100).p50_ms for index in ways]
        batches = [1000 / throughput(index, queries[:256], 100) for index in ways[:2]]
        print(f"{size:>10,} " + " ".join(f"{value:>10.3f}" for value in [*single, *batches]), flush=True)


def frontier(count: int) -> None:
    """Every backend on a million clustered vectors."""
    vectors, queries = clustered_vectors(count, 3_000)
    print(f"{count:,} x 64, clustered, shifted queries; beside the item vectors' 256 bytes\n{HEAD}")
    ground_truth = GroundTruth(vectors, queries[:1000], [100], "inner_product")
    own: list[tuple[str, IndexBase, Settings]] = [
        ("exact", ExactIndex(), [{}]),
        ("faiss default", FaissIndex(), [{"nprobe": n} for n in (12, 16, 24, 48, 96, 128, 192, 256, 384)]),
        ("faiss default, float16 store", FaissIndex(store="float16"), [{"nprobe": n} for n in (128, 192)]),
        ("faiss IVF,SQfp16", FaissIndex(factory="IVF{cells},SQfp16", k_factor=0), [{"nprobe": n} for n in (96, 192)]),
        ("faiss IVF,Flat", FaissIndex(factory="IVF{cells},Flat", k_factor=0), [{"nprobe": n} for n in (96, 192)]),
        ("faiss IVF,PQ16x8", FaissIndex(factory="IVF{cells},PQ16x8np", k_factor=0), [{"nprobe": 192}]),
        ("faiss OPQ16,IVF,PQ16x8", FaissIndex(factory="OPQ16,IVF{cells},PQ16x8np", k_factor=0), [{"nprobe": 192}]),
        ("faiss HNSW32", FaissIndex(factory="HNSW32", k_factor=0), [{"ef_search": n} for n in (128, 512)]),
        ("kmeans", KMeansIndex(), [{"nprobe": n} for n in (48, 192)]),
        ("lopq, refine 500", LOPQIndex(), [{"nprobe": n, "refine": 500} for n in (32, 96)]),
        ("annoy, 50 trees", AnnoyIndex(), [{"search_k": n} for n in (25_000, 50_000, 200_000)]),
    ]
    for name, index, settings in own:
        for row in swept(name, index, vectors, ground_truth, queries[1000:], settings):
            print(row, flush=True)
    for name, peer in installed_peers().items():
        started = time.process_time()
        size, ways = peer(vectors)
        seconds = time.process_time() - started
        for setting, find in ways:
            row = measured(f"peer: {name} {setting}", Peer(find), ground_truth, queries[1000:], size / count, seconds)
            print(row, flush=True)


def swept(
    name: str, index: IndexBase, vectors: Floats, ground_truth: GroundTruth, queries: Floats, settings: Settings
) -> Iterator[Row]:
    """One row for each setting of an index that is built once."""
    started = time.process_time()
    built = index.build(vectors)
    seconds = time.process_time() - started
    size = footprint(built, vectors).beside
    for setting in settings:
        tried = built.with_options(**setting)
        told = " ".join(f"{key}={value}" for key, value in setting.items())
        yield measured(f"{name} {told}", tried, ground_truth, queries, size, seconds)


@dataclass(frozen=True)
class Peer:
    """Another library's search, asked as an index is."""

    search: Find


def measured(
    name: str, index: Any, ground_truth: GroundTruth, queries: Floats, size: float, build_seconds: float, k: int = 100
) -> Row:
    """Recall on the ground_truth's queries; latency and throughput on others, fewer of them where they are slow."""
    slow = latency(index, queries, k, calls=5, warm_up=2).p50_ms > 3
    time = latency(index, queries, k, calls=100 if slow else 1000)
    rate = throughput(index, queries[: 100 if slow else len(queries)], k)
    recall = ground_truth.recall_of(index.search(ground_truth.queries, k), k)
    return Row(name, recall, time.p50_ms, time.p99_ms, rate, size, build_seconds)


def lopq(count: int) -> None:
    """Codes of 8 bytes without refinement: LOPQ beside product quantisation with the same cells and probes."""
    shaped = partial(clustered_vectors, clusters=60, spread=0.8, decay=1.5, shift=0.3)
    sets = {
        "clusters of a shape of their own": (shaped, count),
        "clustered as above": (clustered_vectors, count),
        "isotropic": (isotropic_vectors, count // 5),
    }
    for told, (make, size) in sets.items():
        cells = max(1, size // 1000)
        vectors, queries = make(size, 3_000)
        ground_truth = GroundTruth(vectors, queries[:1000], [100], "inner_product")
        print(f"{size:,} x 64, {told}, {cells} cells, nprobe 32, 8 code bytes\n{HEAD}")
        pq = {"factory": "IVF{cells},PQ8np", "cells": cells, "nprobe": 32, "k_factor": 0}
        rivals: list[tuple[str, IndexBase]] = [
            ("faiss IVF,PQ8, unit centroids", FaissIndex(**pq)),
            ("faiss IVF,PQ8, residuals to cell means", FaissIndex(metric="euclidean", **pq)),
            ("lopq shared", LOPQIndex(cells=cells, nprobe=32, codebooks="shared", refine=0)),
            ("lopq local", LOPQIndex(cells=cells, nprobe=32, codebooks="local", refine=0)),
        ]
        for name, index in rivals:
            for row in swept(name, index, vectors, ground_truth, queries[1000:], [{}]):
                print(row, flush=True)


def reference(count: int) -> None:
    """The default at the size of the reference's corpus."""
    vectors, queries = clustered_vectors(count, 3_000)
    print(f"{count:,} x 64, clustered, shifted queries\n{HEAD}")
    ground_truth = GroundTruth(vectors, queries[:1000], [100], "inner_product")
    for row in swept(
        "faiss default",
        FaissIndex(),
        vectors,
        ground_truth,
        queries[1000:],
        [{"nprobe": n} for n in (128, 192, 256, 384)],
    ):
        print(row, flush=True)


def real(runs: Sequence[str], runs_dir: str) -> None:
    """Item vectors of trained runs, asked by their users' vectors."""
    for run in runs:
        bundle = Bundle.open(run, runs_dir)
        vectors = np.asarray(bundle.item_vectors())
        calibrating, queries = user_samples(bundle, 1000, 0)
        print(f"run {bundle.name}: {len(vectors):,} x {vectors.shape[1]}, vectors of its users\n{HEAD}")
        ground_truth = GroundTruth(vectors, queries, [100], "inner_product")
        efforts = [{"nprobe": n} for n in (16, 32, 64, 128)]
        for name, index, settings in (
            ("exact", ExactIndex(), [{}]),
            ("faiss default", FaissIndex(), efforts),
            ("kmeans", KMeansIndex(), efforts[:2]),
            ("lopq", LOPQIndex(), efforts[:2]),
            ("annoy, 50 trees", AnnoyIndex(), [{"search_k": n} for n in (5_000, 50_000)]),
        ):
            for row in swept(name, index, vectors, ground_truth, calibrating, settings):
                print(row, flush=True)


def request(runs: Sequence[str], runs_dir: str) -> None:
    """One user's list of 10 by a run of the full market: query, UserNet, index, filters, RankNet on 500, answer."""
    run = runs[0] if runs else "bench-full"
    if not (Path(runs_dir) / run).exists():
        command = ["-m", "twotower.train", "data.source.size=full", "data.positives.kinds=[contact]", "train.epochs=1"]
        print(
            f"$ python {' '.join(command)} train.refit=false run={run}  # its size counts here, not its lists",
            flush=True,
        )
        subprocess.run(
            [sys.executable, *command, "train.refit=false", f"run={run}", f"runs_dir={runs_dir}"], check=True
        )
    started = time.perf_counter()
    options = {"_target_": "twotower.ann.auto.AutoIndex"}
    built = build_index(options, run, runs_dir, target_recall=0.99, min_recall=0.9)
    print(f"{built}\nembedded vectors to published index: {time.perf_counter() - started:.0f} s")
    served = ServedRun.open(run, runs_dir)
    active = np.flatnonzero(served.files.histories.lengths)
    users = served.files.user_ids.external[np.random.default_rng(0).choice(active, 1010, replace=False)]
    times = np.empty(len(users))
    for row, user in enumerate(users):
        started = time.perf_counter()
        answer = served.answer(user.item(), k=10)
        times[row] = 1000 * (time.perf_counter() - started)
        assert len(answer.items) == 10, f"user {user} got {len(answer.items)} items"
    p50, p99 = np.quantile(times[10:], [0.5, 0.99])
    print(f"one request, {built.count:,} items, 500 ranked: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


SECTIONS: dict[str, tuple[Callable[[int], None], int]] = {
    "exact": (exact, 2 * MILLION),
    "frontier": (frontier, MILLION),
    "lopq": (lopq, 1024 * 1000),
    "reference": (reference, REFERENCE),
}
"""Name to section and its number of vectors."""
RUN_SECTIONS: dict[str, Callable[[Sequence[str], str], None]] = {"real": real, "request": request}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one section here, or each in its own process with one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*SECTIONS, *RUN_SECTIONS], help="measure one section")
    parser.add_argument("--runs", default="", help="trained runs for `real` (several, with commas) and `request` (one)")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--count", type=int, help="vectors, for a quick look; each section has its own number")
    options = parser.parse_args(arguments)
    runs = [name for name in options.runs.split(",") if name]
    if options.only:
        if options.only in SECTIONS:
            section, usual = SECTIONS[options.only]
            section(options.count or usual)
        else:
            RUN_SECTIONS[options.only](runs, options.runs_dir)
        print(f"peak memory {peak_memory_bytes() / 2**20:,.0f} MiB\n")
        return 0
    print("  ".join(f"{what}: {value}" for what, value in machine().items()))
    for name in [*SECTIONS, *(["real"] if runs else []), "request"]:
        command = [sys.argv[0], "--only", name, "--runs-dir", options.runs_dir]
        command += ["--runs", options.runs] if name == "real" else []
        print(f"$ python {' '.join(command)}", flush=True)
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        status = subprocess.run([sys.executable, *command], check=False, env=one_thread).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
