"""The front of recall over cost as the report and the page of an index search draw it: lines, rings, ticks, labels."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from twotower.reports.figures import Look, series

Point = tuple[float, float]
"""What a setting costs, and its recall."""
HALO = [patheffects.withStroke(linewidth=3, foreground="white")]
_MARKER = 5
"""Pixels from the middle of a marker to its border."""
_PLACES = ((-5, 4, "right", "bottom"), (6, -4, "left", "top"), (0, 8, "center", "bottom"))
"""Where a label may stand, seen from its point, in points: first to the upper left, where no front has anything."""


def draw_front(lines: Mapping[str, Sequence[Point]], axes: Axes, look: Look) -> None:
    """A line per name through its points, from the cheapest to the dearest."""
    for at, (name, points) in enumerate(lines.items()):
        ordered = sorted(points, key=lambda point: point[0])
        costs, recalls = [cost for cost, _ in ordered], [recall for _, recall in ordered]
        axes.plot(costs, recalls, linewidth=1.2, markersize=6, label=name, **series(at, look))


def draw_ring(points: Sequence[Point], label: str, axes: Axes, look: Look) -> None:
    """Rings around the points of the setting that was chosen."""
    if points:
        axes.scatter(
            [cost for cost, _ in points], [recall for _, recall in points], s=150, facecolors="none",
            edgecolors=look.ink, linewidths=1.4, label=label, zorder=3,
        )  # fmt: skip


def cost_ticks(costs: Sequence[float], axes: Axes, most: int = 7) -> None:
    """A logarithmic axis of costs: at most `most` steps of 1, 2 and 5 around all of them, or else powers of ten."""
    axes.set_xscale("log")
    ticks = _round_ticks(costs, most)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def draw_labels(labels: Sequence[tuple[str, Point]], axes: Axes, look: Look) -> None:
    """Writes each text at its point, the first ones first; one without room beside texts and points is left out.

    The limits of the axes must be set and their place known (`Figure.draw_without_rendering`).
    """
    middles = [axes.transData.transform(point) for _, point in labels]
    taken = [Bbox.from_extents(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in middles]
    taken += [text.get_window_extent() for text in axes.texts]
    for label, point in labels:
        for dx, dy, horizontal, vertical in _PLACES:
            text = axes.annotate(
                label, point, (dx, dy), textcoords="offset points", ha=horizontal, va=vertical, fontsize=8.5,
                color=look.ink, path_effects=HALO, zorder=5,
            )  # fmt: skip
            box = text.get_window_extent()
            if axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1) and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def _round_ticks(values: Sequence[float], most: int) -> list[float]:
    """From just below the least value to just above the largest: 1, 2 and 5 times powers of ten, or powers alone."""
    low, high = min(values), max(values)
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    rounds = [step * 10.0**power for power, step in itertools.product(powers, (1, 2, 5))]
    below, above = max(r for r in rounds if r <= low), min(r for r in rounds if r >= high)
    ticks = [r for r in rounds if below <= r <= above]
    return ticks if len(ticks) <= most else [r for r in ticks if f"{r:e}".startswith("1")]
