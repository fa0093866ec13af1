"""`FitContext`: how and where a model is fitted, never what it learns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twotower.nn.distributed import Workers

OnEpoch = Callable[[float], None]
"""Told the validation figure of an epoch; what it raises ends the fit."""


@dataclass(frozen=True, slots=True)
class FitContext:
    """How and where to fit. No model learns anything else under another context.

    Attributes:
        workspace: directory for checkpoints and logs; a killed fit goes on from there. None: neither.
        progress: tell how it goes: a line an epoch, and on a terminal a bar inside it.
        workers: the processes that fit together, each calling `fit` with the same arguments; None: this one alone.
        on_epoch: called with the validation figure of every epoch that is watched; what it raises ends the fit.
        device: auto takes a GPU where there is one; or cpu, cuda.
        threads: that torch computes with; None: one per core, or `OMP_NUM_THREADS`.
        loggers: where curves go, beside the workspace: tensorboard, mlflow, wandb.
    """

    workspace: Path | None = None
    progress: bool = False
    workers: "Workers | None" = None
    on_epoch: OnEpoch | None = None
    device: str = "auto"
    threads: int | None = None
    loggers: tuple[str, ...] = ("tensorboard",)

    @property
    def together(self) -> "Workers":
        """The processes that fit together; this one alone where none were named."""
        from twotower.nn.distributed import ALONE  # loads torch, which models of numpy alone do not need

        return self.workers or ALONE

    @property
    def checkpoints(self) -> Path | None:
        """Directory for checkpoints; None keeps none."""
        return self.workspace / "checkpoints" if self.workspace else None

    @property
    def logs(self) -> Path | None:
        """Directory for logs; None writes none."""
        return self.workspace / "logs" if self.workspace else None

    @property
    def leads(self) -> bool:
        """Whether this process validates, logs and publishes."""
        return self.workers is None or self.workers.leads

    def inside(self, name: str) -> "FitContext":
        """The same with a workspace of its own inside this one, for one of several fits."""
        return replace(self, workspace=self.workspace / name) if self.workspace else self

    def unshared(self) -> "FitContext":
        """For a training whose batches cannot be shared out: each process does all of it, the leader keeps and tells.

        The same seed gives all of them the same model.
        """
        if self.workers is None or self.leads:
            return replace(self, workers=None)
        return replace(self, workers=None, workspace=None, progress=False)


QUIET = FitContext()
"""Alone, silent, nothing kept: the context of a fit from a notebook that names none."""
