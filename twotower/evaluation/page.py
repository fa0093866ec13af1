"""The report page: one HTML file without a network, first what a decision needs, then what an engineer asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from twotower.evaluation import page_figures as draw
from twotower.evaluation import tables
from twotower.evaluation.insights import Insights
from twotower.evaluation.report import ModelFacts, Report, Row
from twotower.metrics.names import metric_label, metric_meaning

TEMPLATE = Path(__file__).with_name("report.html.jinja")
MAX_PEERS = 4
"""Peers in the first figure; the tables hold all."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure of the page: the file that it also becomes, how it is drawn, what it shows."""

    file: str
    draw: draw.Draw
    told: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a manager reads: our contender beside the others.

    Attributes:
        ours: our contender that answers in service.
        row: its primary metric.
        peers: the others, best first, the baseline always among them.
        behind: the peer that is better, if one is.
    """

    ours: str
    row: Row
    peers: tuple[str, ...]
    behind: str | None


def page(report: Report, insights: Insights | None = None) -> str:
    """The whole page as text; parts of `insights` that are missing are left out."""
    insights = insights or Insights("")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"signed": _signed, "share": lambda value: f"{value:.1%}"}
    verdict = verdict_of(report, insights.ours)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        seen=insights,
        verdict=verdict,
        gains=gains_of(report, verdict),
        conclusion=_conclusion(report, verdict.row),
        figures={shown.file: draw.svg(shown.draw, shown.told) for shown in figures_of(report, insights)},
        columns=_columns(report),
        rows=[_row(report, model, verdict) for model in report.ranking()],
        metric_tables=[_metric_table(report, metric) for metric in report.metrics],
        costs=[tables.index_cost_line(report, cost) for cost in report.index_costs],
        catalogue=_catalogue(report),
        expenses=[_expense(model) for model in report.models],
        test_note=tables.test_note(report).replace("`", ""),
        competitors=report.split.get("competitors"),
        meaning=metric_meaning,
        label=metric_label,
    )


def verdict_of(report: Report, ours: Sequence[str] = ()) -> Verdict:
    """Our contender and its peers; if none is said to be ours, the best of all takes its place.

    Args:
        report: the figures.
        ours: contenders that are no peers, the one that serves first.
    """
    ranked = [model.name for model in report.ranking()]
    best = next((name for name in ours if name in ranked), ranked[0])
    others = [name for name in ranked if name not in ours and name != best]
    peers = [name for name in others if name != report.baseline][: MAX_PEERS - (report.baseline in others)]
    peers += [report.baseline] if report.baseline in others else []
    peers.sort(key=ranked.index)
    behind = others[0] if others and ranked.index(others[0]) < ranked.index(best) else None
    return Verdict(best, report.row(best, report.primary), tuple(peers), behind)


def gains_of(report: Report, verdict: Verdict) -> list[tuple[str, list[float | None]]]:
    """Relative gain of ours over each peer at every cut-off; None where the peer has nothing to compare with."""
    metric = report.primary.partition("@")[0]

    def gain(peer: str, k: int) -> float | None:
        theirs = report.row(peer, f"{metric}@{k}").mean
        return report.row(verdict.ours, f"{metric}@{k}").mean / theirs - 1 if theirs > 0 else None

    return [(peer, [gain(peer, k) for k in report.ks]) for peer in verdict.peers]


def figures_of(report: Report, insights: Insights | None = None) -> list[Shown]:
    """Every figure for which there are data, in the page's order."""
    seen = insights or Insights("")
    verdict, metric = verdict_of(report, seen.ours), report.primary.partition("@")[0]
    models = (verdict.ours, *verdict.peers)
    found = [Shown("curve", partial(draw.draw_curves, report, models, metric), f"{metric}@k over k, with intervals")]
    if seen.stages:
        found.append(Shown("stages", partial(draw.draw_stages, seen.stages), "Recall of the candidates of each stage"))
    if seen.scores:
        told = "RankNet's scores of candidates chosen later and not"
        found.append(Shown("scores", partial(draw.draw_scores, seen.scores), told))
    if seen.reliability:
        told = "Observed over foreseen probability"
        found.append(Shown("calibration", partial(draw.draw_reliability, seen.reliability), told))
    if seen.exposure:
        told = "Shares of popular and rare items"
        found.append(Shown("exposure", partial(draw.draw_exposure, seen.exposure), told))
    if seen.vectors:
        found.append(Shown("map", partial(draw.draw_map, seen.vectors), "Item vectors in the plane"))
    if seen.frontier:
        told = "Recall over the time of one query, for every measured setting"
        found.append(Shown("frontier", partial(draw.draw_frontier, seen.frontier), told))
    trade = _trade(report)
    if len(trade) > 1:
        told = "Quality over novelty, one point per model"
        found.append(Shown("novelty", partial(draw.draw_trade, trade, report.primary), told))
    return found + _learning(seen)


def _learning(seen: Insights) -> list[Shown]:
    """Validation quality and training loss of the first phase: the one that chose the number of epochs."""
    if not seen.curves:
        return []
    epochs = seen.curves[0][1]
    return [
        Shown(f"learning_{what}", partial(draw.draw_learning, epochs, what), told)
        for what, told in (("validation", "Quality on validation over epochs"), ("loss", "Training loss over epochs"))
        if any(what in epoch for epoch in epochs)
    ]


def _trade(report: Report) -> list[tuple[str, float, float]]:
    name = f"novelty@{report.primary.partition('@')[2]}"
    found = [(model, model.catalogue.get(name)) for model in report.ranking()]
    return [(m.name, value, report.row(m.name, report.primary).mean) for m, value in found if value is not None]


def _conclusion(report: Report, row: Row) -> str:
    """What the test against the baseline says, in words."""
    if row.p_holm is None or row.difference is None:
        return ""
    if row.p_holm >= 1 - report.level:
        return f"Chance alone explains the difference from {report.baseline} (p {row.p_holm:.4f} after Holm)."
    return f"Chance hardly explains the difference from {report.baseline} (p {row.p_holm:.4f} after Holm)."


def _columns(report: Report) -> list[str]:
    return [
        "model",
        metric_label(report.primary),
        f"{report.level:.0%} interval",
        "difference",
        "p",
        *map(metric_label, tables.headline_metrics(report)),
    ]


def _row(report: Report, model: ModelFacts, verdict: Verdict) -> dict[str, Any]:
    """One model in the table: its cells, whether it is the one of the verdict, and the mark of its test."""
    row = report.row(model.name, report.primary)
    mark = ""
    if row.p_holm is not None and row.difference is not None:
        mark = "≈" if row.p_holm >= 1 - report.level else "▲" if row.difference > 0 else "▼"
    others = [f"{report.row(model.name, metric).mean:.4f}" for metric in tables.headline_metrics(report)]
    cells = [
        f"{row.mean:.4f}",
        tables.interval_text(row),
        f"{tables.gain_text(report, row)} {mark}".strip(),
        tables.p_text(row),
    ]
    return {"model": model.name, "chosen": model.name == verdict.ours, "cells": [*cells, *others]}


def _metric_table(report: Report, metric: str) -> dict[str, Any]:
    rows = [(model.name, [report.row(model.name, f"{metric}@{k}") for k in report.ks]) for model in report.ranking()]
    return {"metric": metric, "rows": rows}


def _catalogue(report: Report) -> list[tuple[str, list[str]]]:
    k = report.primary.partition("@")[2]
    names = [f"{what}@{k}" for what in ("coverage", "gini", "novelty")]
    return [
        (model.name, ["–" if (value := model.catalogue.get(name)) is None else f"{value:.4f}" for name in names])
        for model in report.ranking()
    ]


def _expense(model: ModelFacts) -> tuple[str, list[str], Mapping[str, Any]]:
    of = f" of {model.grid_size}" if model.grid_size else ""
    trials = f"{len(model.trials)}{of}" if model.trials else "–"
    seconds = [f"{s:,.1f} s" for s in (model.tune_seconds, model.fit_seconds, model.evaluate_seconds)]
    speed = f"{model.users_per_second:,.0f}"
    return model.name, [trials, *seconds, speed, tables.gib_text(model.peak_memory_bytes)], model.options


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"
