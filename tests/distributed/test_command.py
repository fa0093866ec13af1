"""The command in two processes: one run is published, both end when one dies, and one or two go on from there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twotower.commands.recommend import main as recommend
from twotower.commands.train import main
from twotower.runs.bundle import Bundle

ROOT = Path(__file__).parents[2]
SMALL = (
    "data=own", f"data.source.path={ROOT / 'examples' / 'own_data' / 'shop.yaml'}", "run=shop", "progress=false",
    "towers.dim=16", "towers.history_layers=1", "towers.history_length=10", "towers.dropout=0", "towers.rank_dropout=0",
    "objective.retrieval_candidates=20", "train.epochs=2", "train.batch_size=128", "threads=1",
    "device=cpu", "train.checkpoint_seconds=-1", "train.refit=true", "train.shard_tables_from=30",
)  # fmt: skip
"""Sharded tables and a last fit: all that a checkpoint of several processes holds."""
DYING = """
import itertools, os, sys
from twotower.models.two_tower.joint_task import JointTask
from twotower.commands.train import main

loss, steps = JointTask._loss, itertools.count()

def mortal(self, batch, rng):
    if os.environ.get("RANK") == "1" and next(steps) == 3:
        os.kill(os.getpid(), 9)
    return loss(self, batch, rng)

JointTask._loss = mortal
sys.exit(main(sys.argv[1:]))
"""


def curve(folder: Path) -> list[float]:
    fits = json.loads((folder / "shop" / "training.json").read_text())
    return [row["loss"] for fit in fits for row in fit["history"]]


@pytest.mark.slow
def test_torchrun_publishes_one_run_with_the_curve_of_one_process(tmp_path, capsys):
    assert main([*SMALL, f"runs_dir={tmp_path / 'one'}"]) == 0
    shown = capsys.readouterr().out
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "twotower.train",
         *SMALL, f"runs_dir={tmp_path / 'two'}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == len(shown.splitlines())  # the leader alone speaks
    assert run.stdout.splitlines()[0] == shown.splitlines()[0] + "; 2 processes"
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [".shop.lock", "latest", "shop"]
    assert recommend(["--user", "U001", "--run", "shop", "--runs-dir", str(tmp_path / "two"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) > 0


@pytest.mark.slow
def test_when_one_process_dies_the_other_says_so_publishes_nothing_and_one_or_two_go_on(tmp_path, both, capsys):
    assert main([*SMALL, f"runs_dir={tmp_path / 'unkilled'}"]) == 0
    capsys.readouterr()
    words = [*SMALL, f"runs_dir={tmp_path / 'runs'}"]
    (status, _, said), (killed, _, _) = both(["-c", DYING, *words])
    assert (status, killed) == (1, -signal.SIGKILL)
    assert said.splitlines()[-1].startswith("WorkerLost: another process of this training ended or is not answering")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [".shop.training"]
    assert main(words) == 0
    assert "going on from the checkpoint" in capsys.readouterr().out
    assert Bundle.open("shop", tmp_path / "runs").model().item_vectors.shape[1] == 16
    assert curve(tmp_path / "runs") == pytest.approx(curve(tmp_path / "unkilled"), rel=1e-4)


@pytest.mark.slow
def test_what_is_wrong_with_the_settings_or_the_losses_is_said_by_every_process(tmp_path, both):
    for word, says in (("train.lr=1e30", "TrainingDiverged: "), ("train.epochs=0", "BadConfig: train: epochs=0")):
        for status, _, said in both(["-m", "twotower.train", *SMALL, word, f"runs_dir={tmp_path / 'runs'}"]):
            assert status == 1
            assert said.splitlines()[-1].startswith(says)
    assert not (tmp_path / "runs" / "shop").exists()
