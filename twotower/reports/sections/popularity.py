"""Section `popularity`: whether lists show popular items more than they are chosen, and how varied they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from twotower.evaluation.report import Report
from twotower.metrics.groups import SHELVES, by_shelf
from twotower.metrics.metric import Metric
from twotower.reports import tables, wording
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import Look, legend, series
from twotower.reports.section import ReportFigure, Section
from twotower.reports.watching import floats
from twotower.text import table
from twotower.types import NO_ITEM, Array, Ids, TopK

PLACES = 10
"""Of every list, counted as shown."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Share of events, targets and list places that fall on each shelf of the catalogue."""

    shelves: tuple[str, ...]
    shares: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class ShownItems:
    """What the lists of a run show."""

    exposure: Exposure


class Popularity(Section[ShownItems]):
    """Popular and rare items, and the metrics of all lists together."""

    name = "popularity"

    def measure(self, run: ExaminedRun) -> ShownItems | None:
        """Exposure in the lists of the watched users."""
        watched, history = run.watched, run.split.test.history
        if watched is None:
            return None
        shown = {
            "earlier events": history.item,
            "later choices": watched.relevant.values,
            "first stage": _items(watched.candidates.head(PLACES)),
            "both stages": _items(watched.ranked.head(PLACES)),
        }
        return ShownItems(exposure_of(history.item_counts(), shown))

    def words(self, report: Report, value: ShownItems | None) -> Mapping[str, Any] | None:
        """A model's cells in the table of all lists together; None where no lists were asked for."""
        if not report.ks:
            return None
        cells = {model.name: tables.catalogue_of(report, model) for model in report.ranking()}
        return {"ours": report.hero().name, "catalogue": cells}

    def figures(self, report: Report, value: ShownItems | None) -> list[ReportFigure]:
        """Exposure, and quality over novelty where several models have both."""
        figures = []
        if value:
            draw = partial(draw_exposure, value.exposure)
            figures.append(ReportFigure("exposure", draw, "Shares of popular and rare items"))
        trade = _trade(report)
        if len(trade) > 1:
            draw = partial(draw_trade, trade, report.primary)
            figures.append(ReportFigure("novelty", draw, "Quality over novelty, one point per model"))
        return figures

    def markdown(self, report: Report, value: ShownItems | None) -> Iterator[str]:
        """The metrics of all lists together; nothing where no lists were asked for."""
        if not report.ks:
            return
        rows = [[model.name, *tables.catalogue_of(report, model)] for model in report.ranking()]
        yield "## Catalogue"
        yield wording.catalogue_meaning(report)
        yield table([["model", *wording.catalogue_heads(report)], *rows])


def exposure_of(popularity: Array, shown: Mapping[str, Ids]) -> Exposure:
    """How items of each shelf are represented among `shown`, name to internal ids (repeats count)."""
    shelf = by_shelf(popularity)
    shares = {
        name: floats(np.bincount(shelf[items], minlength=len(SHELVES)) / max(len(items), 1))
        for name, items in shown.items()
    }
    return Exposure(tuple(label for _, _, label in SHELVES), shares)


def draw_exposure(exposure: Exposure, axes: Axes, look: Look) -> None:
    """Bars per shelf of the catalogue, one kind each for events, targets and the stages' places."""
    width, shelves = 0.8 / len(exposure.shares), np.arange(len(exposure.shelves))
    bars = zip(exposure.shares.items(), ("", "///", "...", ""), strict=False)
    for at, ((label, shares), hatch) in enumerate(bars):
        colour = look.series[(2, 1, 5, 0)[at % 4]]
        offset = (at - (len(exposure.shares) - 1) / 2) * width
        axes.bar(
            shelves + offset, shares, width * 0.92, label=label, hatch=hatch, edgecolor=colour, linewidth=0.8,
            facecolor="none" if hatch else colour,
        )  # fmt: skip
    axes.set_xticks(shelves, exposure.shelves)
    axes.set_xlabel("items by number of training events")
    axes.set_ylabel("share")
    legend(axes, look)


def draw_trade(points: list[tuple[str, float, float]], primary: str, axes: Axes, look: Look) -> None:
    """Quality over novelty, one marker per model, numbered in the order of the legend."""
    for at, (name, novelty, quality) in enumerate(points):
        style = series(at, look)
        axes.scatter([novelty], [quality], s=45, color=style["color"], marker=style["marker"], label=name)
    axes.set_xlabel("novelty: bits of surprise of a shown item")
    axes.set_ylabel(primary)
    axes.margins(0.12)
    legend(axes, look)


def _trade(report: Report) -> list[tuple[str, float, float]]:
    """Name, novelty and quality of the models whose novelty is known."""
    metric = f"novelty@{Metric.parse(report.primary).k}"
    novelties = [(model.name, model.catalogue.get(metric)) for model in report.ranking()]
    return [
        (name, novelty, report.row(name, report.primary).mean) for name, novelty in novelties if novelty is not None
    ]


def _items(lists: TopK) -> Ids:
    items: Ids = lists.items[lists.items != NO_ITEM]
    return items
