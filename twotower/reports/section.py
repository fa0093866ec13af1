"""`Section`: one section of a report, from measurement to figures, page and Markdown; `Insights` holds the values."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from twotower.evaluation.report import Report
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import SIZE, Draw

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A figure of a section: the file that it also becomes, how it is drawn, its text for those who cannot see it.

    `size` is in inches.
    """

    file: str
    draw: Draw
    alt: str
    size: tuple[float, float] = SIZE


class Section(Generic[Value]):
    """What the report says about one thing.

    A section is a file in `reports/sections/`, a partial of the same name in `reports/templates/sections/` and a place
    in `page.SECTIONS`. What it needs beyond the `Report` is its value: a frozen dataclass that JSON takes, measured on
    a published run. A subclass overrides what it has; without a value it is left out, unless its words say otherwise.
    The fields of all values stand side by side in `insights.json`, so their names must differ.
    """

    name: ClassVar[str]
    """Of its partial and of its value in `Insights`."""

    def measure(self, run: ExaminedRun) -> Value | None:
        """The section's value; None where the run lacks the data."""
        return None

    def words(self, report: Report, value: Value | None) -> Mapping[str, Any] | None:
        """What the partial needs besides `report`, `value` and `figures`; None leaves the section out of the page."""
        return None if value is None else {}

    def figures(self, report: Report, value: Value | None) -> list[ReportFigure]:
        """The figures for which there are data."""
        return []

    def markdown(self, report: Report, value: Value | None) -> Iterator[str]:
        """Blocks of the Markdown page: headings, paragraphs, lists, tables."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Insights:
    """What the sections of a report measured on one run, by the name of the section; what is missing is not there."""

    run: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """JSON text (no NaN): the name of the run, then the fields of all values side by side."""
        facts = {name: part for value in self.values.values() for name, part in asdict(value).items()}
        return json.dumps({"run": self.run, **facts}, indent=1, allow_nan=False, default=str)
