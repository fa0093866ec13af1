"""`make build-index` on a small published run: built, measured, exchanged; a poor index is not published."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.commands.build_index import main
from twotower.commands.recommend import main as recommend
from twotower.errors import BundleError
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import build_index, user_samples
from twotower.types import NO_ITEM, TopK

EXACT = {"_target_": "twotower.ann.exact.ExactIndex", "metric": "inner_product"}


@pytest.fixture
def here(small_run, monkeypatch):
    monkeypatch.chdir(small_run.runs_dir.parent)
    return small_run


def test_index_is_built_measured_and_found_by_the_run(here):
    built = build_index(EXACT, recall_at=(5, 20))
    assert (built.run, built.backend, built.count) == ("small", "ExactIndex", 60)
    assert built.recall == {5: 1.0, 20: 1.0}
    manifest = Bundle.open().index_manifest()
    assert manifest["options"] == {"metric": "inner_product"}
    assert manifest["recall"] == {"5": 1.0, "20": 1.0}
    assert (manifest["dim"], manifest["count"]) == (here.dim, 60)
    assert isinstance(Bundle.open().index(), ExactIndex)


def test_lengths_above_the_catalogue_are_left_out(here):
    assert list(build_index(EXACT, recall_at=(10, 100, 500)).recall) == [10]
    assert list(build_index(EXACT, recall_at=(100, 500)).recall) == [60]


def test_same_lists_with_and_without_the_index(here, capsys):
    recommend(["--user", "u3"])
    before = capsys.readouterr().out
    assert main([]) == 0
    capsys.readouterr()
    recommend(["--user", "u3"])
    after = capsys.readouterr().out
    assert "make build-index" in before
    assert "make build-index" not in after
    assert before.splitlines()[:-1] == after.splitlines()


def test_effort_is_as_small_as_the_target_allows(here):
    cells = {"_target_": "twotower.ann.kmeans.KMeansIndex", "cells": 12, "nprobe": 12}
    thorough, sloppy = (build_index(cells, target_recall=target, min_recall=0.1) for target in (1.0, 0.3))
    assert thorough.recall[10] > sloppy.recall[10] >= 0.1
    nprobe = Bundle.open().index_manifest()["options"]["nprobe"]
    assert sloppy.effort == f"nprobe {nprobe}"
    assert nprobe < 12
    assert Bundle.open().index().nprobe == nprobe


def test_index_in_a_run_does_not_store_the_vectors_again(here):
    for backend in ("kmeans.KMeansIndex", "faiss_factory.FaissIndex", "annoy_trees.AnnoyIndex"):
        build_index({"_target_": f"twotower.ann.{backend}"}, min_recall=0.1)
        assert "vectors.npy" not in Bundle.open().index_manifest()["files"]
        assert len(Bundle.open().index()) == 60


def test_index_that_finds_too_little_is_not_published_and_the_old_one_stays(here, monkeypatch):
    build_index(EXACT)
    before = Bundle.open().index_manifest()

    def search_half(self, vectors, k):
        found = self.every(vectors, k)
        hidden = found.items % 2 == 1
        return TopK(np.where(hidden, NO_ITEM, found.items), np.where(hidden, -np.inf, found.scores).astype(np.float32))

    half = type("Half", (ExactIndex,), {"every": ExactIndex.search, "search": search_half})
    monkeypatch.setattr("twotower.runs.indexing.instantiate", lambda options, kind: half())
    with pytest.raises(BundleError, match=r"not published: recall@10 is 0\.\d+, below min_recall=0.95"):
        build_index(EXACT)
    assert Bundle.open().index_manifest() == before
    assert build_index(EXACT, min_recall=0.1).recall[10] < 0.95


def test_users_without_a_history_do_not_measure(here):
    calibrating, held_out = user_samples(Bundle.open(), 10_000, seed=0)
    assert len(calibrating) + len(held_out) == here.n_active
    assert calibrating.shape[1] == held_out.shape[1] == here.dim


def test_no_user_both_calibrates_and_measures(here):
    calibrating, held_out = user_samples(Bundle.open(), 5, seed=0)
    assert not (calibrating[:, None] == held_out[None]).all(axis=2).any()


def test_sample_is_the_same_for_the_same_seed(here):
    one, two, other = (np.concatenate(user_samples(Bundle.open(), 5, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_command_says_what_it_built(here, capsys):
    assert main(["run=small", "index=exact", "n_queries=20"]) == 0
    printed = capsys.readouterr()
    assert "run small: ExactIndex of 60 items in" in printed.out
    assert "recall@10 1.0000" in printed.out
    assert "build index" in printed.err  # the progress bar


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run=smal"], "no run 'smal' in runs/; did you mean small"),
        (["index=fais"], "index=fais"),
        (["index.metric=dot"], "metric 'dot': choose one of"),
        (["min_recal=1"], "min_recal"),
        (["--run", "small"], "'--run': this command takes KEY=VALUE"),
    ],
)
def test_wrong_arguments_are_one_line(here, capsys, arguments, says):
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_help_lists_the_backends(capsys):
    assert main(["--help"]) == 0
    assert "exact" in capsys.readouterr().out


def test_job_file_is_the_same_command(tmp_path):
    job = Path(__file__).parents[2] / "index" / "build.py"
    run = subprocess.run([sys.executable, str(job)], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "BundleError: no run in runs/: type `python -m twotower.train` first\n"
