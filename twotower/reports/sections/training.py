"""Section `training`: quality on validation and training loss over the epochs of a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from twotower.evaluation.report import Report
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import Look, series
from twotower.reports.section import ReportFigure, Section

_PHASES = ("choosing the epochs", "last fit")


@dataclass(frozen=True, slots=True)
class LearningCurves:
    """Name of each phase of a training, and its epochs: number, loss, quality on validation …"""

    curves: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]


class Training(Section[LearningCurves]):
    """The first phase of the training: the one that chose the number of epochs."""

    name = "training"

    def measure(self, run: ExaminedRun) -> LearningCurves | None:
        """What the training wrote."""
        return curves_in(run.bundle.directory)

    def words(self, report: Report, value: LearningCurves | None) -> Mapping[str, Any] | None:
        """Shown where an epoch tells anything to draw."""
        return {} if self.figures(report, value) else None

    def figures(self, report: Report, value: LearningCurves | None) -> list[ReportFigure]:
        """Validation quality and training loss, each where it was measured."""
        epochs = value.curves[0][1] if value else ()
        return [
            ReportFigure(f"learning_{quantity}", partial(draw_learning, epochs, quantity), alt)
            for quantity, alt in (
                ("validation", "Quality on validation over epochs"),
                ("loss", "Training loss over epochs"),
            )
            if any(quantity in epoch for epoch in epochs)
        ]


def curves_in(directory: Path) -> LearningCurves | None:
    """Reads the `training.json` of a run; None without one."""
    path = directory / "training.json"
    if not path.exists():
        return None
    phases = json.loads(path.read_text(encoding="utf-8"))
    curves = tuple((name, tuple(phase["history"])) for name, phase in zip(_PHASES, phases, strict=False))
    return LearningCurves(curves) if curves else None


def draw_learning(epochs: Sequence[Mapping[str, Any]], quantity: str, axes: Axes, look: Look) -> None:
    """One quantity of a training over its epochs; the best epoch is ringed where more is better."""
    points = [(epoch["epoch"] + 1, epoch[quantity]) for epoch in epochs if quantity in epoch]
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    axes.plot(x, y, linewidth=2, markersize=5, **series(1 if quantity == "loss" else 0, look))
    if quantity == "validation":
        best = int(y.argmax())
        axes.scatter([x[best]], [y[best]], s=130, facecolors="none", edgecolors=look.ink, linewidths=1.2)
        axes.annotate(
            f"best {y[best]:.4f}", (x[best], y[best]), (0, -18), textcoords="offset points", ha="center", color=look.ink
        )
        axes.set_ylim(0, 1.12 * y.max() or 1.0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("MAP@10 on validation" if quantity == "validation" else "training loss")
    axes.set_xticks(x[:: max(1, len(x) // 8)])
