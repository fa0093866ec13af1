"""Section `metrics`: every metric of every model at every list length, folded away on the page."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.report import Report
from twotower.evaluation.results import Row
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.reports import tables
from twotower.reports.section import Section
from twotower.text import table


class Metrics(Section[None]):
    """A table per metric: models down, list lengths across."""

    name = "metrics"

    def words(self, report: Report, value: None) -> Mapping[str, Any]:
        """Metric to the heads of its cut-offs and the rows of its table."""
        tables_of = {metric: (tables.cut_off_heads(report, metric), _rows(report, metric)) for metric in report.metrics}
        return {"metric_tables": tables_of}

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The same tables, each under its own heading."""
        for metric in report.metrics:
            yield f"## {metric_label(metric)}"
            yield metric_meaning(metric)
            cells = [
                [model, *(f"{row.mean:.4f} ({row.low:.4f}–{row.high:.4f})" for row in rows)]
                for model, rows in _rows(report, metric)
            ]
            yield table([["model", *tables.cut_off_heads(report, metric)], *cells])


def _rows(report: Report, metric: str) -> list[tuple[str, list[Row]]]:
    """A model's name with its rows at every cut-off, best model first."""
    keys = report.keys(metric)
    return [(model.name, [report.row(model.name, key) for key in keys]) for model in report.measured(metric)]
