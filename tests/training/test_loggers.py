"""Loggers: the figures of each epoch reach TensorBoard, MLflow and W&B; unknown and absent ones are said in a line."""

import sys
import types

import pytest

from twotower import TwoTower
from twotower.errors import BadConfig
from twotower.testing import two_tastes
from twotower.training.context import FitContext
from twotower.training.loggers import LOGGERS, check_loggers

EPOCHS = 2


def fit(tmp_path, *loggers: str) -> None:
    TwoTower(epochs=EPOCHS, dim=4, history=None).fit(
        two_tastes(), FitContext(workspace=tmp_path / ".shop.training", loggers=loggers)
    )


@pytest.fixture
def fakes(monkeypatch):
    """Stand-ins for both libraries that write down how they are called."""
    calls: list[tuple] = []

    class Client:
        def log_metric(self, run_id, key, value, step):
            calls.append(("mlflow", run_id, key, value, step))

    run = types.SimpleNamespace(
        log=lambda figures, step: calls.append(("wandb", dict(figures), step)),
        finish=lambda: calls.append(("wandb", "finished")),
    )
    mlflow = types.ModuleType("mlflow")
    mlflow.MlflowClient, mlflow.active_run = Client, lambda: None
    mlflow.start_run = lambda run_name, nested: types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_name))
    mlflow.end_run = lambda: calls.append(("mlflow", "ended"))
    wandb = types.ModuleType("wandb")
    wandb.init = lambda name, dir: calls.append(("wandb", "init", name)) or run
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return calls


def test_every_epoch_reaches_both_under_the_name_of_the_run(tmp_path, fakes):
    fit(tmp_path, "mlflow", "wandb")
    steps = [call for call in fakes if call[0] == "wandb" and isinstance(call[1], dict)]
    assert [step for _, _, step in steps] == list(range(EPOCHS))
    assert all("loss" in figures for _, figures, _ in steps)
    metrics = [call for call in fakes if call[0] == "mlflow" and len(call) == 5]
    assert {name for _, name, *_ in metrics} == {"shop"}
    assert len(metrics) == sum(len(figures) for _, figures, _ in steps)
    assert not any("@" in key for _, _, key, *_ in metrics)
    assert ("wandb", "init", "shop") in fakes
    assert fakes[-2:] == [("mlflow", "ended"), ("wandb", "finished")]
    assert not list((tmp_path / ".shop.training").rglob("events.out*"))


def test_tensorboard_is_what_is_written_unless_something_else_is_said(tmp_path):
    assert FitContext().loggers == ("tensorboard",)
    fit(tmp_path, "tensorboard")
    assert list((tmp_path / ".shop.training" / "logs").glob("events.out*"))


def test_mlflow_itself_takes_the_curves(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    fit(tmp_path, "mlflow")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("Default").experiment_id])
    assert run.info.run_name == "shop"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == EPOCHS


def test_what_is_unknown_or_not_installed_is_said_in_a_line(tmp_path, monkeypatch):
    assert check_loggers("wandb") == ("wandb",)
    assert check_loggers(None) == ()
    with pytest.raises(BadConfig, match="'tensorbord' is unknown; did you mean tensorboard"):
        check_loggers(["tensorbord"])
    for name in ("mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(BadConfig, match=rf"{name} is not installed; pip install 'twotower\[{name}\]'"):
            LOGGERS[name](tmp_path, "shop")
