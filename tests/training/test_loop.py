"""The training loop: early stopping, exact resume after any kill, divergence, schedule, foreign checkpoints."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from twotower.errors import BundleError, TrainingDiverged
from twotower.training.ftrl import FTRL
from twotower.training.loop import Progress, Trainer

BATCHES = 4


class Killed(Exception):
    """Stands for a kill."""


class Line:
    """Fits a line with dropout; each epoch's steps also need a snapshot of the weight from the epoch's start.

    Args:
        figures: what validation says, epoch by epoch; None: nothing to watch.
        kill_at: (epoch, batch) at which the step raises before it does anything.
        poison_at: (epoch, batch) whose loss is NaN.
    """

    def __init__(self, figures=None, kill_at=None, poison_at=None, width=3) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Dropout(0.5), nn.Linear(width, 1))
        weight, bias = self.module[1].weight, self.module[1].bias
        self.optimizers = [torch.optim.Adam([weight], lr=0.1), FTRL([bias], lr=0.2)]
        self.figures, self.kill_at, self.poison_at = figures, kill_at, poison_at
        self.snapshot, self.rates, self.epoch = torch.empty(0), [], -1

    def start_epoch(self, epoch, kept):
        self.epoch = epoch
        self.snapshot = kept["snapshot"] if kept else self.module[1].weight.detach().clone()
        return {"snapshot": self.snapshot}

    def n_batches(self, epoch):
        return BATCHES

    def batches(self, epoch, start):
        for batch in range(start, BATCHES):
            yield 10, lambda batch=batch: self.step(epoch, batch)

    def step(self, epoch, batch) -> tuple[Tensor, dict[str, float]]:
        if (epoch, batch) == self.kill_at:
            raise Killed
        self.rates.append(self.optimizers[0].param_groups[0]["lr"])
        x = torch.linspace(0, 1, 10)[:, None] + torch.arange(self.snapshot.shape[1]) + batch
        loss = (self.module(x)[:, 0] - x @ (1 + self.snapshot[0])).square().mean()
        return loss * (math.nan if (epoch, batch) == self.poison_at else 1), {"squares": float(loss.detach())}

    def validate(self):
        return None if self.figures is None else self.figures[self.epoch]

    def weights(self) -> list[Tensor]:
        return [t.clone() for t in self.module.state_dict().values()]


def trainer(**options) -> Trainer:
    return Trainer(**{"epochs": 3, "patience": None, "progress": False} | options)


def without_clock(progress: Progress) -> dict:
    """All that must be the same after a kill: everything but seconds."""
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in progress.history]
    return {"history": history, "best": progress.best, "best_epoch": progress.best_epoch, "examples": progress.examples}


def assert_same(ours: Line, theirs: Line) -> None:
    for a, b in zip(ours.weights(), theirs.weights(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_early_stopping_keeps_the_weights_of_the_best_epoch():
    task = Line([0.1, 0.5, 0.4, 0.4, 0.9])
    stopped = trainer(epochs=5, patience=2).fit(task)
    assert (stopped.epoch, stopped.best, stopped.best_epoch) == (4, 0.5, 1)  # two epochs without a better one
    two = Line([0.1, 0.5])
    trainer(epochs=2).fit(two)
    assert_same(task, two)


def test_without_patience_all_epochs_are_run_and_the_best_is_kept():
    task, one = Line([0.9, 0.5, 0.4]), Line([0.9])
    assert trainer(epochs=3).fit(task).epoch == 3
    trainer(epochs=1).fit(one)
    assert_same(task, one)


def test_with_nothing_to_watch_the_last_weights_are_kept():
    task, rising = Line(), Line([0.1, 0.2, 0.3])
    progress = trainer().fit(task)
    trainer().fit(rising)
    assert_same(task, rising)
    assert progress.best_epoch == 2
    assert all("validation" not in row for row in progress.history)


def test_losses_of_an_epoch_are_means_over_its_batches():
    progress = trainer(epochs=1).fit(Line())
    row = progress.history[0]
    assert row["loss"] == pytest.approx(row["squares"])
    assert progress.examples == 10 * BATCHES


def test_it_learns_and_ends_in_evaluation_mode():
    class Still(Line):
        def start_epoch(self, epoch, kept):
            self.snapshot = torch.zeros(1, 3)  # the line to find no longer moves with the weights
            return {}

    task = Still()
    progress = trainer(epochs=20).fit(task)
    assert progress.history[-1]["loss"] < progress.history[0]["loss"] / 2
    assert not task.module.training


@pytest.mark.parametrize("figures", [None, [0.3, 0.1, 0.2]], ids=["nothing to watch", "best first"])
@pytest.mark.parametrize("kill_at", [(e, b) for e in range(3) for b in range(BATCHES)])
def test_killed_at_any_batch_and_resumed_it_ends_as_if_it_had_not_been(tmp_path, kill_at, figures):
    options = {"checkpoint": tmp_path, "checkpoint_seconds": -1.0, "schedule": "linear"}  # -1: after every batch
    unkilled = Line(figures)
    expected = trainer(schedule="linear").fit(unkilled)
    with pytest.raises(Killed):
        trainer(**options).fit(Line(figures, kill_at=kill_at))
    torch.manual_seed(99)
    resumed = Line(figures)
    found = trainer(**options).fit(resumed)
    assert len(resumed.rates) == (3 - kill_at[0]) * BATCHES - kill_at[1]  # nothing is done twice
    assert without_clock(found) == without_clock(expected)
    assert_same(resumed, unkilled)


def test_with_seldom_checkpoints_an_epoch_is_begun_again(tmp_path):
    unkilled = Line()
    trainer().fit(unkilled)
    with pytest.raises(Killed):
        trainer(checkpoint=tmp_path).fit(Line(kill_at=(1, 2)))
    resumed = Line()
    trainer(checkpoint=tmp_path).fit(resumed)
    assert len(resumed.rates) == 2 * BATCHES
    assert_same(resumed, unkilled)


def test_a_finished_training_is_not_begun_again(tmp_path):
    first = Line([0.2, 0.3, 0.1])
    before = trainer(checkpoint=tmp_path).fit(first)
    again = Line([0.2, 0.3, 0.1])
    after = trainer(checkpoint=tmp_path).fit(again)
    assert again.rates == []
    assert after == before
    assert_same(again, first)


KILL_ITSELF = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_loop import Line, trainer
from pathlib import Path

class Shot(Line):
    def step(self, epoch, batch):
        if (epoch, batch) == (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(epoch, batch)

trainer(checkpoint=Path(sys.argv[2]), checkpoint_seconds=-1.0).fit(Shot())
"""


def test_after_a_real_kill_it_goes_on_where_it_was(tmp_path):
    here = str(Path(__file__).parent)
    shot = subprocess.run(
        [sys.executable, "-c", KILL_ITSELF, here, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}, capture_output=True, text=True,
    )  # fmt: skip
    assert shot.returncode == -signal.SIGKILL, shot.stderr
    unkilled, resumed = Line(), Line()
    trainer().fit(unkilled)
    trainer(checkpoint=tmp_path, checkpoint_seconds=-1.0).fit(resumed)
    assert len(resumed.rates) == 3 * BATCHES - (BATCHES + 3)
    assert_same(resumed, unkilled)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    def torn(state, path, metadata):
        Path(path).write_bytes(b"torn")
        raise Killed

    with pytest.raises(Killed):
        trainer(checkpoint=tmp_path).fit(Line(kill_at=(1, 0)))
    with monkeypatch.context() as patch:
        patch.setattr("twotower.training.checkpoints.save_file", torn)
        with pytest.raises(Killed):
            trainer(checkpoint=tmp_path).fit(Line())
    unkilled, resumed = Line(), Line()
    trainer().fit(unkilled)
    trainer(checkpoint=tmp_path).fit(resumed)
    assert len(resumed.rates) == 2 * BATCHES
    assert_same(resumed, unkilled)


def test_a_loss_of_nan_stops_training_and_says_where(tmp_path):
    task = Line(poison_at=(1, 2))
    with pytest.raises(TrainingDiverged, match=r"the loss became nan at epoch 2, batch 3 .*lower train\.lr"):
        trainer().fit(task)
    assert all(t.isfinite().all() for t in task.weights())


def test_a_gradient_that_is_not_finite_stops_training_before_the_weights_move():
    class Steep(Line):
        def step(self, epoch, batch):
            weight = self.module[1].weight
            return (weight * 0).sum().sqrt(), {}  # 0, with an infinite slope

    task = Steep()
    before = task.weights()
    with pytest.raises(TrainingDiverged, match="norm became nan at epoch 1, batch 1"):
        trainer().fit(task)
    for a, b in zip(task.weights(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_linear_schedule_falls_to_a_fiftieth():
    task = Line()
    trainer(epochs=25, schedule="linear").fit(task)
    expected = [0.1 * max(0.02, 1 - step / (25 * BATCHES)) for step in range(25 * BATCHES)]
    assert task.rates == pytest.approx(expected)


def test_the_constant_schedule_stays():
    task = Line()
    trainer().fit(task)
    assert set(task.rates) == {0.1}


def test_gradients_are_clipped_to_the_norm():
    plain, clipped = Line(), Line()
    for task, clip in ((plain, None), (clipped, 1e-3)):
        task.optimizers = [torch.optim.SGD(task.module.parameters(), lr=1.0)]
        before = torch.cat([t.flatten() for t in task.weights()])
        trainer(epochs=1, clip=clip).fit(task)
        task.moved = float((torch.cat([t.flatten() for t in task.weights()]) - before).norm())
    assert clipped.moved <= BATCHES * 1e-3 * 1.001 < plain.moved


def test_the_seed_decides_dropout():
    def run(seed):
        task = Line()
        trainer(seed=seed).fit(task)
        return task

    assert_same(run(1), run(1))
    assert not torch.equal(run(1).weights()[0], run(2).weights()[0])


def test_the_checkpoint_of_another_model_is_refused(tmp_path):
    trainer(checkpoint=tmp_path).fit(Line())
    with pytest.raises(BundleError, match=r"checkpoint\.safetensors is of a run with other options; delete it"):
        trainer(checkpoint=tmp_path).fit(Line(width=4))


def test_figures_are_logged_for_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer(log_dir=tmp_path).fit(Line([0.1, 0.5, 0.4]))
    log = EventAccumulator(str(tmp_path)).Reload()
    assert [round(event.value, 3) for event in log.Scalars("validation")] == [0.1, 0.5, 0.4]
    assert {"loss", "squares", "seconds"} <= set(log.Tags()["scalars"])


def test_the_bar_shows_loss_and_speed(capsys):
    trainer(epochs=1, progress=True).fit(Line())
    shown = capsys.readouterr().err
    assert "epoch 1/1" in shown
    assert trainer(epochs=1).fit(Line()).examples == 40
    assert capsys.readouterr().err == ""


def test_progress_is_plain_json():
    from dataclasses import asdict

    progress = trainer().fit(Line([0.1, 0.2, 0.3]))
    assert Progress(**json.loads(json.dumps(asdict(progress)))) == progress
