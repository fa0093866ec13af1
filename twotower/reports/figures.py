"""What the report's figures share: SVG in the page's own colours (light and dark), PNG, and the look of series."""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

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


def svg(draw: Draw, alt: str, size: tuple[float, float] = SIZE) -> str:
    """An `<svg>` element whose colours and letters are those of the page around it.

    Args:
        draw: draws onto the axes in the colours that it is given.
        alt: what the figure shows, for those who cannot see it.
        size: width and height in inches.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
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
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg role="img" aria-label="{label}" \1>', text, count=1)


def png(draw: Draw, size: tuple[float, float], path: Path) -> None:
    """The same figure on white."""
    path.write_bytes(_rendered(draw, PRINT, "png", size))


def _rendered(draw: Draw, look: Look, form: str, size: tuple[float, float]) -> bytes:
    with mpl.rc_context({"text.parse_math": False, "hatch.linewidth": 0.8}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser's fonts know more letters than this one
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes, look)
        _dress(axes, look)
        image = io.BytesIO()
        figure.savefig(
            image, format=form, transparent=form == "svg", dpi=150, metadata={"Date": None} if form == "svg" else None
        )
    return image.getvalue()


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


def log_ticks(axes: Axes, ticks: Sequence[int]) -> None:
    """The numbers themselves on a logarithmic axis."""
    axes.set_xscale("log")
    axes.set_xticks(list(ticks), [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
