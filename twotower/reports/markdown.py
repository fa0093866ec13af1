"""A report as a Markdown page: the same sections as the HTML page, those with tables of models first."""

from twotower.evaluation.report import Report
from twotower.reports import page
from twotower.reports.section import Insights

_FIRST = (
    "headline",
    "repeat",
    "models",
    "moments",
    "gains",
    "stages",
    "index",
    "slices",
    "metrics",
    "popularity",
    "scores",
)
"""Sections that start the page, in this order; all others follow in that of the HTML page."""


def markdown(report: Report, insights: Insights | None = None) -> str:
    """The whole report as one page; sections that lack their data are left out."""
    values = insights.values if insights else {}
    places = {name: place for place, name in enumerate(_FIRST)}
    sections = sorted(page.SECTIONS, key=lambda section: places.get(section.name, len(places)))
    blocks = [block for section in sections for block in section.markdown(report, values.get(section.name))]
    return "\n\n".join(blocks) + "\n"
