"""`NeuralModel`: what a model of one file gets: seeds, exact resume, logs, early stopping, the last fit, saving."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from twotower.errors import BadConfig, BundleError, NotFitted
from twotower.metrics.ranking import average_precision
from twotower.metrics.rating import rmse
from twotower.models.base import ScoringModel
from twotower.models.neural import NeuralModel
from twotower.models.pairs import PairModel, known_or_last
from twotower.nn.distributed import ALONE
from twotower.training.context import FitContext
from twotower.training.tasks import ValuedPairs


class Sum(nn.Module):
    """A number for each user and item, some of them dropped in training, so that seeds and resuming are put to test."""

    def __init__(self, n_users: int, n_items: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(n_users + 1, 1), nn.Embedding(n_items + 1, 1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, users, items):
        return 3.5 + self.dropout(self.users(users) + self.items(items))[:, 0]


@dataclass(kw_only=True, eq=False, repr=False)
class Tiny(NeuralModel, PairModel):
    """All that a new model writes."""

    epochs: int = 6
    batch_size: int = 100
    lr: float = 0.1
    metric: str = "rmse"

    def facts_of(self, split):
        return {**super().facts_of(split), "mean": float(split.train.value.mean()), "words": ["a", None]}

    def build(self, facts):
        return Sum(facts["n_users"], facts["n_items"])

    def task(self, module, split, workers):
        def loss(users, items, values):
            return (module(users, items) - values).square().mean()

        adam = torch.optim.Adam(module.parameters(), lr=self.lr)
        return ValuedPairs(
            module=module, optimizers=[adam], events=split.train, batch_size=self.batch_size, seed=self.seed,
            workers=workers, loss=loss,
        )  # fmt: skip

    @torch.inference_mode()
    def raw_values(self, users, items, at):
        rows = known_or_last(users, self.facts["n_users"]), known_or_last(items, self.facts["n_items"])
        return self.module(*map(self._tensor, rows)).cpu().numpy()


def assert_same(ours: NeuralModel, theirs: NeuralModel) -> None:
    a, b = ours.state(), theirs.state()
    assert list(a) == list(b)
    for name, array in a.items():
        np.testing.assert_array_equal(array, b[name], err_msg=name)


def figures(model: NeuralModel) -> list[float]:
    """What was watched, epoch by epoch."""
    return [row["validation"] for row in model.progress[0].history]


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(rated):
    model = Tiny(seed=1).fit(rated)
    torch.manual_seed(99)
    assert_same(model, Tiny(seed=1).fit(rated))
    assert not np.array_equal(model.state()["users.weight"], Tiny(seed=2).fit(rated).state()["users.weight"])


KILL_ITSELF = """
import os, runpy, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_neural import FitContext, Tiny

class Shot(Tiny):
    def task(self, module, split, workers):
        task, left = super().task(module, split, workers), iter(range(30))
        loss = task.loss
        def mortal(*pairs):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return loss(*pairs)
        task.loss = mortal
        return task

split = runpy.run_path(sys.argv[1] + "/conftest.py")["rated_split"]()
Shot(epochs=5, schedule="linear").fit(split, FitContext(workspace=Path(sys.argv[2])))
"""


def test_killed_and_fitted_again_it_ends_as_if_it_had_not_been(rated, tmp_path, monkeypatch):
    """30 steps are 3 epochs of 10 batches."""
    command = [sys.executable, "-c", KILL_ITSELF, str(Path(__file__).parent), str(tmp_path)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    shot = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False)
    assert shot.returncode == -signal.SIGKILL, shot.stderr
    unkilled, steps = Tiny(epochs=5, schedule="linear").fit(rated), []
    step = ValuedPairs._step
    monkeypatch.setattr(ValuedPairs, "_step", lambda *args: steps.append(1) or step(*args))
    resumed = Tiny(epochs=5, schedule="linear").fit(rated, FitContext(workspace=tmp_path))
    assert len(steps) == 2 * -(-len(rated.train) // 100)  # epochs 4 and 5
    assert figures(resumed) == figures(unkilled)
    assert_same(resumed, unkilled)


def test_the_checkpoint_of_other_data_is_refused(rated, two_tastes, tmp_path):
    Tiny(epochs=1).fit(rated, FitContext(workspace=tmp_path))
    with pytest.raises(BundleError, match="with other options; discard it with resume=false"):
        Tiny(epochs=1).fit(two_tastes, FitContext(workspace=tmp_path))


def test_a_workspace_gets_logs_for_tensorboard(rated, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = Tiny(epochs=3).fit(rated, FitContext(workspace=tmp_path))
    log = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [event.value for event in log.Scalars("validation")] == pytest.approx(figures(model))


def test_early_stopping_by_rmse_ends_after_the_lowest_figure_and_keeps_its_weights(rated):
    heard = []
    model = Tiny(epochs=50, patience=3).fit(rated, FitContext(on_epoch=heard.append))
    target, progress = rated.validation.target, model.progress[0]
    assert heard == figures(model)
    assert progress.best == min(heard)
    assert model.best_epochs == int(np.argmin(heard)) + 1 == len(heard) - 3 < 47
    predicted = model.predict(target.user.astype(np.int64), target.item.astype(np.int64))
    assert rmse(target.value, predicted) == pytest.approx(progress.best)


def test_early_stopping_by_a_metric_of_lists_keeps_the_highest(rated):
    model = Tiny(epochs=8, patience=None, metric="map@5").fit(rated)
    assert model.progress[0].best == max(figures(model))
    validation = rated.validation
    top = model.recommend(validation.queries(), 5)
    assert average_precision(top, validation.relevant(), 5).mean() == pytest.approx(max(figures(model)))


def test_the_last_fit_watches_nothing_and_takes_the_best_epochs(rated):
    searched = Tiny(epochs=50).fit(rated)
    final = Tiny(epochs=50).fit_for_test(rated)
    assert final.options() == searched.options() | {"epochs": searched.best_epochs}
    assert [set(row) for row in final.progress[0].history] == [{"epoch", "seconds", "loss"}] * searched.best_epochs
    assert final.found_options() == searched.found_options()
    assert final.progress[0].best is None
    assert_same(final, Tiny(epochs=searched.best_epochs).fit(rated.refit()))


def test_a_saved_model_predicts_the_same_and_knows_the_same_facts(rated, tmp_path):
    model = Tiny(epochs=2).fit(rated)
    model.save(tmp_path)
    loaded, target = Tiny.load(tmp_path), rated.test.target
    pairs = target.user.astype(np.int64), target.item.astype(np.int64)
    np.testing.assert_array_equal(loaded.predict(*pairs), model.predict(*pairs))
    assert loaded.facts == model.facts
    assert loaded.facts["mean"] == float(rated.train.value.mean())  # to the last bit
    assert (loaded.options(), loaded.found_options()) == (model.options(), model.found_options())
    assert_same(loaded, model)


def test_it_is_no_longer_in_training_when_it_is_fitted_or_loaded(rated, tmp_path):
    model = Tiny(epochs=1).fit(rated)
    model.save(tmp_path)
    assert not model.module.training
    assert not Tiny.load(tmp_path).module.training


def test_an_unfitted_model_says_so():
    with pytest.raises(NotFitted, match="Tiny: call fit or load first"):
        Tiny().module  # noqa: B018
    with pytest.raises(NotFitted, match="Tiny: call fit or load first"):
        Tiny().predict(np.array([0]), np.array([0]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"epochs": 0}, "epochs"), ({"lr": 0.0}, "lr"), ({"l2": -1.0}, "l2"), ({"patience": 0}, "patience"),
     ({"clip": 0.0}, "clip"), ({"schedule": "cosine"}, "schedule"), ({"metric": "rmsle"}, "metric 'rmsle' is unknown")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(wrong, says):
    with pytest.raises(BadConfig, match=says):
        Tiny(**wrong)


def test_a_model_of_lists_cannot_stop_by_a_metric_of_values():
    class Lists(NeuralModel, ScoringModel):
        build = task = score = None

    with pytest.raises(BadConfig, match="metric='rmse' is of values; it makes lists"):
        Lists(metric="rmse")


def test_the_task_is_told_who_trains_along(rated, monkeypatch):
    task, told = Tiny.task, []
    monkeypatch.setattr(Tiny, "task", lambda *args: told.append(args[-1]) or task(*args))
    Tiny(epochs=1).fit(rated)
    assert told == [ALONE]
