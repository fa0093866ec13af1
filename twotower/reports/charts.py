"""Charts of the report page with a point per setting or slice: the frontier of indexes, gains per slice."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from twotower.evaluation.results import SliceRow
from twotower.reports.diagnostics import FrontierPoint
from twotower.reports.figures import Look, legend, series
from twotower.reports.wording import ALIKE


def draw_frontier(points: Sequence[FrontierPoint], axes: Axes, look: Look) -> None:
    """Recall over the time of one query: a line per index, the setting that serves ringed."""
    names = list(dict.fromkeys(_index_of(point) for point in points))
    for at, name in enumerate(names):
        mine = sorted((p for p in points if _index_of(p) == name), key=lambda p: p.p50_ms)
        style = series(at, look)
        axes.plot([p.p50_ms for p in mine], [p.recall for p in mine], linewidth=1.2, markersize=6, label=name, **style)
    chosen = [p for p in points if p.chosen]
    if chosen:
        axes.scatter(
            [p.p50_ms for p in chosen], [p.recall for p in chosen], s=150, facecolors="none", edgecolors=look.ink,
            linewidths=1.4, label="serves", zorder=3,
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = _round_ticks([p.p50_ms for p in points])
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.08, 0.1)
    axes.set_xlabel("ms for one query, median")
    axes.set_ylabel("least recall against exact search")
    legend(axes, look)


def draw_slices(rows: Sequence[SliceRow], axes: Axes, look: Look) -> None:
    """Difference from the baseline with its interval, a line per slice; filled where it was told apart."""
    for at, row in enumerate(rows):
        low, high = row.difference_low, row.difference_high
        difference = row.difference or 0.0
        sure = low is not None and high is not None and not low <= 0 <= high
        colour = look.soft if not sure else look.series[0] if difference > 0 else look.series[4]
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
    axes.set_xlabel(f"difference; a ring ({ALIKE}) where the interval holds 0")


def _index_of(point: FrontierPoint) -> str:
    """The index without its effort, whose name and number end the label."""
    words = point.label.split()
    return " ".join(words[:-2]) if len(words) > 2 and words[-1].isdecimal() else point.label


def _round_ticks(values: Sequence[float]) -> list[float]:
    """Round numbers from just below the least value to just above the largest: 1, 2 and 5 times powers of ten."""
    low, high = min(values), max(values)
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    rounds = [step * 10.0**power for power, step in itertools.product(powers, (1, 2, 5))]
    below, above = max(r for r in rounds if r <= low), min(r for r in rounds if r >= high)
    kept = [r for r in rounds if below <= r <= above]
    return kept if len(kept) <= 7 else [r for r in kept if f"{r:e}".startswith("1")]
