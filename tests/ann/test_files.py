"""Files of saved indexes: what was written comes back, what was changed is refused, lists may lie on the disk."""

import errno
import json
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.disk_lists import LISTS, merge_on_disk, read_native, save_disk_lists, write_native
from twotower.ann.exact import ExactIndex
from twotower.ann.files import FACTS, backend_of, check_files, read_facts, write_facts
from twotower.ann.kmeans import KMeansIndex
from twotower.errors import BundleError, IndexMismatch

OPTIONS = {"options": {"metric": "cosine"}, "count": 3, "dim": 2, "needs_vectors": False}


@pytest.fixture
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    (directory / "a.bin").write_bytes(bytes(range(20)))
    (directory / "b.bin").write_bytes(b"")
    write_facts(directory, ExactIndex, OPTIONS, None)
    return directory


def test_facts_come_back_with_size_and_digest_of_every_file(saved):
    facts = read_facts(saved, ExactIndex)
    assert {name: facts[name] for name in OPTIONS} == OPTIONS
    assert {name: file["size"] for name, file in facts["files"].items()} == {"a.bin": 20, "b.bin": 0}
    check_files(saved, facts)


@given(place=st.integers(0, 19), change=st.integers(1, 255))
def test_any_changed_byte_is_found(tmp_path_factory, place, change):
    directory = tmp_path_factory.mktemp("one")
    content = bytes(range(20))
    (directory / "a.bin").write_bytes(content)
    write_facts(directory, ExactIndex, OPTIONS, None)
    (directory / "a.bin").write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    with pytest.raises(BundleError, match=r"a\.bin is damaged: SHA-256"):
        check_files(directory, read_facts(directory, ExactIndex))


@pytest.mark.parametrize("content", [b"", bytes(range(19)), bytes(range(21)), None])
def test_another_size_is_told_without_reading_the_file(saved, content, monkeypatch):
    (saved / "a.bin").unlink()
    if content is not None:
        (saved / "a.bin").write_bytes(content)
    monkeypatch.setattr("twotower.storage.atomic.sha256_of", None)
    with pytest.raises(BundleError, match="bytes, saved were 20; build the index again"):
        check_files(saved, read_facts(saved, ExactIndex))


def test_any_changed_fact_is_found(saved):
    path = saved / FACTS
    whole = json.loads(path.read_text())
    for name in whole:
        path.write_text(json.dumps({**whole, name: "other"}))
        with pytest.raises(BundleError, match="another SHA-256 than it says"):
            read_facts(saved, ExactIndex)


def test_another_class_is_named_beside_the_one_that_was_asked_for(saved):
    with pytest.raises(IndexMismatch, match=f"{backend_of(ExactIndex)}, asked for was {backend_of(KMeansIndex)}"):
        read_facts(saved, KMeansIndex)


def trained(vectors, cells=4):
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells},Flat")
    index.train(vectors)
    return index


@pytest.fixture
def vectors():
    return np.random.default_rng(2).normal(size=(300, 6)).astype(np.float32)


@pytest.mark.parametrize("memory_map", [True, False])
def test_a_faiss_index_comes_back_as_it_was_written(vectors, tmp_path, memory_map):
    index = trained(vectors)
    index.add(vectors)
    write_native(index, tmp_path / "index.faiss")
    loaded = read_native(tmp_path / "index.faiss", memory_map=memory_map)
    for ours, theirs in zip(loaded.search(vectors[:9], 5), index.search(vectors[:9], 5), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_full_disk_is_noticed_while_faiss_writes(vectors, tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def write(self, data):
            raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "open", lambda *a, **k: Full())
    with pytest.raises(Exception, match="no space left"):
        write_native(trained(vectors), tmp_path / "index.faiss")


def test_merged_lists_on_the_disk_are_those_of_one_piece_and_move_with_the_index(vectors, tmp_path):
    empty, shards = trained(vectors), []
    faiss.write_index(empty, str(tmp_path / "empty"))
    for start in (0, 100, 250):  # shards of different sizes
        shard = faiss.read_index(str(tmp_path / "empty"))
        rows = np.arange(start, {0: 100, 100: 250, 250: 300}[start])
        shard.add_with_ids(vectors[rows], rows)
        shards.append(tmp_path / f"shard{start}")
        write_native(shard, shards[-1])
    merged = faiss.read_index(str(tmp_path / "empty"))
    merge_on_disk(merged, shards, tmp_path / "lists")
    empty.add(vectors)
    new = tmp_path / "new"
    new.mkdir()
    write_native(merged, new / "index.faiss")
    save_disk_lists(merged, new)
    (tmp_path / "lists").unlink()
    loaded = read_native(new / "index.faiss", memory_map=True)
    for index in (empty, loaded):
        index.nprobe = 4
    for ours, theirs in zip(loaded.search(vectors[:9], 5), empty.search(vectors[:9], 5), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_index_in_memory_has_no_file_of_lists(vectors, tmp_path):
    for index in (trained(vectors), faiss.IndexFlatL2(6)):
        save_disk_lists(index, tmp_path)
    assert not (tmp_path / LISTS).exists()
