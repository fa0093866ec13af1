"""The training loop: early stopping, exact resume after any kill, divergence, schedule, foreign checkpoints."""

import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from twotower.errors import BundleError, TrainingDiverged
from twotower.metrics.metric import Metric
from twotower.training.context import QUIET, FitContext
from twotower.training.early_stopping import Watch
from twotower.training.ftrl import FTRL
from twotower.training.loop import Trainer
from twotower.training.progress import Progress

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

    def watch(self, metric="map@10") -> Watch | None:
        return None if self.figures is None else Watch(Metric.parse(metric), lambda: self.figures[self.epoch])

    def weights(self) -> list[Tensor]:
        return [t.clone() for t in self.module.state_dict().values()]


def train(task: Line, context: FitContext = QUIET, **options) -> Progress:
    return Trainer(**{"epochs": 3, "patience": None} | options).fit(task, context, task.watch())


def without_clock(progress: Progress) -> dict:
    """All that must be the same after a kill: everything but seconds."""
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in progress.history]
    return {"history": history, "best": progress.best, "best_epoch": progress.best_epoch, "examples": progress.examples}


def assert_same(ours: Line, theirs: Line) -> None:
    for a, b in zip(ours.weights(), theirs.weights(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_early_stopping_keeps_the_weights_of_the_best_epoch():
    task = Line([0.1, 0.5, 0.4, 0.4, 0.9])
    stopped = train(task, epochs=5, patience=2)
    assert (stopped.epoch, stopped.best, stopped.best_epoch) == (4, 0.5, 1)  # two epochs without a better one
    two = Line([0.1, 0.5])
    train(two, epochs=2)
    assert_same(task, two)


def test_without_patience_all_epochs_are_run_and_the_best_is_kept():
    task, one = Line([0.9, 0.5, 0.4]), Line([0.9])
    assert train(task, epochs=3).epoch == 3
    train(one, epochs=1)
    assert_same(task, one)


def test_with_nothing_to_watch_the_last_weights_are_kept():
    task, rising = Line(), Line([0.1, 0.2, 0.3])
    progress = train(task)
    train(rising)
    assert_same(task, rising)
    assert progress.best_epoch == 2
    assert all("validation" not in row for row in progress.history)


def test_losses_of_an_epoch_are_means_over_its_batches():
    progress = train(Line(), epochs=1)
    row = progress.history[0]
    assert row["loss"] == pytest.approx(row["squares"])
    assert progress.examples == 10 * BATCHES


def test_it_learns_and_ends_in_evaluation_mode():
    class Still(Line):
        def start_epoch(self, epoch, kept):
            self.snapshot = torch.zeros(1, 3)  # the line to find no longer moves with the weights
            return {}

    task = Still()
    progress = train(task, epochs=20)
    assert progress.history[-1]["loss"] < progress.history[0]["loss"] / 2
    assert not task.module.training


@pytest.mark.parametrize("figures", [None, [0.3, 0.1, 0.2]], ids=["nothing to watch", "best first"])
@pytest.mark.parametrize("kill_at", [(e, b) for e in range(3) for b in range(BATCHES)])
def test_killed_at_any_batch_and_resumed_it_ends_as_if_it_had_not_been(tmp_path, kill_at, figures):
    context = FitContext(workspace=tmp_path)
    options = {"checkpoint_seconds": -1.0, "schedule": "linear"}  # -1: after every batch
    unkilled = Line(figures)
    expected = train(unkilled, schedule="linear")
    with pytest.raises(Killed):
        train(Line(figures, kill_at=kill_at), context, **options)
    torch.manual_seed(99)
    resumed = Line(figures)
    found = train(resumed, context, **options)
    assert len(resumed.rates) == (3 - kill_at[0]) * BATCHES - kill_at[1]  # nothing is done twice
    assert without_clock(found) == without_clock(expected)
    assert_same(resumed, unkilled)


def test_with_seldom_checkpoints_an_epoch_is_begun_again(tmp_path):
    unkilled = Line()
    train(unkilled)
    with pytest.raises(Killed):
        train(Line(kill_at=(1, 2)), FitContext(workspace=tmp_path))
    resumed = Line()
    train(resumed, FitContext(workspace=tmp_path))
    assert len(resumed.rates) == 2 * BATCHES
    assert_same(resumed, unkilled)


def test_a_finished_training_is_not_begun_again(tmp_path):
    first = Line([0.2, 0.3, 0.1])
    before = train(first, FitContext(workspace=tmp_path))
    again = Line([0.2, 0.3, 0.1])
    after = train(again, FitContext(workspace=tmp_path))
    assert again.rates == []
    assert after == before
    assert_same(again, first)


KILL_ITSELF = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_loop import FitContext, Line, train
from pathlib import Path

class Shot(Line):
    def step(self, epoch, batch):
        if (epoch, batch) == (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(epoch, batch)

train(Shot(), FitContext(workspace=Path(sys.argv[2])), checkpoint_seconds=-1.0)
"""


def test_after_a_real_kill_it_goes_on_where_it_was(tmp_path):
    here = str(Path(__file__).parent)
    shot = subprocess.run(
        [sys.executable, "-c", KILL_ITSELF, here, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}, capture_output=True, text=True,
    )  # fmt: skip
    assert shot.returncode == -signal.SIGKILL, shot.stderr
    unkilled, resumed = Line(), Line()
    train(unkilled)
    train(resumed, FitContext(workspace=tmp_path), checkpoint_seconds=-1.0)
    assert len(resumed.rates) == 3 * BATCHES - (BATCHES + 3)
    assert_same(resumed, unkilled)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    def torn(state, path, metadata):
        Path(path).write_bytes(b"torn")
        raise Killed

    with pytest.raises(Killed):
        train(Line(kill_at=(1, 0)), FitContext(workspace=tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("twotower.training.checkpoints.save_file", torn)
        with pytest.raises(Killed):
            train(Line(), FitContext(workspace=tmp_path))
    unkilled, resumed = Line(), Line()
    train(unkilled)
    train(resumed, FitContext(workspace=tmp_path))
    assert len(resumed.rates) == 2 * BATCHES
    assert_same(resumed, unkilled)


def test_a_loss_of_nan_stops_training_and_says_where(tmp_path):
    task = Line(poison_at=(1, 2))
    with pytest.raises(TrainingDiverged, match=r"the loss became nan at epoch 2, batch 3 .*lower lr"):
        train(task)
    assert all(t.isfinite().all() for t in task.weights())


def test_a_gradient_that_is_not_finite_stops_training_before_the_weights_move():
    class Steep(Line):
        def step(self, epoch, batch):
            weight = self.module[1].weight
            return (weight * 0).sum().sqrt(), {}  # 0, with an infinite slope

    task = Steep()
    before = task.weights()
    with pytest.raises(TrainingDiverged, match="norm became nan at epoch 1, batch 1"):
        train(task)
    for a, b in zip(task.weights(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_linear_schedule_falls_to_a_fiftieth():
    task = Line()
    train(task, epochs=25, schedule="linear")
    expected = [0.1 * max(0.02, 1 - step / (25 * BATCHES)) for step in range(25 * BATCHES)]
    assert task.rates == pytest.approx(expected)


def test_the_constant_schedule_stays():
    task = Line()
    train(task)
    assert set(task.rates) == {0.1}


def test_gradients_are_clipped_to_the_norm():
    plain, clipped = Line(), Line()
    for task, clip in ((plain, None), (clipped, 1e-3)):
        task.optimizers = [torch.optim.SGD(task.module.parameters(), lr=1.0)]
        before = torch.cat([t.flatten() for t in task.weights()])
        train(task, epochs=1, clip=clip)
        task.moved = float((torch.cat([t.flatten() for t in task.weights()]) - before).norm())
    assert clipped.moved <= BATCHES * 1e-3 * 1.001 < plain.moved


def test_the_seed_decides_dropout():
    def run(seed):
        task = Line()
        train(task, seed=seed)
        return task

    assert_same(run(1), run(1))
    assert not torch.equal(run(1).weights()[0], run(2).weights()[0])


def test_the_checkpoint_of_another_model_is_refused(tmp_path):
    train(Line(), FitContext(workspace=tmp_path))
    with pytest.raises(BundleError, match=r"checkpoint\.safetensors is of a run with other options; discard it"):
        train(Line(width=4), FitContext(workspace=tmp_path))


def test_figures_are_logged_for_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Line([0.1, 0.5, 0.4]), FitContext(workspace=tmp_path))
    log = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [round(event.value, 3) for event in log.Scalars("validation")] == [0.1, 0.5, 0.4]
    assert {"loss", "squares", "seconds"} <= set(log.Tags()["scalars"])


TRAIN_FOUR = """
import sys
import termios
sys.path.insert(0, sys.argv[1])
from test_loop import FitContext, Line, train
train(Line([0.9, 0.5, 0.7]), FitContext(progress=sys.argv[2] == "told"))
"""
LINE = r"epoch {}/3: loss \d+\.\d{{4}}, map@10 {} \(best 0\.9000 at epoch 1\), [\d,]+ examples/s, \d+ s so far"


def three_epochs(how: str, **streams) -> subprocess.CompletedProcess:
    """A process that trains, with its output where it is told to go."""
    command = [sys.executable, "-c", TRAIN_FOUR, str(Path(__file__).parent), how]
    return subprocess.run(command, check=True, text=True, **streams)


def test_where_output_goes_to_files_each_epoch_is_a_line_of_its_figures():
    process = three_epochs("told", capture_output=True)
    lines = process.stdout.splitlines()
    assert len(lines) == 3
    for number, (line, figure) in enumerate(zip(lines, (r"0\.9000", r"0\.5000", r"0\.7000"), strict=True), 1):
        assert re.fullmatch(LINE.format(number, figure), line), line
    assert process.stderr == ""  # no bar


def test_on_a_terminal_a_bar_runs_inside_each_epoch():
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 100))
    os.set_blocking(ours, False)
    process = three_epochs("told", stdout=subprocess.PIPE, stderr=theirs)
    shown = os.read(ours, 100_000).decode()
    assert "epoch 1/3" in shown
    assert "batch" in shown
    assert len(process.stdout.splitlines()) == 3


def test_nothing_is_shown_where_nobody_wants_to_know():
    process = three_epochs("silent", capture_output=True)
    assert process.stdout == process.stderr == ""


def test_of_a_metric_that_should_be_low_the_lowest_figure_is_the_best():
    task, two = Line([0.95, 0.91, 0.93, 0.92, 0.5]), Line([0.95, 0.91])
    trainer, watch = Trainer(epochs=5, patience=2), task.watch("rmse")
    stopped = trainer.fit(task, watch=watch)
    assert (stopped.metric, stopped.epoch, stopped.best, stopped.best_epoch) == ("rmse", 4, 0.91, 1)
    assert [row["validation"] for row in stopped.history] == [0.95, 0.91, 0.93, 0.92]  # as they are, not turned round
    Trainer(epochs=2).fit(two, watch=two.watch("rmse"))
    assert_same(task, two)


def test_whoever_listens_hears_every_figure_and_may_end_the_training():
    heard = []
    train(Line([0.9, 0.5, 0.7]), FitContext(on_epoch=heard.append))
    assert heard == [0.9, 0.5, 0.7]

    def stop(figure: float) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(Line([0.9, 0.5, 0.7]), FitContext(on_epoch=stop))
    train(Line(), FitContext(on_epoch=stop))  # nothing is watched, nothing told


def test_a_watched_figure_that_is_no_number_stops_training():
    with pytest.raises(TrainingDiverged, match="map@10 became nan after epoch 2; lower lr"):
        train(Line([0.1, math.nan, 0.2]))


def test_a_checkpoint_that_watches_another_metric_is_refused(tmp_path):
    train(Line([0.1, 0.2, 0.3]), FitContext(workspace=tmp_path))
    with pytest.raises(BundleError, match=r"with other options; .* \(it watches map@10, this one None\)"):
        train(Line(), FitContext(workspace=tmp_path))


def test_progress_is_plain_json():
    from dataclasses import asdict

    progress = train(Line([0.1, 0.2, 0.3]))
    assert Progress(**json.loads(json.dumps(asdict(progress)))) == progress
