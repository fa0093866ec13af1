"""Index shards: merged in memory or on disk, they are the index that was built in one piece from the same training."""

import numpy as np
import pytest

from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.shards import check_mergeable, fill_shard, merged, ranges, train_shared
from twotower.errors import BadConfig, BadInput
from twotower.protocols import Metric

N, D = 3000, 16
FACTORIES = ["IVF{cells},PQ{dim}x4fsr", "IVF{cells},SQfp16", "IVF{cells},Flat", "OPQ4,IVF{cells},PQ4x4"]
SHARDS = [700, 1024, 2999]
"""Rows in each; none divides N, so the last shard is shorter than the others."""


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, D))
    raw = centres[rng.integers(0, 40, N)] + 0.5 * rng.standard_normal((N, D))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    return vectors[::30] + np.float32(0.1) * np.random.default_rng(1).standard_normal((100, D)).astype(np.float32)


def index_of(factory: str, metric: Metric = "inner_product") -> FaissIndex:
    return FaissIndex(factory=factory, metric=metric, cells=16, nprobe=8, k_factor=0)


def sharded(factory, vectors, rows, folder, merge, metric="inner_product") -> FaissIndex:
    train_shared(index_of(factory, metric), vectors, folder / "trained")
    files = []
    for number, span in enumerate(ranges(len(vectors), rows)):
        files.append(folder / f"{number}.faiss")
        fill_shard(folder / "trained", vectors, span, files[-1])
    native = merged(folder / "trained", files, merge=merge, lists=folder / "lists")
    return index_of(factory, metric).over(native, vectors)


def assert_same_answers(a, b, queries):
    for k in (1, 50):
        one, other = a.search(queries, k), b.search(queries, k)
        np.testing.assert_array_equal(one.items, other.items)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("rows", SHARDS)
@pytest.mark.parametrize("factory", FACTORIES)
def test_merged_in_memory_it_is_the_same_to_the_byte(factory, rows, vectors, queries, tmp_path):
    whole = index_of(factory).build(vectors)
    parts = sharded(factory, vectors, rows, tmp_path, "memory")
    assert_same_answers(whole, parts, queries)
    saved = []
    for name, index in (("whole", whole), ("parts", parts)):
        (tmp_path / name).mkdir()
        index.save(tmp_path / name)
        saved.append((tmp_path / name / "index.faiss").read_bytes())
    assert saved[0] == saved[1]


@pytest.mark.parametrize("rows", SHARDS)
@pytest.mark.parametrize("factory", FACTORIES[1:])
def test_merged_on_disk_it_answers_the_same_before_and_after_saving(factory, rows, vectors, queries, tmp_path):
    whole = index_of(factory).build(vectors)
    parts = sharded(factory, vectors, rows, tmp_path, "disk")
    assert_same_answers(whole, parts, queries)
    home = tmp_path / "home"
    home.mkdir()
    parts.save(home)
    del parts
    (tmp_path / "lists").unlink()
    for memory_map in (True, False):
        opened = FaissIndex.load(home, memory_map=memory_map)
        assert len(opened) == N
        assert_same_answers(whole, opened, queries)


def test_an_index_with_lists_on_disk_can_be_moved_changed_and_saved_again(vectors, queries, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    sharded(FACTORIES[1], vectors, 700, tmp_path, "disk").save(tmp_path / "one")
    moved = (tmp_path / "one").rename(tmp_path / "elsewhere")
    opened = FaissIndex.load(moved)
    best = opened.search(queries[:1], 1).items[0]
    opened.remove(best)
    opened.save(tmp_path / "two")
    again = FaissIndex.load(tmp_path / "two")
    assert best[0] not in again.search(queries[:1], 50).items
    assert_same_answers(opened, again, queries)


def test_a_file_of_lists_that_was_damaged_is_refused(vectors, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    sharded(FACTORIES[1], vectors, 700, tmp_path, "disk").save(home)
    content = bytearray((home / "lists.ivfdata").read_bytes())
    content[1000] ^= 1
    (home / "lists.ivfdata").write_bytes(content)
    with pytest.raises(Exception, match=r"lists\.ivfdata"):
        FaissIndex.load(home)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_other_metrics_are_merged_too(metric, vectors, queries, tmp_path):
    whole = index_of(FACTORIES[0], metric).build(vectors)
    assert_same_answers(whole, sharded(FACTORIES[0], vectors, 700, tmp_path, "memory", metric), queries)


def test_what_cannot_be_merged_is_refused_before_anything_is_built(vectors, tmp_path):
    for factory, merge, says in (
        ("Flat", "memory", "shards need inverted lists"),
        ("HNSW32", "memory", "shards need inverted lists"),
        ("IVF{cells},PQ{dim}x4fsr", "disk", "4-bit codes cannot be merged on disk; take merge=memory"),
        ("IVF{cells},Flat", "tape", "merge 'tape': choose one of memory, disk"),
    ):
        with pytest.raises(BadConfig, match=says):
            check_mergeable(index_of(factory), merge)
    with pytest.raises(BadConfig, match="metric cosine: shards need vectors of length 1"):
        train_shared(index_of("IVF{cells},Flat", "cosine"), 2 * vectors, tmp_path / "trained")


def test_an_index_over_other_vectors_is_refused(vectors):
    native = index_of("IVF{cells},Flat").train(vectors)
    with pytest.raises(BadInput, match=r"holds \(0, 16\) vectors, given are \(3000, 16\)"):
        index_of("IVF{cells},Flat").over(native, vectors)


def test_lists_without_any_vector_are_merged_too(vectors, queries, tmp_path):
    few = np.repeat(vectors[:3], 40, axis=0)  # three places for sixteen cells
    parts = sharded(FACTORIES[0], few, 50, tmp_path, "memory")
    assert set(parts.search(queries[:5], 3).items.ravel().tolist()) <= set(range(120))
