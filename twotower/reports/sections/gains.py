"""Section `gains`: the primary metric over list lengths, ours beside the others, and how much more ours reaches."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from twotower.evaluation.report import Report
from twotower.metrics.labels import metric_label
from twotower.reports import tables, wording
from twotower.reports.figures import Look, legend, log_ticks, series
from twotower.reports.section import ReportFigure, Section
from twotower.reports.verdict import gains_of, verdict_of
from twotower.text import table


class Gains(Section[None]):
    """The curve over k and the relative gains beside it."""

    name = "gains"

    def words(self, report: Report, value: None) -> Mapping[str, Any]:
        """Gains, and the cut-offs at which they are known."""
        verdict = verdict_of(report)
        cut_offs = tables.cut_offs(report, verdict.row.metric)
        return {"verdict": verdict, "gains": gains_of(report, verdict), "cut_offs": cut_offs}

    def figures(self, report: Report, value: None) -> list[ReportFigure]:
        """The curve; none where the metric has no cut-off."""
        verdict = verdict_of(report)
        if not verdict.row.k:
            return []
        draw = partial(draw_curves, report, verdict.called, verdict.row.metric)
        return [ReportFigure("curve", draw, f"{verdict.row.metric}@k over k, with intervals")]

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """A table of gains over every other contender; nothing where the report has none."""
        ours = report.hero().name
        gains = {(gain.against, gain.metric): gain for gain in report.gains if gain.model == ours}
        if not gains:
            return
        metrics = list(dict.fromkeys(metric for _, metric in gains))
        rows = [["against", *map(metric_label, metrics)]]
        others = dict.fromkeys(other for other, _ in gains)
        rows += [[other, *(wording.gain_line(gains[other, metric]) for metric in metrics)] for other in others]
        yield f"## Relative gain of {ours}"
        yield f"Ratio of the means minus one, with the {report.level:.0%} bootstrap interval of that ratio."
        yield table(rows)


def draw_curves(report: Report, models: Mapping[str, str], metric: str, axes: Axes, look: Look) -> None:
    """`metric`@k over k with intervals, by model and what it is called; the first one is the heaviest line."""
    width = 0.1 / max(len(models), 1)
    for at, (model, called) in enumerate(models.items()):
        rows = [report.row(model, f"{metric}@{k}") for k in report.ks]
        mean = np.array([row.mean for row in rows])
        ends = np.array([[row.mean - row.low for row in rows], [row.high - row.mean for row in rows]])
        shift = 1 + (at - (len(models) - 1) / 2) * width  # so that intervals stand beside each other
        axes.errorbar(
            np.array(report.ks) * shift, mean, yerr=np.maximum(ends, 0), label=called, capsize=2, elinewidth=0.9,
            linewidth=2.4 if at == 0 else 1.4, markersize=5, **series(at, look),
        )  # fmt: skip
    log_ticks(axes, report.ks)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("k, places in the list")
    legend(axes, look)
