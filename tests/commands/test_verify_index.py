"""`make verify-index` on a small published run: the same recall as when it was published, and what happens if not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.commands.console import main as console
from twotower.commands.verify_index import main
from twotower.errors import BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.index_check import refuse_drop, verify_index
from twotower.runs.indexing import build_index
from twotower.runs.publishing import publish_index
from twotower.types import NO_ITEM, TopK

CELLS = {"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 12, "nprobe": 4}
QUICK = {"calls": 5}


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


def claim(**facts):
    """Publishes the index that is there once more, with other claims."""
    bundle = Bundle.open()
    publish_index(bundle, bundle.index(), {**bundle.index_manifest(), **facts})


@pytest.mark.parametrize(("n_queries", "seed"), [(7, 3), (10_000, 1)])
def test_recall_is_exactly_that_of_the_publishing_with_its_users(here, n_queries, seed):
    built = build_index(CELLS, recall_at=(5, 20), min_recall=0.1, n_queries=n_queries, seed=seed)
    verified = verify_index(**QUICK)
    assert verified.recall == verified.claimed == built.recall
    assert 0.1 < verified.recall[20] < 1  # so that other users would give another figure
    assert set(verified.drops.values()) == {0}


def test_other_users_and_lengths_can_be_asked_for(here):
    build_index(CELLS, recall_at=(5,), min_recall=0.1, n_queries=7)
    verified = verify_index(n_queries=4, seed=9, recall_at=[5, 30], **QUICK)
    assert (verified.n_queries, list(verified.recall), list(verified.drops)) == (4, [5, 30], [5])


def test_bytes_are_those_of_the_files_and_of_the_shared_vectors(here):
    build_index(CELLS, min_recall=0.1)
    size = verify_index(**QUICK).footprint
    files = {p.name: p.stat().st_size for p in (Bundle.open().directory / "index").iterdir()}
    assert size.own == sum(files.values()) - files["manifest.json"] - files["index.json"]
    assert size.including - size.beside == 4 * here.dim


def test_times_are_measured_for_each_length_up_to_the_catalogue(here):
    build_index(CELLS, min_recall=0.1)
    verified = verify_index(latency_at=(10, 100, 500), threads=1, **QUICK)
    assert [(t.k, t.calls) for t in verified.latencies] == [(10, 5), (60, 5)]  # 60 cars
    assert all(0 < t.p50_ms <= t.p99_ms for t in verified.latencies)
    assert set(verified.queries_per_s) == {10, 60}
    assert verified.threads == 1


@pytest.mark.parametrize(("claimed", "status"), [(1.0, 0), (1.009, 0), (1.011, 1)])
def test_a_loss_of_more_than_a_hundredth_is_exit_status_1(here, capsys, claimed, status):
    build_index({"_target_": "twotower.ann.exact.ExactIndex"}, recall_at=(10,))
    claim(recall={"10": claimed})
    assert main(["calls=5"]) == status
    printed = capsys.readouterr()
    assert "recall@10" in printed.out
    if status:
        assert "recall@10 is 1.0000, but 1.0110 was measured when the index of run 'small' was published" in printed.err
        assert "make build-index" in printed.err


def test_an_index_that_finds_less_than_before_is_reported(here, monkeypatch):
    build_index({"_target_": "twotower.ann.exact.ExactIndex"}, recall_at=(10,))
    every = ExactIndex.search

    def search_half(self, vectors, k):
        found = every(self, vectors, k)
        hidden = found.items % 2 == 1
        return TopK(np.where(hidden, NO_ITEM, found.items), np.where(hidden, -np.inf, found.scores).astype(np.float32))

    half = type("Half", (ExactIndex,), {"search": search_half})
    monkeypatch.setattr("twotower.runs.bundle.locate", lambda *_: half)
    monkeypatch.setattr("twotower.ann.files.backend_of", lambda _: "twotower.ann.exact.ExactIndex")
    verified = verify_index(**QUICK)
    assert verified.recall[10] < 0.9
    with pytest.raises(BundleError, match=r"recall@10 is 0\.\d+, but 1.0000"):
        refuse_drop(verified, 0.01)
    refuse_drop(verified, 1.0)


def test_a_damaged_index_is_one_line(here, capsys):
    build_index(CELLS, min_recall=0.1)
    file = next((Bundle.open().directory / "index").glob("*.npy"))
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    capsys.readouterr()  # the building's progress
    assert main([]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("BundleError: ")
    assert file.name in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_changed_index_is_not_measured_with_vectors_that_it_no_longer_holds(here):
    build_index(CELLS, min_recall=0.1)
    bundle = Bundle.open()
    index = bundle.index()
    index.update(np.array([3]), np.ones((1, here.dim), np.float32))
    publish_index(bundle, index, {})
    with pytest.raises(BundleError, match="1 items of the index of run 'small' were changed"):
        verify_index(**QUICK)


def test_figures_are_printed_and_written_as_json(here, capsys):
    build_index(CELLS, recall_at=(10,), min_recall=0.1)
    assert main(["json=figures.json", "calls=5", "latency_at=[10]"]) == 0
    printed, figures = capsys.readouterr().out, json.loads(Path("figures.json").read_text())
    assert "run small: KMeansIndex of 60 x 8, inner_product" in printed
    line = next(line for line in printed.splitlines() if line.startswith("one query, k=10, p99"))
    assert line.split()[-2:] == [f"{figures['latencies'][0]['p99_ms']:.3f}", "ms"]
    assert figures["recall"]["10"] == figures["claimed"]["10"]
    assert figures["footprint"]["count"] == 60


def test_nothing_of_the_run_is_changed(here):
    build_index(CELLS, min_recall=0.1)
    before = {p: p.read_bytes() for p in here.runs_dir.rglob("*") if p.is_file()}
    assert main(["calls=5"]) == 0
    assert {p: p.read_bytes() for p in here.runs_dir.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "run 'small' has no index to verify; build one with `make build-index`"),
        (["run=smal"], "no run 'smal'"),
        (["max_dro=1"], "max_dro"),
        (["--run", "small"], "'--run': this command takes KEY=VALUE"),
    ],
)
def test_wrong_arguments_are_one_line(here, capsys, arguments, says):
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_job_file_and_sub_command_are_the_same_command(tmp_path, monkeypatch, capsys):
    job = Path(__file__).parents[2] / "index" / "verify.py"
    run = subprocess.run([sys.executable, str(job)], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (1, "BundleError: no run in runs/: type `python -m twotower.train` first\n")
    monkeypatch.chdir(tmp_path)
    assert console(["verify-index"]) == 1
    assert capsys.readouterr().err == run.stderr


def test_help_names_the_options(capsys):
    assert main(["--help"]) == 0
    assert "max_drop=0.01" in capsys.readouterr().out
