"""Section `models`: every model by the primary metric, with its interval and its test against the baseline."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.families import FAMILIES
from twotower.evaluation.report import Report
from twotower.evaluation.results import ModelFacts
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.metrics.metric import Metric
from twotower.reports import tables, wording
from twotower.reports.section import Section
from twotower.text import table


class Models(Section[None]):
    """The table that holds all models, best first."""

    name = "models"

    def words(self, report: Report, value: None) -> Mapping[str, Any]:
        """Heads and rows of the table, and what differences are tested against."""
        return {
            "columns": _columns(report),
            "rows": [_row(report, model) for model in report.ranking()],
            "test_note": tables.test_note(report).replace("`", ""),
        }

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The same table, with the best score on validation."""
        yield f"## {metric_label(report.primary)}"
        yield (
            f"{metric_meaning(report.primary)} Intervals: {report.level:.0%} bootstrap over users "
            f"({report.resamples:,} resamples). {tables.test_note(report)} {wording.MARKS}."
        )
        yield _markdown_table(report)


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


def _row(report: Report, model: ModelFacts) -> dict[str, Any]:
    """One model in the table: its cells, and whether it is the one of the verdict."""
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
        "chosen": model.name == report.hero().name,
        "cells": [*cells, *others],
    }


def _markdown_table(report: Report) -> str:
    seeds = ["seeds"] if wording.has_seeds(report) else []
    heads = [metric_label(report.primary), f"{report.level:.0%} interval", "vs baseline", "p (Holm)", "validation"]
    rows = [["model", *heads, "trials", *seeds]]
    for model in report.ranking():
        row = report.row(model.name, report.primary)
        gain = f"{tables.gain_text(report, row)} {wording.mark(report, row)}".strip()
        cells = [f"{row.mean:.4f}", tables.interval_text(row), gain, tables.p_text(row), _best_trial(model)]
        rows.append([model.name, *cells, tables.trials_text(model), *(wording.seeds_text(model, row) for _ in seeds)])
    return table(rows)


def _best_trial(model: ModelFacts) -> str:
    scores = [trial["score"] for trial in model.trials if trial["score"] is not None]
    best = min if model.tuned_on and Metric.parse(model.tuned_on).better == "lower" else max
    return f"{best(scores):.4f}" if scores else "–"
