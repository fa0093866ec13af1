"""Figures of a search over index settings: recall against time and against memory, named where the points are."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from twotower.ann.measuring.pareto import NEAR, IndexSearch, Setting, lost_recall, milliseconds, pareto_front
from twotower.reports.figures import PRINT, legend, series
from twotower.reports.front import HALO, Point, cost_ticks, draw_front, draw_labels, draw_ring

Cost = Callable[[Setting], float]
_FINEST = 1e-4
_LIGHTEST = 1.0
_TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1)
_LIMIT: dict[str, Any] = {"color": PRINT.series[4], "linewidth": 1, "linestyle": (0, (5, 3)), "zorder": 1}
"""Lines of what was wanted."""


def draw_time(search: IndexSearch, path: Path) -> None:
    """Draws recall over the time of one query (log scale), with the settings that no other one beats, as a PNG."""
    figure, axes = _prepared(search, milliseconds, _time_label(search))
    best = pareto_front(search.settings, (milliseconds, lost_recall))
    draw_front({"settings that no other one beats": _points(best, milliseconds)}, axes, PRINT)
    near = [s for s in best if s.least >= NEAR * search.goal.recall and s is not search.chosen]
    near.sort(key=lambda s: abs(s.least - search.goal.recall))  # those of most interest get room first
    chosen = f"chosen: {search.chosen.label}" if search.chosen else ""
    _ring(search, milliseconds, chosen, axes)
    _finish(figure, axes, search, [(s.label, (s.p50_ms, s.least)) for s in near], path)


def draw_backends(search: IndexSearch, path: Path) -> None:
    """Draws recall over the time of one query (log scale), with one line for each backend, as a PNG."""
    figure, axes = _prepared(search, milliseconds, _time_label(search))
    own = {backend: [s for s in search.settings if s.backend == backend] for backend in search.backends}
    best = {backend: pareto_front(settings, (milliseconds, lost_recall)) for backend, settings in own.items()}
    draw_front({backend: _points(settings, milliseconds) for backend, settings in best.items()}, axes, PRINT)
    _ring(search, milliseconds, "chosen", axes)
    _finish(figure, axes, search, [], path)


def draw_memory(search: IndexSearch, path: Path) -> None:
    """Draws recall over bytes per vector (log scale), a column for each built index, as a PNG."""
    counted = "including" if search.goal.counts_vectors else "beside"
    label = f"bytes per vector in the index's files, {counted} the shared item vectors ({4 * search.dim} bytes)"

    def weight(setting: Setting) -> float:
        return max(_LIGHTEST, search.goal.weight(setting))

    figure, axes = _prepared(search, weight, label)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x > _LIGHTEST else f"≤ {_LIGHTEST:g}"))
    if search.goal.bytes_per_vector is not None:
        axes.axvline(search.goal.bytes_per_vector, **_LIMIT)
    tops: dict[str, list[Setting]] = {backend: [] for backend in search.backends}
    names = []
    for build in dict.fromkeys(s.build for s in search.settings):
        own = [s for s in search.settings if s.build == build]
        top = max(own, key=lambda s: s.least)
        tops[top.backend].append(top)
        names.append((_with_time(build, own, search.goal.recall), (weight(top), top.least)))
        axes.vlines(weight(top), min(s.least for s in own), top.least, color=PRINT.soft, linewidth=1, alpha=0.6)
    for at, (backend, settings) in enumerate(tops.items()):
        look = {**series(at, PRINT), "linestyle": ""}
        axes.plot(*np.transpose(_points(settings, weight)), markersize=6, label=backend, **look)
    _ring(search, weight, "chosen", axes)
    _finish(figure, axes, search, names, path)


def _with_time(build: str, settings: Sequence[Setting], recall: float) -> str:
    """A built index, with the least time in which it reaches the wanted recall, if it does."""
    times = [s.p50_ms for s in settings if s.least >= recall]
    return f"{build}: {min(times):.2g} ms" if times else build


def _time_label(search: IndexSearch) -> str:
    threads = f"{search.threads or 'all'} thread{'' if search.threads == 1 else 's'}"
    return f"milliseconds for one query, median, k = {search.settings[0].latency.k}, {threads}"


def _prepared(search: IndexSearch, cost: Cost, label: str) -> tuple[Figure, Axes]:
    """A figure with its scales and grid, the line that is to be reached, and every setting as a dot."""
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    costs, recalls = [cost(s) for s in search.settings], [s.least for s in search.settings]
    cost_ticks(costs, axes, most=16)
    axes.set_xlim(min(costs) / 1.8, max(costs) * 1.8)
    axes.set_yscale("function", functions=(_stretched, _narrowed))
    low = min(*recalls, search.goal.recall)
    axes.set_ylim(_narrowed(max(0.0, _stretched(low) - 0.15)), _narrowed(_stretched(1) + 0.25))
    axes.yaxis.set_major_locator(FixedLocator([t for t in _TICKS if t >= low - 0.2]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)
    lengths = ", ".join(f"@{k}" for k in search.settings[0].recall)
    axes.set_ylabel(f"recall, lowest of {lengths} (stretched towards 1)" if "," in lengths else f"recall{lengths}")
    axes.scatter(costs, recalls, s=11, color=PRINT.soft, alpha=0.4, linewidths=0)
    axes.axhline(search.goal.recall, **_LIMIT)
    axes.annotate(
        f"target {search.goal.recall:g}", (1, search.goal.recall), (-3, 3), xycoords=axes.get_yaxis_transform(),
        textcoords="offset points", ha="right", va="bottom", fontsize=8.5, color=PRINT.series[4], path_effects=HALO,
    )  # fmt: skip
    return figure, axes


def _ring(search: IndexSearch, cost: Cost, label: str, axes: Axes) -> None:
    """A ring around the chosen setting, if there is one."""
    draw_ring(_points([search.chosen] if search.chosen else [], cost), label, axes, PRINT)


def _finish(figure: Figure, axes: Axes, search: IndexSearch, names: Sequence[tuple[str, Point]], path: Path) -> None:
    """The legend, the title, and the names where there is room."""
    legend(axes, PRINT)
    figure.suptitle(f"{search.subject} · {search.count:,} × {search.dim} · {search.metric}", x=0.02, ha="left")
    figure.draw_without_rendering()  # the place of the axes is known from here on
    draw_labels(names, axes, PRINT)
    figure.savefig(path, format="png", dpi=160)


def _points(settings: Iterable[Setting], cost: Cost) -> list[Point]:
    return [(cost(setting), setting.least) for setting in settings]


def _stretched(recall: Any) -> Any:
    """Equal steps from .9 to .99 and from .99 to .999: what is lost on a log scale."""
    return -np.log10(np.maximum(1 + _FINEST - np.asarray(recall, np.float64), _FINEST / 10))


def _narrowed(height: Any) -> Any:
    """The recall at a height: undoes `_stretched`."""
    return 1 + _FINEST - 10.0 ** -np.asarray(height, np.float64)
