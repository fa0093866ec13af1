"""Figures of a search over index settings: recall against time and against memory, labelled where the points are."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from twotower.ann.measuring.pareto import NEAR, IndexSearch, Setting, lost_recall, milliseconds, pareto_front
from twotower.reports.static_figures import COLOURS, MARKERS
from twotower.types import Array

_FINEST = 1e-4
_LIGHTEST = 1.0
_TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1)
_INK, _GREY = "#222222", "#8a8a8a"
_HALO = [patheffects.withStroke(linewidth=3, foreground="white")]
_PLACES = (
    (-7, 4, "right", "bottom"), (-8, 0, "right", "center"), (0, 9, "center", "bottom"), (7, 4, "left", "bottom"),
    (8, 0, "left", "center"), (7, -4, "left", "top"), (0, -9, "center", "top"), (-7, -4, "right", "top"),
    (-16, 14, "right", "bottom"), (16, -14, "left", "top"), (16, 14, "left", "bottom"),
)  # fmt: skip
"""Where a label may stand, seen from its point, in points; the first that is free is taken."""


Cost = Callable[[Setting], float]


@dataclass(frozen=True, slots=True)
class _Label:
    """A text that belongs to one of several points; the first with room gets it."""

    text: str
    anchors: Sequence[tuple[float, float]]
    colour: str
    weight: str = "normal"


def draw_time(tuned: IndexSearch, path: Path) -> None:
    """Draws recall over the time of one query (log scale), with the settings that no other one beats, as a PNG."""
    _draw(tuned, path, milliseconds, _time_label(tuned), _unbeaten)


def draw_backends(tuned: IndexSearch, path: Path) -> None:
    """Draws recall over the time of one query (log scale), with one line for each backend, as a PNG."""
    _draw(tuned, path, milliseconds, _time_label(tuned), _backends)


def draw_memory(tuned: IndexSearch, path: Path) -> None:
    """Draws recall over bytes per vector (log scale), with what each built index reaches, as a PNG."""
    counted = "including" if tuned.goal.counts_vectors else "beside"
    label = f"bytes per vector in the index's files, {counted} the shared item vectors ({4 * tuned.dim} bytes)"
    _draw(tuned, path, lambda setting: max(_LIGHTEST, tuned.goal.weight(setting)), label, _builds)


def _time_label(tuned: IndexSearch) -> str:
    threads = f"{tuned.threads or 'all'} thread{'' if tuned.threads == 1 else 's'}"
    return f"milliseconds for one query, median, k = {tuned.settings[0].latency.k}, {threads}"


def _draw(tuned: IndexSearch, path: Path, cost: Cost, label: str, drawn: Callable[..., Iterator[_Label]]) -> None:
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _prepare(axes, tuned, cost, label)
    axes.set_title(f"{tuned.subject} · {tuned.count:,} × {tuned.dim} · {tuned.metric}", loc="left", color=_INK)
    labels = [*_chosen(axes, tuned, cost, named=drawn is _unbeaten), *drawn(axes, tuned, cost)]
    every = [(cost(s), s.least) for s in tuned.settings]
    figure.draw_without_rendering()  # the place of the axes is known from here on
    _place(axes, labels, every)
    figure.savefig(path, format="png", dpi=160)


def _prepare(axes: Axes, tuned: IndexSearch, cost: Cost, label: str) -> None:
    """Scales, grid, and the line that is to be reached."""
    axes.set_xscale("log")
    axes.set_yscale("function", functions=(_stretched, _narrowed))
    costs, recalls = [cost(s) for s in tuned.settings], [s.least for s in tuned.settings]
    axes.set_xlim(min(costs) / 1.8, max(costs) * 1.8)
    low = min(*recalls, tuned.goal.recall)
    axes.set_ylim(_narrowed(max(0.0, _stretched(low) - 0.15)), _narrowed(_stretched(1) + 0.25))
    axes.yaxis.set_major_locator(FixedLocator([t for t in _TICKS if t >= low - 0.2]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)
    lengths = ", ".join(f"@{k}" for k in tuned.settings[0].recall)
    axes.set_ylabel(f"recall, lowest of {lengths} (stretched towards 1)" if "," in lengths else f"recall{lengths}")
    axes.axhline(tuned.goal.recall, color=COLOURS[4], linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    axes.annotate(
        f"target {tuned.goal.recall:g}", (1, tuned.goal.recall), (-3, 3), xycoords=axes.get_yaxis_transform(),
        textcoords="offset points", ha="right", va="bottom", fontsize=8.5, color=COLOURS[4], path_effects=_HALO,
    )  # fmt: skip


def _unbeaten(axes: Axes, tuned: IndexSearch, cost: Cost) -> Iterator[_Label]:
    """All settings as dots, those that no other one beats joined by a line and named."""
    best = pareto_front(tuned.settings, (cost, lost_recall))
    _dots(axes, [s for s in tuned.settings if s not in best], cost, _GREY)
    axes.plot([cost(s) for s in best], [s.least for s in best], color=_INK, linewidth=1.2, zorder=2)
    for setting in best:
        colour, marker = _look(tuned, setting.backend)
        axes.plot(cost(setting), setting.least, marker, color=colour, markersize=6, zorder=3)
    for setting in sorted(best, key=lambda s: abs(s.least - tuned.goal.recall)):  # the most wanted get room first
        if setting is not tuned.chosen and setting.least >= NEAR * tuned.goal.recall:
            yield _Label(setting.label, [(cost(setting), setting.least)], _look(tuned, setting.backend)[0])


def _backends(axes: Axes, tuned: IndexSearch, cost: Cost) -> Iterator[_Label]:
    """For each backend its settings as dots, those that none of its own beats joined by a line, named once."""
    for backend in tuned.backends:
        colour, marker = _look(tuned, backend)
        own = [s for s in tuned.settings if s.backend == backend]
        best = pareto_front(own, (cost, lost_recall))
        _dots(axes, own, cost, colour)
        axes.plot(
            [cost(s) for s in best], [s.least for s in best], color=colour, marker=marker, markersize=5, linewidth=1.5
        )
        middle_first = sorted(range(len(best)), key=lambda i: abs(i - len(best) // 2))
        yield _Label(backend, [(cost(best[i]), best[i].least) for i in middle_first], colour, "bold")


def _builds(axes: Axes, tuned: IndexSearch, cost: Cost) -> Iterator[_Label]:
    """For each built index all its recalls above each other, named with the least time that reaches the wanted one."""
    _budget(axes, tuned)
    for build in dict.fromkeys(s.build for s in tuned.settings):
        own = [s for s in tuned.settings if s.build == build]
        top = max(own, key=lambda s: s.least)
        colour, marker = _look(tuned, top.backend)
        _dots(axes, own, cost, colour)
        axes.plot([cost(s) for s in own], [s.least for s in own], color=colour, linewidth=1, alpha=0.6)
        axes.plot(cost(top), top.least, marker, color=colour, markersize=6, zorder=3)
        enough = [s.p50_ms for s in own if s.least >= tuned.goal.recall]
        told = f"{build}: {min(enough):.2g} ms" if enough else build
        yield _Label(told, [(cost(top), top.least)], colour)


def _budget(axes: Axes, tuned: IndexSearch) -> None:
    """The weight that is not to be exceeded, as a line, and the lightest one that is told apart, as a tick."""
    if tuned.goal.bytes_per_vector is not None:
        axes.axvline(tuned.goal.bytes_per_vector, color=COLOURS[4], linewidth=1, linestyle=(0, (5, 3)), zorder=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x > _LIGHTEST else f"≤ {_LIGHTEST:g}"))


def _dots(axes: Axes, settings: Sequence[Setting], cost: Cost, colour: str) -> None:
    axes.scatter([cost(s) for s in settings], [s.least for s in settings], s=11, color=colour, alpha=0.4, linewidths=0)


def _chosen(axes: Axes, tuned: IndexSearch, cost: Cost, *, named: bool) -> Iterator[_Label]:
    """A ring around the chosen setting, with its name where the others have theirs."""
    if tuned.chosen is not None:
        x, y = cost(tuned.chosen), tuned.chosen.least
        axes.plot(x, y, "o", markersize=13, markerfacecolor="none", markeredgecolor=_INK, markeredgewidth=1.6, zorder=4)
        yield _Label(f"chosen: {tuned.chosen.label}" if named else "chosen", [(x, y)], _INK, "bold")


def _place(axes: Axes, labels: Sequence[_Label], points: Sequence[tuple[float, float]]) -> None:
    """Puts every label where nothing else stands; over dots, then over lines if it must; else it is left out."""
    markers = [_around(axes.transData.transform(label.anchors[0]), 9) for label in labels]
    texts = [*markers, *(child.get_window_extent() for child in axes.texts)]
    dots = [_around(axes.transData.transform(point), 5) for point in points]
    lines = [_around(point, 3) for line in axes.lines for point in _along(line)]
    for label in labels:
        for obstacles in ([*lines, *dots], lines, []):
            placed = _placed(axes, label, [*texts, *obstacles])
            if placed is not None:
                texts.append(placed)
                break


def _along(line: Line2D) -> Iterator[Array]:
    """Points of a drawn line at small distances, in pixels."""
    corners = line.get_transform().transform(line.get_xydata())
    for start, end in itertools.pairwise(corners):
        steps = max(2, int(np.linalg.norm(end - start) / 6))
        yield from np.linspace(start, end, steps)


def _placed(axes: Axes, label: _Label, taken: Sequence[Bbox]) -> Bbox | None:
    """Writes the label at its first free place; gives the room that it takes."""
    for anchor, (dx, dy, horizontal, vertical) in itertools.product(label.anchors, _PLACES):
        note = axes.annotate(
            label.text, anchor, (dx, dy), textcoords="offset points", ha=horizontal, va=vertical, fontsize=8.5,
            color=_darker(label.colour), fontweight=label.weight, path_effects=_HALO, zorder=5,
        )  # fmt: skip
        box = note.get_window_extent()
        inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1
        if inside and not any(box.overlaps(other) for other in taken):
            return box
        note.remove()
    return None


def _darker(colour: str) -> tuple[float, ...]:
    """Dark enough for small letters on white."""
    return tuple(0.68 * part for part in to_rgb(colour))


def _around(point: Array, half: float) -> Bbox:
    x, y = point
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _look(tuned: IndexSearch, backend: str) -> tuple[str, str]:
    """Colour and marker of a backend, the same in every figure."""
    at = tuned.backends.index(backend)
    return COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)]


def _stretched(recall: Any) -> Any:
    """Equal steps from .9 to .99 and from .99 to .999: what is lost on a log scale."""
    return -np.log10(np.maximum(1 + _FINEST - np.asarray(recall, np.float64), _FINEST / 10))


def _narrowed(height: Any) -> Any:
    """The recall at a height: undoes `_stretched`."""
    return 1 + _FINEST - 10.0 ** -np.asarray(height, np.float64)
