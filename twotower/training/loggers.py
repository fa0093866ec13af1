"""Where the curves of a training go: TensorBoard, MLflow, Weights & Biases; each is imported only if it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twotower.errors import BadConfig
from twotower.text import near


class Logger(Protocol):
    """Takes the figures of each epoch."""

    def write(self, figures: Mapping[str, float], epoch: int) -> None:
        """Takes the figures of one epoch."""
        ...

    def close(self) -> None:
        """After the last epoch."""
        ...


class TensorBoard:
    """Event files in the folder of the training's logs."""

    def __init__(self, logs: Path, name: str) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import; only a logged run pays

        self._writer = SummaryWriter(str(logs))

    def write(self, figures: Mapping[str, float], epoch: int) -> None:
        """One scalar a figure."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


class MLflow:
    """A run of MLflow, where `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` say; extra `mlflow`."""

    def __init__(self, logs: Path, name: str) -> None:
        mlflow = _library("mlflow")
        self._client = mlflow.MlflowClient()
        run = mlflow.start_run(run_name=name, nested=mlflow.active_run() is not None)
        self._mlflow, self._run = mlflow, run.info.run_id

    def write(self, figures: Mapping[str, float], epoch: int) -> None:
        """One metric a figure; names may hold no "@" there."""
        for name, value in figures.items():
            self._client.log_metric(self._run, name.replace("@", "_at_"), float(value), step=epoch)

    def close(self) -> None:
        """Ends the run."""
        self._mlflow.end_run()


class WandB:
    """A run of Weights & Biases, as its environment variables say (`WANDB_MODE`, `WANDB_PROJECT`); extra `wandb`."""

    def __init__(self, logs: Path, name: str) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._run = _library("wandb").init(name=name, dir=str(logs))

    def write(self, figures: Mapping[str, float], epoch: int) -> None:
        """All figures of the epoch as one step."""
        self._run.log(dict(figures), step=epoch)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


LOGGERS: Mapping[str, type[TensorBoard] | type[MLflow] | type[WandB]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def check_loggers(names: Any) -> tuple[str, ...]:
    """The names of loggers; one word is a list of one.

    Raises:
        BadConfig: there is none of a name.
    """
    chosen: tuple[str, ...] = (names,) if isinstance(names, str) else tuple(names or ())
    for name in chosen:
        if name not in LOGGERS:
            raise BadConfig(f"loggers: {name!r} is unknown; {near(str(name), LOGGERS)}")
    return chosen


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadConfig(f"loggers: {name} is not installed; pip install 'twotower[{name}]'") from error
