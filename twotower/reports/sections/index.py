"""Section `index`: what the published index costs in quality, what it was measured to do, what others would."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from twotower.ann.base import IndexBase
from twotower.evaluation.report import Report
from twotower.reports import wording
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import Look, legend
from twotower.reports.front import cost_ticks, draw_front, draw_ring
from twotower.reports.index_frontier import Frontier, FrontierPoint, quick_frontier
from twotower.reports.section import ReportFigure, Section
from twotower.runs.bundle import Bundle
from twotower.runs.indexing import user_samples
from twotower.stages.retriever import Retriever

_FACTS = ("created", "recall", "n_queries", "latency", "build_seconds", "count", "dim", "metric")
_USERS = 500


@dataclass(frozen=True, slots=True)
class IndexFindings:
    """An index of a run.

    Attributes:
        index: facts of the published index: options, recall, build_seconds …; None where none was published.
        frontier: what other efforts and indexes would find and take; None where that was not measured.
    """

    index: Mapping[str, Any] | None
    frontier: Frontier | None


class Index(Section[IndexFindings]):
    """The index that finds candidates: loss, recall, time."""

    name = "index"

    def measure(self, run: ExaminedRun) -> IndexFindings | None:
        """What was published, and the frontier of recall and time."""
        published, frontier = published_facts(run.bundle), _frontier(run)
        return IndexFindings(published, frontier) if published or frontier else None

    def words(self, report: Report, value: IndexFindings | None) -> Mapping[str, Any] | None:
        """Shown where anything is known of an index."""
        return {} if value or report.index_costs else None

    def figures(self, report: Report, value: IndexFindings | None) -> list[ReportFigure]:
        """Recall over time."""
        if value is None or value.frontier is None or not value.frontier.points:
            return []
        draw = partial(draw_frontier, value.frontier.points)
        return [ReportFigure("frontier", draw, "Recall over the time of one query, for every measured setting")]

    def markdown(self, report: Report, value: IndexFindings | None) -> Iterator[str]:
        """What the index costs."""
        if report.index_costs:
            yield "## What the index costs"
            yield wording.joined([wording.index_cost_line(report, cost) for cost in report.index_costs])


def published_facts(bundle: Bundle) -> Mapping[str, Any] | None:
    """What the manifest of a run's index says, as people read it; None without an index."""
    manifest = bundle.index_manifest()
    if manifest is None:
        return None
    facts: dict[str, Any] = {"index": str(manifest["backend"]).rpartition(".")[2]}
    if "options" in manifest:
        facts["options"] = manifest["options"]
    named = {name: manifest[name] for name in _FACTS if name in manifest}
    if "recall" in named:
        named["recall"] = {f"@{k}": f"{recall:.4f}" for k, recall in named["recall"].items()}
    if "build_seconds" in named:
        named["build_seconds"] = f"{named['build_seconds']:.1f}"
    return facts | {name.replace("_", " "): fact for name, fact in named.items()}


def _frontier(run: ExaminedRun) -> Frontier | None:
    """What `tune_index` left beside the figures of the run, else what is measured now in the time that is given."""
    path, seconds = run.bundle.directory / "figures" / "index-tuning.json", run.settings["frontier_seconds"]
    if path.exists():
        return tuned_frontier(json.loads(path.read_text()))
    retriever = run.served.direct
    if not seconds or not isinstance(retriever, Retriever) or not isinstance(retriever.index, IndexBase):
        return None
    published = run.bundle.index_manifest() or {}
    n_queries, seed = int(published.get("n_queries", _USERS)), int(published.get("query_seed", 0))
    queries = user_samples(run.bundle, n_queries, seed)[1][:_USERS]  # those that did not calibrate the index
    n = int(run.settings["n_candidates"])
    return quick_frontier(retriever.index, run.bundle.item_vectors(), queries, k=n, seconds=float(seconds))


def tuned_frontier(facts: Mapping[str, Any]) -> Frontier:
    """The settings in an `index-tuning.json`."""
    points = tuple(
        FrontierPoint(
            s["label"],
            min(s["recall"].values()),
            s["latency"]["p50_ms"],
            s == facts.get("chosen"),
            s["backend"] == "exact",
        )
        for s in facts["settings"]
    )
    k, threads = facts["settings"][0]["latency"]["k"], facts["threads"] or "all"
    conditions = f"Found by make tune-index: {facts['n_queries']:,} users, lists of {k}, {threads} thread(s)."
    return Frontier(points, conditions)


def draw_frontier(points: Sequence[FrontierPoint], axes: Axes, look: Look) -> None:
    """Recall over the time of one query: a line per index, the setting that serves ringed."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        lines.setdefault(_index_of(point), []).append((point.p50_ms, point.recall))
    draw_front(lines, axes, look)
    draw_ring([(point.p50_ms, point.recall) for point in points if point.chosen], "serves", axes, look)
    cost_ticks([point.p50_ms for point in points], axes)
    axes.margins(0.08, 0.1)
    axes.set_xlabel("ms for one query, median")
    axes.set_ylabel("least recall against exact search")
    legend(axes, look)


def _index_of(point: FrontierPoint) -> str:
    """The index without its effort, whose name and number end the label."""
    words = point.label.split()
    return " ".join(words[:-2]) if len(words) > 2 and words[-1].isdecimal() else point.label
