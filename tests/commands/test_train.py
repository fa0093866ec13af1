"""`python -m twotower.train` on the example's files: publishes, goes on after a kill, refuses what does not fit."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from twotower.commands.train import main
from twotower.runs.bundle import Bundle
from twotower.storage.atomic import sha256_of

SHOP = Path(__file__).parents[2] / "examples" / "own_data" / "shop.yaml"
SMALL = (
    "data=own", f"data.source.path={SHOP}", "run=shop", "progress=false", "objective=joint", "towers=default",
    "objective.retrieval_candidates=20", "towers.dim=16", "towers.history_layers=1", "towers.history_length=10",
    "train.epochs=3", "train.batch_size=128", "threads=1", "device=cpu", "train.refit=true",
    "train.checkpoint_seconds=0",
)  # fmt: skip
"""Hard negatives beside a sampled softmax, and a last fit on train and validation: all that can be resumed."""

KILLED = """
import itertools, os, signal, sys
from twotower.models.two_tower.fitting import Fitting
from twotower.models.two_tower.joint_task import JointTask
from twotower.commands.train import main

run, loss = Fitting.run, JointTask._loss
deadly, fits, steps = (int(sys.argv[1]), int(sys.argv[2])), itertools.count(1), itertools.count()
fit = 0

def counted(*arguments, **options):
    global fit, steps
    fit, steps = next(fits), itertools.count()
    return run(*arguments, **options)

def mortal(self, batch, rng):
    if (fit, next(steps)) == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(self, batch, rng)

Fitting.run, JointTask._loss = counted, mortal
sys.exit(main(sys.argv[3:]))
"""
"""The command in a process that is killed at a step; words: number of the fit, of its step, then the command's."""


@pytest.fixture(scope="module", autouse=True)
def threads():
    """The command sets one thread; the other tests get theirs back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """A run that was never killed."""
    folder = tmp_path_factory.mktemp("unkilled")
    assert main([*SMALL, f"runs_dir={folder}"]) == 0
    return Bundle.open("shop", folder)


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Types the command in an empty folder; gives status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, flags: tuple[str, ...] = ()) -> tuple[int, str, str]:
        status = main([*flags, *SMALL, *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def kill_after(tmp_path):
    """Types the command in a process that is killed at a step of the first or the last fit."""

    def run(step: int, *words: str, fit: int = 1) -> None:
        shot = subprocess.run(
            [sys.executable, "-c", KILLED, str(fit), str(step), *SMALL, *words],
            cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        )  # fmt: skip
        assert shot.returncode == -signal.SIGKILL, shot.stderr

    return run


def test_a_run_is_published_whole(unkilled):
    names = {path.name for path in unkilled.directory.iterdir()}
    wanted = {
        "config.yaml", "manifest.json", "towers.safetensors", "ranker.safetensors", "item_vectors.npy", "encoders",
        "training.json", "logs", "checkpoints",
    }  # fmt: skip
    assert wanted <= names
    assert (unkilled.directory.parent / "latest").resolve() == unkilled.directory.resolve()
    assert unkilled.manifest["split"].startswith("time_quantile")
    assert unkilled.manifest["train_seconds"] > 0
    assert unkilled.config()["towers"]["dim"] == 16
    assert np.isfinite(unkilled.model().item_vectors).all()


def test_how_training_went_is_kept(unkilled):
    first, last = json.loads((unkilled.directory / "training.json").read_text())
    assert [row["epoch"] for row in first["history"]] == [0, 1, 2]
    assert {"loss", "validation", "preference", "similarity", "retrieval"} <= set(first["history"][0])
    assert last["epoch"] == first["best_epoch"] + 1


def test_it_says_what_it_trains_on_what_came_out_and_what_to_type_next(command):
    status, out, err = command("train.epochs=1", "train.refit=false")
    assert (status, err) == (0, "")
    facts, outcome, published, after = out.splitlines()
    assert facts.startswith("shop: 60 users, 80 items,")
    assert "trained 1 epochs in" in outcome
    assert "best validation MAP@10 0." in outcome
    assert published.startswith("published runs/shop")
    assert after.startswith("now: make build-index RUN=shop, or python -m twotower.recommend --user ID --run shop")


@pytest.mark.parametrize(
    ("fit", "step"),
    [
        pytest.param(1, 6, id="later epoch"),
        pytest.param(1, 2, id="first epoch", marks=pytest.mark.slow),
        pytest.param(2, 3, id="last fit", marks=pytest.mark.slow),
    ],
)
def test_killed_and_typed_again_it_publishes_the_very_same_towers(unkilled, command, kill_after, tmp_path, fit, step):
    kill_after(step, fit=fit)
    assert not (tmp_path / "runs" / "shop").exists()
    status, out, err = command()
    assert status == 0, err
    assert "going on from the checkpoint" in out
    published = tmp_path / "runs" / "shop"
    for name in ("towers.safetensors", "ranker.safetensors", "item_vectors.npy"):
        assert sha256_of(published / name) == sha256_of(unkilled.directory / name), name
    assert Bundle.open("shop", tmp_path / "runs").model_digest == unkilled.model_digest
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name.endswith(".training")] == []


@pytest.mark.slow
def test_after_a_kill_other_settings_are_refused_until_it_is_discarded(command, kill_after, tmp_path):
    kill_after(2)
    status, _, err = command("train.lr=0.01")
    assert status == 1
    assert err.count("\n") == 1
    assert "a training of run 'shop' with other settings was killed" in err
    assert "type its command again to finish it, give run=<another name>, or discard it with resume=false" in err
    status, out, _ = command("train.lr=0.01", "train.epochs=1", "train.refit=false", "resume=false")
    assert status == 0
    assert "going on" not in out
    assert Bundle.open("shop", tmp_path / "runs").config()["train"]["lr"] == 0.01


@pytest.mark.slow
def test_settings_that_only_show_do_not_stop_a_resume(command, kill_after):
    kill_after(2, "train.epochs=1", "train.refit=false")
    status, out, _ = command("train.epochs=1", "train.refit=false", "progress=true")
    assert status == 0
    assert "going on from the checkpoint" in out


def test_a_training_that_diverges_is_said_in_one_line(command, tmp_path):
    status, _, err = command("train.lr=1e30")
    assert status == 1
    assert err.startswith("TrainingDiverged: ")
    assert "at epoch 1, batch" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs" / "shop").exists()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("train.epochs=0", "train: epochs=0 must be at least 1"),
        ("device=tpu", "device='tpu' is unknown; use auto, cpu or cuda"),
        ("objective.temperature=0", "objective.temperature=0 must be above 0"),
        ("data.source.path=nowhere.yaml", "nowhere.yaml"),
        ("run=a/b", "run name 'a/b'"),
    ],
)
def test_an_option_that_makes_no_sense_is_said_in_one_line(command, word, says):
    status, _, err = command(word)
    assert status == 1
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_several_values_train_several_runs(command, tmp_path):
    words = ("train.seed=0,1", "run=seed-${train.seed}", "train.epochs=1", "train.refit=false")
    status, _, _ = command(*words, flags=("--multirun",))
    assert status == 0
    first, second = (Bundle.open(f"seed-{seed}", tmp_path / "runs") for seed in (0, 1))
    assert first.model_digest != second.model_digest


def test_the_chosen_settings_are_shown_without_training(command, tmp_path):
    status, out, _ = command(flags=("--cfg", "job"))
    assert status == 0
    assert "history_length: 10" in out
    assert not (tmp_path / "runs").exists()


def test_help_names_what_can_be_chosen(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("marketplace", "ml-1m", "own", "multi_cos_affine", "reference"):
        assert name in shown


ALS = ("data=own", f"data.source.path={SHOP}", "run=shop", "progress=false", "model=als", "model.dim=4", "threads=1")


def test_the_events_that_are_told_add_up(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*ALS, "data.positives.kinds=buy"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    told, split = line.split("; ")
    events = int(re.search(r"(\d+) events", told)[1])
    parts = re.sub(r".*?\): ", "", split)  # after the splitter's own numbers
    assert sum(int(n) for n in re.findall(r"(\d+) (?:train|validation|test|in none)", parts)) == events


def test_typed_again_it_says_what_becomes_of_the_run_that_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = []
    for _ in range(5):
        assert main(ALS) == 0
        said.append([line for line in capsys.readouterr().out.splitlines() if "is there" in line])
    stays = "run 'shop' is there: it stays as shop.1 when this training has ended"
    assert said == [[], [stays], [stays], [stays], [f"{stays}; shop.3, the oldest of 3 that are kept, goes"]]
    assert sorted(path.name for path in (tmp_path / "runs").glob("shop*")) == ["shop", "shop.1", "shop.2", "shop.3"]
