"""Section `cost`: trials, times, speed and memory of every model, and the options that it was fitted with."""

from collections.abc import Iterator, Mapping
from typing import Any

from twotower.evaluation.families import FAMILIES
from twotower.evaluation.report import Report
from twotower.evaluation.results import ModelFacts
from twotower.reports import tables, wording
from twotower.reports.section import Section
from twotower.text import table


class Cost(Section[None]):
    """What was spent on every model."""

    name = "cost"

    def words(self, report: Report, value: None) -> Mapping[str, Any]:
        """Models with the cells of what they cost, in the order in which they ran."""
        return {"expenses": [(model, tables.costs_of(model)) for model in report.models]}

    def markdown(self, report: Report, value: None) -> Iterator[str]:
        """The same table, with families, then the options."""
        heads = ["family", "trials", "tuning", "last fit", "evaluation", "users/s", wording.memory_head(report)]
        rows = [[m.name, FAMILIES.get(m.family, m.family), *tables.costs_of(m)] for m in report.models]
        yield "## Cost"
        yield table([["model", *heads], *rows])
        yield "## Options"
        yield wording.joined([f"`{m.name}`: {_plain(m.options)}{_border(m)}" for m in report.ranking()])


def _border(model: ModelFacts) -> str:
    """Says where a search was too narrow."""
    names = ", ".join(f"`{name}`" for name in model.at_border)
    return f"; best at the border of what was tried, so let it grow: {names}" if names else ""


def _plain(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "no options"
