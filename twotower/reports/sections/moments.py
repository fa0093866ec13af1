"""Section `moments`: the primary metric day by day, and how each model was brought to each day."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from twotower.evaluation.report import Report
from twotower.evaluation.rows import MomentRow
from twotower.metrics.labels import metric_label
from twotower.reports.figures import Look, legend, series
from twotower.reports.section import ReportFigure, Section
from twotower.reports.verdict import verdict_of
from twotower.text import table

MOST_TICKS = 8


class Moments(Section[None]):
    """A curve over the moments of a rolling test, a row for each of them."""

    name = "moments"

    def words(self, report: Report, value: None) -> Mapping[str, Any] | None:
        """The table, and what became of each model; None where all were asked once."""
        if not report.moments:
            return None
        heads, rows = _cells(report)
        return {"heads": heads, "rows": rows, "follows": _follows(report)}

    def figures(self, report: Report, value: None) -> list[ReportFigure]:
        """The primary metric over the moments, of the same models as the first figure."""
        if len(_moments(report)) < 2:
            return []
        draw = partial(draw_moments, report, verdict_of(report).called)
        return [ReportFigure("moments", draw, f"{report.primary} at each moment of asking, with intervals")]

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The same table and list."""
        if not report.moments:
            return
        heads, rows = _cells(report)
        yield f"## {metric_label(report.primary)} at each moment of asking"
        yield table([heads, *rows])
        yield "\n".join(f"- {model}: {text}" for model, text in _follows(report))


def _rows_of(report: Report) -> list[MomentRow]:
    return [row for row in report.moments if row.metric == report.primary]


def _moments(report: Report) -> list[str]:
    return list(dict.fromkeys(row.at for row in _rows_of(report)))


def _cells(report: Report) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table: a row a moment, a column a model, best first."""
    models = [model.name for model in report.ranking()]
    found = {(row.at, row.model): row for row in _rows_of(report)}
    rows = []
    for at in _moments(report):
        first = found[at, models[0]]
        means = [found[at, model].mean for model in models]
        sizes = [f"{size:,}" for size in (first.users, first.targets, first.competing)]
        rows.append([at, *sizes, *("–" if mean is None else f"{mean:.4f}" for mean in means)])
    return ["asked at", "users", "targets", "items", *models], rows


def _follows(report: Report) -> list[tuple[str, str]]:
    return [(model.name, model.follows) for model in report.ranking()]


def draw_moments(report: Report, models: Mapping[str, str], axes: Axes, look: Look) -> None:
    """The primary metric at each moment with intervals, by model and what it is called."""
    moments = _moments(report)
    for at, (model, called) in enumerate(models.items()):
        rows = [row for row in _rows_of(report) if row.model == model]
        mean = np.array([np.nan if row.mean is None else row.mean for row in rows])
        low = np.array([m if row.low is None else row.low for row, m in zip(rows, mean, strict=True)])
        high = np.array([m if row.high is None else row.high for row, m in zip(rows, mean, strict=True)])
        place = np.arange(len(rows)) + (at - (len(models) - 1) / 2) * 0.06  # so that intervals stand side by side
        axes.errorbar(
            place, mean, yerr=np.maximum([mean - low, high - mean], 0), label=called, capsize=2, elinewidth=0.9,
            linewidth=2.4 if at == 0 else 1.4, markersize=5, **series(at, look),
        )  # fmt: skip
    step = -(-len(moments) // MOST_TICKS)
    year = moments[0][:5] if len({moment[:4] for moment in moments}) == 1 else ""
    axes.set_xticks(range(0, len(moments), step), [moment.removeprefix(year) for moment in moments[::step]])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"moment of asking (UTC){f', {year[:4]}' if year else ''}")
    legend(axes, look)
