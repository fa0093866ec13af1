"""The report page: one HTML file without a network, first what a decision needs, then what an engineer asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from twotower.evaluation.families import FAMILIES, HEADLINES, OURS
from twotower.evaluation.report import Report
from twotower.evaluation.results import Gain, ModelFacts, Row
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.metrics.metric import Metric
from twotower.reports import charts, tables, wording
from twotower.reports import figures as plots
from twotower.reports.diagnostics import Insights
from twotower.text import gib_text

TEMPLATE = Path(__file__).parent / "templates" / "report.html.jinja"
MAX_PEERS = 4
"""Others in the first figure, and as many runs beside ours; the tables hold all."""
_SHORT = {"cf": "CF", "hybrid": "hybrid"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure of the page: the file that it also becomes, how it is drawn, what it shows, its size in inches."""

    file: str
    draw: plots.Draw
    told: str
    size: tuple[float, float] = plots.SIZE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a manager reads: our contender beside the others.

    Attributes:
        ours: our best contender that answers in service.
        row: its primary metric.
        peers: the others, best first: the best of every family in `HEADLINES` and the baseline always among them.
        called: ours and the others, to the name with what it is.
        behind: the other one that is better, if one is.
    """

    ours: str
    row: Row
    peers: tuple[str, ...]
    called: Mapping[str, str]
    behind: str | None


def page(report: Report, insights: Insights | None = None) -> str:
    """The whole page as text; parts of `insights` that are missing are left out."""
    insights = insights or Insights("")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "signed": _signed,
        "share": lambda value: f"{value:.1%}",
        "whole": lambda value: f"{value:+.0%}",
    }
    verdict = verdict_of(report)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        seen=insights,
        verdict=verdict,
        gains=gains_of(report, verdict),
        cut_offs=tables.cut_offs(report, verdict.row.metric),
        conclusion=_conclusion(report, verdict.row),
        figures={shown.file: plots.svg(shown.draw, shown.told, shown.size) for shown in figures_of(report, insights)},
        columns=_columns(report),
        rows=[_row(report, model, verdict) for model in report.ranking()],
        metric_tables=[_metric_table(report, metric) for metric in report.metrics],
        slice_tables=wording.slice_tables(report),
        expenses=[(model, tables.costs_of(model)) for model in report.models],
        test_note=tables.test_note(report).replace("`", ""),
        competitors=report.split.get("competitors"),
        meaning=metric_meaning,
        label=metric_label,
        say=wording,
        catalogue_of=tables.catalogue_of,
        gib=gib_text,
    )


def verdict_of(report: Report) -> Verdict:
    """Our contender and those that stand beside it in the first figure."""
    ranked, hero, foreign = report.ranking(), report.hero(), report.foreign()
    roles: dict[str, list[str]] = {}
    for family in HEADLINES:
        best = next((model.name for model in foreign if model.family == family), None)
        if best is not None:
            roles.setdefault(best, []).append(f"best {_SHORT[family]}")
    if report.baseline is not None and report.baseline != hero.name:
        roles.setdefault(report.baseline, []).append("baseline")
    siblings = [model.name for model in ranked if model.family == OURS and model.name != hero.name][:MAX_PEERS]
    shown = [*roles, *(name for name in siblings if name not in roles)]
    shown += [model.name for model in foreign if model.name not in shown][: max(0, MAX_PEERS - len(shown))]
    peers = tuple(model.name for model in ranked if model.name in shown)
    mine = [f"{hero.name} (ours)"] if hero.family == OURS else [hero.name]
    called = {name: f"{name} ({', '.join(roles[name])})" if name in roles else name for name in peers}
    better = foreign[0].name if foreign and ranked.index(foreign[0]) < ranked.index(hero) else None
    row = report.row(hero.name, report.primary)
    return Verdict(hero.name, row, peers, {hero.name: mine[0], **called}, better)


def gains_of(report: Report, verdict: Verdict) -> list[tuple[str, list[Gain]]]:
    """Relative gains of ours over each of the others, at every cut-off; nothing where the report has none."""
    found = {(gain.against, gain.metric): gain for gain in report.gains if gain.model == verdict.ours}
    metrics = [str(metric) for metric in Metric.parse(report.primary).over(report.ks)]
    return [
        (peer, [found[peer, metric] for metric in metrics])
        for peer in verdict.peers
        if all((peer, metric) in found for metric in metrics)
    ]


def figures_of(report: Report, insights: Insights | None = None) -> list[Shown]:
    """Every figure for which there are data, in the page's order."""
    seen = insights or Insights("")
    verdict, metric = verdict_of(report), Metric.parse(report.primary).name
    curves = partial(plots.draw_curves, report, verdict.called, metric)
    found = [Shown("curve", curves, f"{metric}@k over k, with intervals")] if verdict.row.k else []
    found += _slices(report, verdict)
    if seen.stages:
        found.append(Shown("stages", partial(plots.draw_stages, seen.stages), "Recall of the candidates of each stage"))
    if seen.scores:
        told = "RankNet's scores of candidates chosen later and not"
        found.append(Shown("scores", partial(plots.draw_scores, seen.scores), told))
    if seen.reliability:
        told = "Observed over foreseen probability"
        found.append(Shown("calibration", partial(plots.draw_reliability, seen.reliability), told))
    if seen.exposure:
        told = "Shares of popular and rare items"
        found.append(Shown("exposure", partial(plots.draw_exposure, seen.exposure), told))
    if seen.vectors:
        found.append(Shown("map", partial(plots.draw_map, seen.vectors), "Item vectors in the plane"))
    if seen.frontier and seen.frontier.points:
        told = "Recall over the time of one query, for every measured setting"
        found.append(Shown("frontier", partial(charts.draw_frontier, seen.frontier.points), told))
    trade = _trade(report)
    if len(trade) > 1:
        told = "Quality over novelty, one point per model"
        found.append(Shown("novelty", partial(plots.draw_trade, trade, report.primary), told))
    return found + _learning(seen)


def _slices(report: Report, verdict: Verdict) -> list[Shown]:
    """Gains of ours over the baseline, a figure per kind of slice."""
    rows = [row for row in report.slices if row.model == verdict.ours and row.metric == report.primary]
    by_kind = {row.kind: [r for r in rows if r.kind == row.kind and r.difference is not None] for row in rows}
    return [
        Shown(
            f"slices_{kind}",
            partial(charts.draw_slices, of_kind),
            f"Difference of {verdict.ours} from {report.baseline} by {kind}, with intervals",
            (plots.SIZE[0], 0.9 + 0.33 * len(of_kind)),
        )
        for kind, of_kind in by_kind.items()
        if of_kind
    ]


def _learning(seen: Insights) -> list[Shown]:
    """Validation quality and training loss of the first phase: the one that chose the number of epochs."""
    if not seen.curves:
        return []
    epochs = seen.curves[0][1]
    return [
        Shown(f"learning_{what}", partial(plots.draw_learning, epochs, what), told)
        for what, told in (("validation", "Quality on validation over epochs"), ("loss", "Training loss over epochs"))
        if any(what in epoch for epoch in epochs)
    ]


def _trade(report: Report) -> list[tuple[str, float, float]]:
    name = f"novelty@{Metric.parse(report.primary).k}"
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
        "trials",
        *(["seeds"] if wording.has_seeds(report) else []),
        *map(metric_label, tables.headline_metrics(report)),
    ]


def _row(report: Report, model: ModelFacts, verdict: Verdict) -> dict[str, Any]:
    """One model in the table: its cells, whether it is the one of the verdict, and the mark of its test."""
    row = report.row(model.name, report.primary)
    others = [f"{report.row(model.name, metric).mean:.4f}" for metric in tables.headline_metrics(report)]
    cells = [
        f"{row.mean:.4f}",
        tables.interval_text(row),
        f"{tables.gain_text(report, row)} {wording.mark(report, row)}".strip(),
        tables.p_text(row),
        tables.trials_text(model),
        *([wording.seeds_text(model, row)] if wording.has_seeds(report) else []),
    ]
    return {
        "model": model.name,
        "family": FAMILIES.get(model.family, model.family),
        "chosen": model.name == verdict.ours,
        "cells": [*cells, *others],
    }


def _metric_table(report: Report, metric: str) -> dict[str, Any]:
    keys = report.keys(metric)
    rows = [(model.name, [report.row(model.name, key) for key in keys]) for model in report.measured(metric)]
    return {"metric": metric, "heads": tables.cut_off_heads(report, metric), "rows": rows}


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"
