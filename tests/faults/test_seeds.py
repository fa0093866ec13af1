"""The same seed gives the same files, byte for byte, at one thread and at two."""

import json
import subprocess
import sys

import pytest

BUILD = """
import hashlib, json, os, sys, tempfile
from pathlib import Path
import faiss, numpy as np
from threadpoolctl import threadpool_limits
from twotower.config.compose import instantiate

def digests(options, vectors):
    with tempfile.TemporaryDirectory() as folder:
        instantiate(options).build(vectors).save(Path(folder), shared=vectors)
        return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(Path(folder).iterdir())}

threads = int(sys.argv[1])
threadpool_limits(threads)
faiss.omp_set_num_threads(threads)
drawn = np.random.default_rng(0).normal(size=(12_000, 32)).astype(np.float32)
vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
print(json.dumps({name: digests(options, vectors) for name, options in json.loads(sys.argv[2]).items()}))
"""
FAISS = {"_target_": "twotower.ann.faiss_factory.FaissIndex", "cells": 128}
SEEDED = {
    "fast scan": FAISS,
    "IVF-SQfp16": FAISS | {"factory": "IVF{cells},SQfp16"},
    "IVF-PQ8": FAISS | {"factory": "IVF{cells},PQ8x8np"},
    "OPQ": FAISS | {"factory": "OPQ8,IVF{cells},PQ8x4fs", "train_per_cell": 2},
    "PCA": FAISS | {"factory": "PCA16,IVF{cells},SQfp16"},
    "HNSW": FAISS | {"factory": "HNSW8"},
    "kmeans": {"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 128},
    "kmeans euclidean": {"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 128, "metric": "euclidean"},
    "annoy": {"_target_": "twotower.ann.annoy_trees.AnnoyIndex", "n_trees": 8},
}


def files_of(options, threads):
    """Digests by file, built in a process of its own, since a process that ran two threads must not be forked later."""
    command = [sys.executable, "-c", BUILD, str(threads), json.dumps(options)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def built():
    return {threads: files_of(SEEDED, threads) for threads in (1, 2)}


@pytest.mark.parametrize("kind", SEEDED)
def test_one_and_two_threads_write_the_same_bytes(built, kind):
    assert built[1][kind] == built[2][kind]


def test_another_seed_writes_other_bytes(built):
    others = files_of({kind: options | {"seed": 5} for kind, options in SEEDED.items()}, 1)
    for kind, files in others.items():
        native = [name for name in files if name.endswith((".faiss", ".annoy")) or name == "centroids.npy"]
        for name in native:
            assert (files[name] == built[1][kind][name]) == (kind == "HNSW"), (kind, name)
