"""Figures of the report page: drawn once, written as SVG in the page's own colours (light and dark) and as PNG."""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from twotower.evaluation.report import Report
from twotower.evaluation.results import Calibration
from twotower.reports.diagnostics import Exposure, Histogram, Stages, VectorMap
from twotower.reports.static_figures import COLOURS, LINES, MARKERS

SIZE = (5.2, 3.4)
"""Inches; narrow, so that letters stay readable where the page is as narrow as a telephone."""
_LEGEND_LETTERS = 64
"""Letters that fit beside each other above the axes, each entry with room for its line."""


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of letters, lesser letters, lines and series."""

    ink: str
    soft: str
    line: str
    series: tuple[str, ...]


PRINT = Look("#222222", "#60606c", "#dcdce4", COLOURS)
PAGE = Look("#010101", "#010102", "#010103", tuple(f"#0102{at:02x}" for at in range(len(COLOURS))))
"""Stand-ins, which `svg` exchanges for the variables of the page's style sheet."""
Draw = Callable[[Axes, Look], None]


def svg(draw: Draw, told: str, size: tuple[float, float] = SIZE) -> str:
    """An `<svg>` element whose colours and letters are those of the page around it.

    Args:
        draw: draws onto the axes in the colours that it is given.
        told: what the figure shows, for those who cannot see it.
        size: width and height in inches.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": told}):
        text = _rendered(draw, PAGE, "svg", size).decode()
    text = text[text.index("<svg") :]
    for name, stand_in in (("ink", PAGE.ink), ("soft", PAGE.soft), ("line", PAGE.line)):
        text = text.replace(stand_in, f"var(--{name})")
    for at, stand_in in enumerate(PAGE.series):
        text = text.replace(stand_in, f"var(--c{at})")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r' id="(?:figure|axes|patch|text|line2d|xtick|ytick|matplotlib|legend|\w+Collection)[\w.]*"', "", text
    )
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
    text = re.sub(r"font: ([^;\"]*?)([\d.]+px) inherit", r"font-size: \2; \1", text)
    label = told.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg role="img" aria-label="{label}" \1>', text, count=1)


def png(draw: Draw, size: tuple[float, float], path: Path) -> None:
    """The same figure on white."""
    path.write_bytes(_rendered(draw, PRINT, "png", size))


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
    _log_ticks(axes, report.ks)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("k, places in the list")
    legend(axes, look)


def draw_stages(stages: Stages, axes: Axes, look: Look) -> None:
    """Recall of the same candidates as each stage orders them."""
    for at, (label, recall) in enumerate((("both stages", stages.ranked), ("first stage alone", stages.retrieved))):
        axes.plot(list(recall), list(recall.values()), label=label, linewidth=2, markersize=5, **series(at, look))
    _log_ticks(axes, list(stages.retrieved))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("T, candidates kept")
    axes.set_ylabel("recall@T")
    legend(axes, look)


def draw_learning(epochs: Sequence[Mapping[str, Any]], what: str, axes: Axes, look: Look) -> None:
    """One quantity of a training over its epochs; the best epoch is ringed where more is better."""
    points = [(epoch["epoch"] + 1, epoch[what]) for epoch in epochs if what in epoch]
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    axes.plot(x, y, linewidth=2, markersize=5, **series(1 if what == "loss" else 0, look))
    if what == "validation":
        best = int(y.argmax())
        axes.scatter([x[best]], [y[best]], s=130, facecolors="none", edgecolors=look.ink, linewidths=1.2)
        axes.annotate(
            f"best {y[best]:.4f}", (x[best], y[best]), (0, -18), textcoords="offset points", ha="center", color=look.ink
        )
        axes.set_ylim(0, 1.12 * y.max() or 1.0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("MAP@10 on validation" if what == "validation" else "training loss")
    axes.set_xticks(x[:: max(1, len(x) // 8)])


def draw_scores(found: Histogram, axes: Axes, look: Look) -> None:
    """Shares of scores of candidates that were chosen later and of those that were not."""
    for at, (label, shares) in enumerate((("chosen later", found.positives), ("not chosen", found.negatives))):
        colour = look.series[at * 4]
        axes.stairs(shares, found.edges, label=label, color=colour, linewidth=1.8, linestyle=LINES[at])
        axes.stairs(shares, found.edges, color=colour, fill=True, alpha=0.15)
    axes.set_xlabel("RankNet's logit")
    axes.set_ylabel("share of each")
    legend(axes, look)


def draw_reliability(found: Calibration, axes: Axes, look: Look) -> None:
    """Observed over foreseen probability, both logarithmic; the diagonal is perfect."""
    seen = [(f, o, n) for f, o, n in zip(found.predicted, found.observed, found.pairs, strict=True) if o > 0]
    foreseen, observed = np.array([p[0] for p in seen]), np.array([p[1] for p in seen])
    ends = (min(foreseen.min(), observed.min()) / 1.5, 1.0)
    axes.plot(ends, ends, color=look.soft, linewidth=1, linestyle="--", label="perfect")
    axes.plot(foreseen, observed, linewidth=2, markersize=5, label="RankNet", **series(0, look))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("foreseen probability")
    axes.set_ylabel("observed share")
    legend(axes, look)


def draw_exposure(found: Exposure, axes: Axes, look: Look) -> None:
    """Bars per shelf of the catalogue, one kind each for events, targets and the stages' places."""
    width, shelves = 0.8 / len(found.shares), np.arange(len(found.shelves))
    for at, ((label, shares), hatch) in enumerate(zip(found.shares.items(), ("", "///", "...", ""), strict=False)):
        colour = look.series[(2, 1, 5, 0)[at % 4]]
        offset = (at - (len(found.shares) - 1) / 2) * width
        axes.bar(
            shelves + offset, shares, width * 0.92, label=label, hatch=hatch, edgecolor=colour, linewidth=0.8,
            facecolor="none" if hatch else colour,
        )  # fmt: skip
    axes.set_xticks(shelves, found.shelves)
    axes.set_xlabel("items by number of training events")
    axes.set_ylabel("share")
    legend(axes, look)


def draw_trade(points: Sequence[tuple[str, float, float]], primary: str, axes: Axes, look: Look) -> None:
    """Quality over novelty, one marker per model, numbered in the order of the legend."""
    for at, (name, novelty, quality) in enumerate(points):
        style = series(at, look)
        axes.scatter([novelty], [quality], s=45, color=style["color"], marker=style["marker"], label=name)
    axes.set_xlabel("novelty: bits of surprise of a shown item")
    axes.set_ylabel(primary)
    axes.margins(0.12)
    legend(axes, look)


def draw_map(found: VectorMap, axes: Axes, look: Look) -> None:
    """Items in the plane; each value of the feature has a colour and a form."""
    x, y, group = np.array(found.x), np.array(found.y), np.array(found.group)
    rest = len(found.names) - 1
    if (group == rest).any():
        axes.scatter(x[group == rest], y[group == rest], s=6, color=look.line, marker=".", label=found.names[rest])
    for at, name in enumerate(found.names[:rest]):
        mask, style = group == at, series(at, look)
        axes.scatter(
            x[mask], y[mask], s=11, color=style["color"], marker=style["marker"], alpha=0.75, label=name, linewidths=0
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second")
    legend(axes, look, marker_scale=2.5)


def _rendered(draw: Draw, look: Look, form: str, size: tuple[float, float]) -> bytes:
    with mpl.rc_context({"text.parse_math": False, "hatch.linewidth": 0.8}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser's fonts know more letters than this one
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes, look)
        _dress(axes, look)
        kept = io.BytesIO()
        figure.savefig(
            kept, format=form, transparent=form == "svg", dpi=150, metadata={"Date": None} if form == "svg" else None
        )
    return kept.getvalue()


def _dress(axes: Axes, look: Look) -> None:
    """Quiet axes: no box, thin lines behind the data."""
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(look.soft)
    axes.grid(axis="y", color=look.line, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=look.soft, length=0, labelsize=9)
    axes.xaxis.label.set_color(look.soft)
    axes.yaxis.label.set_color(look.soft)


def series(at: int, look: Look) -> dict[str, Any]:
    """Colour, marker and line of the series of a number: each tells it from the others alone."""
    return {
        "color": look.series[at % len(look.series)],
        "marker": MARKERS[at % len(MARKERS)],
        "linestyle": LINES[at % len(LINES)],
    }


def legend(axes: Axes, look: Look, marker_scale: float = 1.0) -> None:
    """Above the axes, so that it hides nothing."""
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=0)
    columns = max(1, min(4, _LEGEND_LETTERS // (longest + 6)))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, frameon=False, fontsize=8.5, labelcolor=look.ink,
        borderaxespad=0.2, columnspacing=1.2, handlelength=2.2, markerscale=marker_scale,
    )  # fmt: skip


def _log_ticks(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(list(ticks), [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
