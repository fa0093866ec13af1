"""Writes a `Report` into a directory: JSON for machines, Markdown and figures for people; whole files or none."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twotower.evaluation.figures import draw_metric
from twotower.evaluation.report import Report
from twotower.evaluation.tables import markdown

FIGURES = {"map": "figures/map_at_k.png", "precision": "figures/precision_at_k.png"}
"""Metric to the figure that shows it."""


def write_report(report: Report, directory: Path) -> list[Path]:
    """Writes `report.json`, `report.md` and the figures; `report.json` comes last, so where it is, all is.

    Args:
        report: what to write.
        directory: made if needed; older files of the same names are replaced one by one.

    Returns:
        The files, in the order in which they were written.
    """
    page = markdown(report) + "".join(f"\n![{metric}@k over k]({name})\n" for metric, name in FIGURES.items())
    makers: dict[str, Callable[[Path], object]] = {
        name: partial(draw_metric, report, metric) for metric, name in FIGURES.items()
    }
    makers["report.md"] = lambda path: path.write_text(page, encoding="utf-8")
    makers["report.json"] = lambda path: path.write_text(report.to_json(), encoding="utf-8")
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
