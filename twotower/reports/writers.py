"""Writes a `Report` into a directory: JSON for machines, HTML, Markdown and figures for people; whole files or none."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from twotower.evaluation.report import Report
from twotower.reports.figures import png
from twotower.reports.markdown import markdown
from twotower.reports.page import figures_of, page
from twotower.reports.section import Insights
from twotower.reports.static_figures import draw_metric
from twotower.storage.whole_file import write_whole

FIGURES = {"map": "figures/map_at_k.png", "precision": "figures/precision_at_k.png"}
"""Metric to the figure that shows it."""


def write_report(report: Report, directory: Path, insights: Insights | None = None) -> list[Path]:
    """Writes the figures, `report.md`, `report.html` and `report.json`, the last one last: where it is, all is.

    Args:
        report: what to write.
        directory: made if needed; older files of the same names are replaced one by one.
        insights: what the sections measured beyond the metrics; kept as `figures/insights.json`.

    Returns:
        The files, in the order in which they were written.
    """
    drawn = {metric: name for metric, name in FIGURES.items() if metric in report.metrics}
    makers: dict[str, Callable[[Path], object]] = {
        name: partial(draw_metric, report, metric) for metric, name in drawn.items()
    }
    makers |= {
        f"figures/{figure.file}.png": partial(png, figure.draw, figure.size)
        for figure in figures_of(report, insights)
        if figure.file != "curve"
    }
    if insights is not None:
        makers["figures/insights.json"] = _text(insights.to_json())
    shown = "".join(f"\n![{metric}@k over k]({name})\n" for metric, name in drawn.items())
    makers["report.md"] = _text(markdown(report, insights) + shown)
    makers["report.html"] = _text(page(report, insights))
    makers["report.json"] = _text(report.to_json())
    for name, make in makers.items():
        write_whole(directory / name, make)
    return [directory / name for name in makers]


def read_report(directory: Path) -> Report:
    """Reads the `report.json` of a directory."""
    return Report.from_json((directory / "report.json").read_text(encoding="utf-8"))


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")
