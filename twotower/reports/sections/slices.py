"""Section `slices`: for which users and items a model helps, and for which not."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from twotower.evaluation.report import Report
from twotower.evaluation.results import SliceRow
from twotower.reports import wording
from twotower.reports.figures import SIZE, Look
from twotower.reports.section import ReportFigure, Section
from twotower.text import table


class Slices(Section[None]):
    """Gains of ours over the baseline, a figure per kind of slice; tables with every model."""

    name = "slices"

    def words(self, report: Report, value: None) -> Mapping[str, Any] | None:
        """Tables with every model in every slice; None where nothing was sliced."""
        slice_tables = wording.slice_tables(report)
        return {"ours": report.hero().name, "slice_tables": slice_tables} if slice_tables else None

    def figures(self, report: Report, value: None) -> list[ReportFigure]:
        """Differences from the baseline, a figure per kind of slice."""
        ours = report.hero().name
        rows = [row for row in report.slices if row.model == ours and row.metric == report.primary]
        by_kind = {row.kind: [r for r in rows if r.kind == row.kind and r.difference is not None] for row in rows}
        return [
            ReportFigure(
                f"slices_{kind}",
                partial(draw_slices, report, of_kind),
                f"Difference of {ours} from {report.baseline} by {kind}, with intervals",
                (SIZE[0], 0.9 + 0.33 * len(of_kind)),
            )
            for kind, of_kind in by_kind.items()
            if of_kind
        ]

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """A table per kind of slice and metric: models down, slices across."""
        if report.slices:
            yield "## Slices"
            yield f"Marks against {report.baseline or 'no baseline'}, after Holm over all models and slices of a table."
        for title, meaning, heads, rows in wording.slice_tables(report):
            yield f"### {title}\n\n{meaning}"
            cells = [
                [name, *(f"{row.mean:.4f} {wording.mark(report, row)}".strip() for row in slices)]
                for name, slices in rows
            ]
            yield table([["model", *heads], *cells])


def draw_slices(report: Report, rows: Sequence[SliceRow], axes: Axes, look: Look) -> None:
    """Difference from the baseline with its interval, a line per slice; filled where the table's mark says apart."""
    for at, row in enumerate(rows):
        low, high = row.difference_low, row.difference_high
        difference = row.difference or 0.0
        mark = wording.mark(report, row)
        sure = mark in (wording.BETTER, wording.WORSE)
        colour = look.soft if not sure else look.series[0] if mark == wording.BETTER else look.series[4]
        if low is not None and high is not None:
            axes.plot([low, high], [at, at], color=colour, linewidth=1.8, solid_capstyle="butt")
        marker = "o" if not sure else "^" if difference > 0 else "v"
        axes.plot(
            [difference], [at], marker=marker, markersize=8, color=colour, markerfacecolor=colour if sure else "none"
        )
    axes.axvline(0, color=look.soft, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [f"{row.name}  ({row.users:,})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.4g}" if value else "0"))
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(f"difference; a ring ({wording.ALIKE}): not told apart after Holm")
