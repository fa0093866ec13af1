"""Section `audit`: how far figures hang on the cut: ties in time, later events learnt, targets that none can find."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.report import Report
from twotower.metrics.labels import metric_label
from twotower.reports.audit import audit_rows
from twotower.reports.section import Section
from twotower.text import table


class Audit(Section[None]):
    """Shares by part, and the figures under both orders of equal times where they were asked for."""

    name = "audit"

    def words(self, report: Report, value: None) -> Mapping[str, Any] | None:
        """Two tables; None for reports from before there was an audit."""
        rows = audit_rows(report)
        return {"audit": rows, "orders": _orders(report)} if rows else None

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The same tables."""
        if not (rows := audit_rows(report)):
            return
        yield "## Audit of the split"
        yield table([["share of", "validation", "test"], *(list(row) for row in rows)])
        if orders := _orders(report):
            yield f"{metric_label(report.primary)} where events at equal times are taken in the opposite order:"
            yield table([["model", "order of the file", "opposite order"], *orders])


def _orders(report: Report) -> list[list[str]]:
    return [
        [
            row.model,
            f"{row.mean:.4f} ({row.low:.4f}–{row.high:.4f})",
            f"{row.reversed_mean:.4f} ({row.reversed_low:.4f}–{row.reversed_high:.4f})",
        ]
        for row in report.other_order
    ]
