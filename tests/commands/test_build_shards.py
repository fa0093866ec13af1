"""`python -m twotower build-shards`: the published index is, to the byte, the one that build_index makes at once."""

import numpy as np
import pytest

from twotower.commands.build_shards import build_shards, main
from twotower.errors import BundleError
from twotower.jobs import index_shards
from twotower.jobs.local import LocalEngine
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import build_index

OPTIONS = {"_target_": "twotower.ann.faiss_factory.FaissIndex", "cells": 4}
MEASURED = {"recall_at": (5, 20), "target_recall": None, "min_recall": 0.1, "n_queries": 50, "seed": 0}


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


def shards(run="small", **changes):
    options = {"engine": LocalEngine(), "shard_rows": 25, "merge": "memory", **MEASURED, **changes}
    return build_shards(options.pop("options", OPTIONS), run, "runs", **options)


def index_bytes() -> bytes:
    return (Bundle.open().directory / "index" / "index.faiss").read_bytes()


def test_the_published_index_is_the_one_built_in_one_piece(here):
    built = shards()
    assert (built.run, built.backend, built.count) == ("small", "FaissIndex", 60)
    manifest, content = Bundle.open().index_manifest(), index_bytes()
    whole = build_index(OPTIONS, **{k: v for k, v in MEASURED.items() if k != "seed"})
    assert content == index_bytes()
    assert built.recall == whole.recall
    assert manifest["options"] == Bundle.open().index_manifest()["options"]
    assert not (Bundle.open().directory / ".shards").exists()


def test_lists_on_disk_are_published_and_answer_the_same(here):
    options = {**OPTIONS, "factory": "IVF{cells},SQfp16", "k_factor": 0, "nprobe": 4}
    queries = np.asarray(Bundle.open().item_vectors()[:7])
    shards(options=options, merge="disk")
    on_disk = Bundle.open().index().search(queries, 10)
    assert "lists.ivfdata" in Bundle.open().index_manifest()["files"]
    build_index(options, min_recall=0.1)
    in_memory = Bundle.open().index().search(queries, 10)
    np.testing.assert_array_equal(on_disk.items, in_memory.items)
    np.testing.assert_array_equal(on_disk.scores, in_memory.scores)


def test_finished_shards_are_kept_until_the_index_is_published(here, monkeypatch):
    with pytest.raises(BundleError, match="not published: recall@5"):
        shards(min_recall=1.01)
    assert Bundle.open().index_manifest() is None
    filled = []
    monkeypatch.setattr(index_shards, "fill_shard", lambda *given: filled.append(given))
    monkeypatch.setattr(index_shards, "train_shared", lambda *given: filled.append(given))
    shards()
    assert filled == []
    assert Bundle.open().index_manifest()["count"] == 60


def test_a_shard_that_is_missing_or_damaged_is_filled_again(here, monkeypatch):
    with pytest.raises(BundleError):
        shards(min_recall=1.01)
    folder = Bundle.open().directory / ".shards"
    (folder / "shard-00001.faiss").unlink()
    (folder / "shard-00002.faiss").write_bytes(b"damaged")
    filled, fill = [], index_shards.fill_shard

    def counted(trained, vectors, rows, path):
        filled.append(rows.start)
        fill(trained, vectors, rows, path)

    monkeypatch.setattr(index_shards, "fill_shard", counted)
    shards()
    assert filled == [25, 50]
    content = index_bytes()
    build_index(OPTIONS, min_recall=0.1)
    assert content == index_bytes()


def test_command_says_what_it_built(here, capsys):
    assert main(["index.cells=4", "shard_rows=25", "min_recall=0.1"]) == 0
    printed = capsys.readouterr()
    assert "run small: FaissIndex of 60 items in" in printed.out
    assert "fill shards" in printed.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run=smal"], "no run 'smal' in runs/; did you mean small"),
        (["index=kmeans"], "index KMeansIndex: only faiss indexes are built in shards; take index=faiss"),
        (["index.factory=Flat"], "shards need inverted lists"),
        (["merge=disk"], "4-bit codes cannot be merged on disk"),
        (["shard_rows=0"], "shard_rows=0: write a whole number of at least 1"),
        (["engine=slurm"], "engine 'slurm': choose one of local, ray"),
    ],
)
def test_what_is_wrong_is_one_line(here, capsys, words, says):
    assert main(words) == 1
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_help_names_the_ways_to_merge(capsys):
    assert main(["--help"]) == 0
    assert "merge=memory" in capsys.readouterr().out
