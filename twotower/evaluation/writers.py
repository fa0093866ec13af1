"""Writes a `Report` into a directory: JSON for machines, HTML, Markdown and figures for people; whole files or none."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from twotower.evaluation.figures import draw_metric
from twotower.evaluation.insights import Insights
from twotower.evaluation.markdown import markdown
from twotower.evaluation.page import figures_of, page
from twotower.evaluation.page_figures import png
from twotower.evaluation.report import Report

FIGURES = {"map": "figures/map_at_k.png", "precision": "figures/precision_at_k.png"}
"""Metric to the figure that shows it."""


def write_report(report: Report, directory: Path, insights: Insights | None = None) -> list[Path]:
    """Writes the figures, `report.md`, `report.html` and `report.json`, the last one last: where it is, all is.

    Args:
        report: what to write.
        directory: made if needed; older files of the same names are replaced one by one.
        insights: what the page shows beyond the metrics; kept as `figures/insights.json`.

    Returns:
        The files, in the order in which they were written.
    """
    makers: dict[str, Callable[[Path], object]] = {
        name: partial(draw_metric, report, metric) for metric, name in FIGURES.items()
    }
    makers |= {
        f"figures/{s.file}.png": partial(png, s.draw, s.size) for s in figures_of(report, insights) if s.file != "curve"
    }
    if insights is not None:
        makers["figures/insights.json"] = _text(json.dumps(asdict(insights), indent=1, allow_nan=False, default=str))
    shown = "".join(f"\n![{metric}@k over k]({name})\n" for metric, name in FIGURES.items())
    makers["report.md"] = _text(markdown(report) + shown)
    makers["report.html"] = _text(page(report, insights))
    makers["report.json"] = _text(report.to_json())
    for name, make in makers.items():
        write_whole(directory / name, make)
    return [directory / name for name in makers]


def read_report(directory: Path) -> Report:
    """Reads the `report.json` of a directory."""
    return Report.from_json((directory / "report.json").read_text(encoding="utf-8"))


def write_whole(path: Path, make: Callable[[Path], object]) -> None:
    """Makes a file beside its place, forces it to the disk, then renames: readers find the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")
