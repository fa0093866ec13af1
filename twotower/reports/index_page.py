"""The page about a search over index settings: an HTML file with its figures inside, the figures, JSON for machines."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from twotower.ann.measuring.pareto import NEAR, IndexSearch, Setting
from twotower.evaluation.machine import machine, versions
from twotower.reports.index_figures import draw_backends, draw_memory, draw_time
from twotower.storage.whole_file import write_whole

TEMPLATE = Path(__file__).parent / "templates" / "index.html.jinja"
PAGE, FACTS = "index-tuning.html", "index-tuning.json"
Figure = tuple[Callable[[IndexSearch, Path], None], str]
"""How it is drawn, and what it shows."""
FIGURES: dict[str, Figure] = {
    "index-recall-latency.png": (
        draw_time,
        "Recall over the time of one query. Line: settings that no other one beats. Grey: all others.",
    ),
    "index-recall-memory.png": (
        draw_memory,
        "Recall over weight. Each built index is one column; the time is the least that reaches the target.",
    ),
}
COMPARISON: dict[str, Figure] = {
    "index-compare.png": (draw_backends, "Each backend's best settings: recall over the time of one query."),
}
_LIBRARIES = ("numpy", "faiss-cpu", "annoy")


def write_tuning(search: IndexSearch, directory: Path, *, build: str | None, compare: bool = False) -> list[Path]:
    """Writes figures, `index-tuning.json` and `index-tuning.html`.

    Args:
        search: what was measured: at least one setting.
        directory: made if needed; older files of the same names are replaced one by one.
        build: the command that builds the chosen index; None if none was chosen or there is no run to build it for.
        compare: also draw the backends beside each other.

    Returns:
        The files, in the order in which they were written.
    """
    figures = {**FIGURES, **(COMPARISON if compare else {})}
    makers: dict[str, Callable[[Path], object]] = {name: partial(draw, search) for name, (draw, _) in figures.items()}
    facts = json.dumps(facts_of(search), indent=2, allow_nan=False) + "\n"
    makers[FACTS] = lambda path: path.write_text(facts, encoding="utf-8")
    for name, make in makers.items():
        write_whole(directory / name, make)
    shown = [(caption, (directory / name).read_bytes()) for name, (_, caption) in figures.items()]
    page = _page(search, shown, build)
    write_whole(directory / PAGE, lambda path: path.write_text(page, encoding="utf-8"))
    return [directory / name for name in (*makers, PAGE)]


def facts_of(search: IndexSearch) -> dict[str, Any]:
    """All that is known, as JSON takes it."""
    return {**asdict(search), "machine": machine(), "versions": versions(_LIBRARIES)}


def columns_of(search: IndexSearch) -> list[str]:
    """Heads of the table of settings."""
    lengths = [f"recall@{k}" for k in search.settings[0].recall]
    return ["setting", *lengths, "p50 ms", "p99 ms", "queries/s", "B/vector", "with vectors", "build s"]


def row_of(setting: Setting) -> list[str]:
    """One row of the table of settings."""
    size, time = setting.footprint, setting.latency
    return [
        setting.label,
        *(f"{value:.4f}" for value in setting.recall.values()),
        f"{time.p50_ms:.3f}",
        f"{time.p99_ms:.3f}",
        f"{setting.queries_per_s:,.0f}",
        f"{size.beside:.1f}",
        f"{size.including:.1f}",
        f"{setting.build_seconds:.1f}",
    ]


def _page(search: IndexSearch, figures: Sequence[tuple[str, bytes]], build: str | None) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    unbeaten = search.unbeaten()
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        search=search,
        near=NEAR * search.goal.recall,
        build=build,
        columns=columns_of(search),
        unbeaten=[(s is search.chosen, s.least >= search.goal.recall, row_of(s)) for s in unbeaten],
        every=[(s is search.chosen, s.least >= search.goal.recall, row_of(s)) for s in search.settings],
        shortfall=search.goal.shortfall(search.settings),
        figures=[(caption, base64.b64encode(png).decode()) for caption, png in figures],
        machine=machine(),
        versions=versions(_LIBRARIES),
    )
