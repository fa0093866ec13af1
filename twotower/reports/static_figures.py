"""Figures of a `Report`: one metric over k for all models, readable without colours."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from twotower.evaluation.report import Report
from twotower.metrics.labels import metric_label

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#999933")
"""Okabe & Ito's palette (its yellow exchanged for olive, which shows on white)."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")


def draw_metric(report: Report, metric: str, path: Path) -> None:
    """Draws `metric`@k over k (log scale) with intervals as a PNG; models in the order of the primary metric."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for at, model in enumerate(report.measured(metric)):
        rows = [report.row(model.name, f"{metric}@{k}") for k in report.ks]
        means = np.array([row.mean for row in rows])
        ends = np.array([[row.mean - row.low for row in rows], [row.high - row.mean for row in rows]])
        axes.errorbar(
            report.ks,
            means,
            yerr=np.maximum(ends, 0),
            label=model.name,
            color=COLOURS[at % len(COLOURS)],
            marker=MARKERS[at % len(MARKERS)],
            linestyle=LINES[at % len(LINES)],
            capsize=3,
        )
    axes.set_xscale("log")
    axes.set_xticks(report.ks, [str(k) for k in report.ks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("k (places in the list)")
    axes.set_ylabel(f"{metric_label(metric)}, mean over users, {report.level:.0%} interval")
    axes.set_title(f"{report.dataset['name']} · {report.split['name']}")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure.savefig(path, format="png", dpi=150)
