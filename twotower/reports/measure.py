"""Measures what the sections of a report show of a published run beyond its metrics."""

from collections.abc import Mapping
from typing import Any

from twotower.data.split import Split
from twotower.evaluation.report import Report
from twotower.reports import page
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.section import Insights
from twotower.runs.bundle import Bundle


def insights_of(bundle: Bundle, split: Split, report: Report, settings: Mapping[str, Any]) -> Insights:
    """Asks every section for its value.

    Args:
        bundle: the run that the report is about.
        split: whose test is asked.
        report: of the run and others.
        settings: of the evaluation, as composed.
    """
    run = ExaminedRun(bundle, split, report, settings)
    values = {section.name: section.measure(run) for section in page.SECTIONS}
    return Insights(bundle.name, {name: value for name, value in values.items() if value is not None})
