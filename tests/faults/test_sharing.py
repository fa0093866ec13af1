"""Two processes that serve one index: what they share in memory, and that threads do not meet in it."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from twotower.config.compose import instantiate
from twotower.runs.publishing import publish_index

N, D = 20_000, 32
FAISS = {"_target_": "twotower.ann.faiss_factory.FaissIndex", "cells": 64, "train_per_cell": 80}
MAPPED = {
    "exact": {"_target_": "twotower.ann.exact.ExactIndex"},
    "kmeans": {"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 64, "nprobe": 64},
    "annoy": {"_target_": "twotower.ann.annoy_trees.AnnoyIndex", "n_trees": 5, "search_k": 200_000},
    "Flat": FAISS | {"factory": "Flat"},
    "IVF-Flat": FAISS | {"factory": "IVF{cells},Flat", "nprobe": 64},
    "IVF-SQfp16": FAISS | {"factory": "IVF{cells},SQfp16", "nprobe": 64},
    "IVF-SQ8": FAISS | {"factory": "IVF{cells},SQ8", "nprobe": 64},
    "IVF-PQ": FAISS | {"factory": "IVF{cells},PQ16x4", "nprobe": 64},
    "OPQ-IVF-PQ": FAISS | {"factory": "OPQ16,IVF{cells},PQ16x4", "nprobe": 64, "train_per_cell": 3},
    "HNSW": FAISS | {"factory": "HNSW8", "ef_search": 64},
}
COPIED = {
    "IVF-fast-scan": FAISS | {"factory": "IVF{cells},PQ{dim}x4fsr", "nprobe": 64},
    "fast-scan": FAISS | {"factory": "PQ{dim}x4fs"},
}
"""faiss rearranges 4-bit codes when it opens them, so every process holds its own copy."""

SERVE = """
import ctypes, gc, json, sys
import numpy as np
from twotower.runs.bundle import Bundle
import twotower.ann.annoy_trees, twotower.ann.faiss_factory, twotower.ann.kmeans

def held():
    gc.collect()
    trim(0)  # what is freed goes back: used again, it would hide a copy; kept, it would look like one
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024

def mapped(folder):
    total, inside = {"Rss": 0, "Pss": 0, "Private_Dirty": 0}, False
    for line in open("/proc/self/smaps"):
        key, *rest = line.split()
        if "-" in key and not key.endswith(":"):
            inside = folder in line
        elif inside and key[:-1] in total:
            total[key[:-1]] += int(rest[0]) * 1024
    return total

trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)
for run in sys.argv[1:]:
    bundle = Bundle.open(run)
    queries = np.array(bundle.item_vectors()[:64])
    before = held()
    index = bundle.index()
    opened = held() - before
    found = index.search(queries, 10).items
    float(np.asarray(index._vectors).sum())
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"opened": opened, "items": found.tolist(), **mapped(str(bundle.directory))}), flush=True)
    sys.stdin.readline()
    del index
"""


@pytest.fixture(scope="module")
def served_twice(tmp_path_factory, runs_in):
    """Per index what two processes say that have it open at the same time: bytes, and whether they answer right."""
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("only Linux tells what memory is shared")
    drawn = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    runs, truth = runs_in(tmp_path_factory.mktemp("shared")), {}
    for name, options in (MAPPED | COPIED).items():
        bundle = runs.publish(name, vectors)
        index = instantiate(options).build(bundle.item_vectors())
        publish_index(bundle, index, {})
        truth[name] = index.search(vectors[:64], 10).items.tolist()
    command = [sys.executable, "-c", SERVE, *(str(runs.directory / name) for name in truth)]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    found = {}
    for name, items in truth.items():
        assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
        said = [json.loads(_asked(one)) for one in both]
        for one in both:
            one.stdin.write("next\n")
            one.stdin.flush()
        size = sum(path.stat().st_size for path in (runs.directory / name / "index").iterdir())
        found[name] = [one | {"size": size, "right": one.pop("items") == items} for one in said]
    for one in both:
        one.communicate(timeout=30)
    return found


def _asked(process):
    process.stdin.write("measure\n")
    process.stdin.flush()
    return process.stdout.readline()


@pytest.mark.parametrize("kind", MAPPED)
def test_processes_share_the_pages_of_vectors_and_codes(served_twice, kind):
    for one in served_twice[kind]:
        assert one["right"]
        assert one["Rss"] >= 4 * N * D  # all vectors were read through the map
        assert one["Pss"] <= 0.55 * one["Rss"]  # each page counts half for each of two processes
        assert one["Private_Dirty"] == 0
        assert one["opened"] <= 0.1 * one["size"] + (1 << 17)


@pytest.mark.parametrize("kind", COPIED)
def test_fast_scan_codes_are_copied_but_the_vectors_are_shared(served_twice, kind):
    for one in served_twice[kind]:
        assert one["right"]
        assert one["Rss"] >= 4 * N * D
        assert one["Pss"] <= 0.55 * one["Rss"]
        assert 0.8 * one["size"] <= one["opened"] <= 1.5 * one["size"] + (1 << 17)


@pytest.fixture(scope="module", params=range(2), ids=["ordinary", "with changes"])
def changed(request):
    return bool(request.param)


def test_eight_threads_get_what_one_gets(options, vectors, queries, changed):
    """Each thread searches the same index with other options and other k, many times over."""
    index = instantiate(options).build(vectors)
    if changed:
        index.add(queries[:3])
        index.remove(np.arange(0, 300, 7))
    low, high = index.effort_range() if index.effort else (0, 0)
    efforts = [low, 2 * low, 4 * low, high] if index.effort else [0]
    tasks = [(min(effort, high), k) for effort in efforts for k in (1, 7, 40, 290)] * 4

    def answer(task):
        effort, k = task
        chosen = index.with_options(**{index.effort: effort}) if index.effort else index
        return chosen.search(queries, k)

    alone = [answer(task) for task in tasks]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(answer, tasks))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.items, other.items)
        np.testing.assert_array_equal(one.scores, other.scores)
