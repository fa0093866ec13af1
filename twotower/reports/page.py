"""The report page: one HTML file without a network, first what a decision needs, then what an engineer asks."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from twotower.evaluation.report import Report
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.reports import wording
from twotower.reports.figures import svg
from twotower.reports.section import Insights, ReportFigure, Section
from twotower.reports.sections.audit import Audit
from twotower.reports.sections.cost import Cost
from twotower.reports.sections.examples import Examples
from twotower.reports.sections.gains import Gains
from twotower.reports.sections.headline import Headline
from twotower.reports.sections.index import Index
from twotower.reports.sections.metrics import Metrics
from twotower.reports.sections.models import Models
from twotower.reports.sections.moments import Moments
from twotower.reports.sections.popularity import Popularity
from twotower.reports.sections.repeat import Repeat
from twotower.reports.sections.scores import Scores
from twotower.reports.sections.slices import Slices
from twotower.reports.sections.stages import Stages
from twotower.reports.sections.training import Training
from twotower.reports.sections.vectors import Vectors
from twotower.text import gib_text

SECTIONS: tuple[Section[Any], ...] = (
    Headline(), Gains(), Models(), Moments(), Metrics(), Slices(), Stages(), Index(), Scores(), Popularity(),
    Training(), Vectors(), Examples(), Audit(), Cost(), Repeat(),
)  # fmt: skip
"""In the order of the page."""
_HEADING = re.compile(r"<h2>(.*?)</h2>")
TEMPLATES = Path(__file__).parent / "templates"


def page(report: Report, insights: Insights | None = None) -> str:
    """The whole page as text; sections that lack their data are left out."""
    environment = _environment()
    frame = environment.get_template("report.html.jinja")
    sections, contents = _with_addresses(_partials(environment, report, insights))
    return frame.render(report=report, ours=report.hero().name, sections=sections, contents=contents)


def figures_of(report: Report, insights: Insights | None = None) -> list[ReportFigure]:
    """Every figure for which there are data, in the page's order."""
    values = insights.values if insights else {}
    return [figure for section in SECTIONS for figure in section.figures(report, values.get(section.name))]


def _partials(environment: Environment, report: Report, insights: Insights | None) -> Iterator[str]:
    """The sections that have something to say, as HTML."""
    values = insights.values if insights else {}
    for section in SECTIONS:
        value = values.get(section.name)
        words = section.words(report, value)
        if words is not None:
            partial = environment.get_template(f"sections/{section.name}.html.jinja")
            figures = {f.file: svg(f.draw, f.alt, f.size) for f in section.figures(report, value)}
            yield partial.render(report=report, value=value, figures=figures, **words)


def _with_addresses(partials: Iterator[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The sections with an address for each heading, and the table of contents: addresses and titles, escaped."""
    contents: list[tuple[str, str]] = []

    def addressed(heading: re.Match[str]) -> str:
        address = re.sub(r"[^a-z0-9]+", "-", heading[1].lower()).strip("-") or f"section-{len(contents)}"
        contents.append((address, heading[1]))
        return f'<h2 id="{address}">{heading[1]}</h2>'

    return [_HEADING.sub(addressed, partial) for partial in partials], contents


def _environment() -> Environment:
    """What every partial may use besides its own words."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= _FORMATS
    environment.globals |= {"wording": wording, "label": metric_label, "meaning": metric_meaning, "gib": gib_text}
    return environment


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"


_FORMATS: Mapping[str, Any] = {
    "signed": _signed,
    "share": lambda value: f"{value:.1%}",
    "whole": lambda value: f"{value:+.0%}",
}
"""Filters of numbers."""
