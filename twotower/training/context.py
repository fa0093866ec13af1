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
        workspace: directory for checkpoints and TensorBoard logs; a killed fit goes on from there. None: neither.
        progress: tell how it goes: a bar on a terminal, a line an epoch elsewhere.
        workers: the processes that fit together, each calling `fit` with the same arguments; None: this one alone.
        on_epoch: called with the validation figure of every epoch that is watched; what it raises ends the fit.
        device: auto takes a GPU where there is one; or cpu, cuda.
        threads: that torch computes with; None: one per core, or `OMP_NUM_THREADS`.
    """

    workspace: Path | None = None
    progress: bool = False
    workers: "Workers | None" = None
    on_epoch: OnEpoch | None = None
    device: str = "auto"
    threads: int | None = None

    @property
    def together(self) -> "Workers":
        """The processes that fit together; this one alone where none were named."""
        from twotower.nn.distributed import ALONE  # loads torch, which models of numpy alone do not need

        return self.workers or ALONE

    @property
    def leads(self) -> bool:
        """Whether this process validates, logs and publishes."""
        return self.workers is None or self.workers.leads

    def inside(self, name: str) -> "FitContext":
        """The same with a workspace of its own inside this one, for one of several fits."""
        return replace(self, workspace=self.workspace / name) if self.workspace else self


QUIET = FitContext()
"""Alone, silent, nothing kept: the context of a fit from a notebook that names none."""
