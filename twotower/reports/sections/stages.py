"""Section `stages`: recall of the same candidates as the first stage and as both stages order them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from twotower.evaluation.report import Report
from twotower.metrics.ranking import ranking_metrics
from twotower.reports import wording
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import Look, legend, log_ticks, series
from twotower.reports.section import ReportFigure, Section
from twotower.reports.watching import Watched
from twotower.types import TopK

SIZES = (1, 5, 10, 30, 100, 200, 500, 1000)
"""Numbers of candidates whose recall is measured, up to what the run retrieves."""


@dataclass(frozen=True, slots=True)
class StageRecall:
    """Recall of the same candidates as the first stage and as the second orders them; T to the mean over users."""

    retrieved: Mapping[int, float]
    ranked: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class WatchedStages:
    """How many users were watched, and the recall of both stages for them."""

    n_users: int
    stages: StageRecall


class Stages(Section[WatchedStages]):
    """What the second stage adds to the first, and what the first leaves to be added."""

    name = "stages"

    def measure(self, run: ExaminedRun) -> WatchedStages | None:
        """Recall of the watched users; None where lists over the whole catalogue mean nothing."""
        return stages_of(run.watched) if run.watched else None

    def words(self, report: Report, value: WatchedStages | None) -> Mapping[str, Any] | None:
        """Shown where a run was watched or a stage's gain was tested."""
        return {} if value or report.stage_gains else None

    def figures(self, report: Report, value: WatchedStages | None) -> list[ReportFigure]:
        """Recall over the number of candidates."""
        if value is None:
            return []
        draw = partial(draw_stages, value.stages)
        return [ReportFigure("stages", draw, "Recall of the candidates of each stage")]

    def markdown(self, report: Report, value: WatchedStages | None) -> Iterator[str]:
        """What was tested of the stages."""
        if report.stage_gains:
            yield "## What RankNet adds"
            yield wording.joined([wording.stage_gain_line(report, gain) for gain in report.stage_gains])


def stages_of(watched: Watched) -> WatchedStages:
    """Recall at every size up to the number of candidates."""
    sizes = tuple(size for size in SIZES if size <= watched.candidates.k)

    def recall(lists: TopK) -> dict[int, float]:
        values = ranking_metrics(lists, watched.relevant, sizes, names=("recall",))
        return {size: float(values[f"recall@{size}"].mean()) for size in sizes}

    stages = StageRecall(recall(watched.candidates), recall(watched.ranked))
    return WatchedStages(len(watched.ranked), stages)


def draw_stages(stages: StageRecall, axes: Axes, look: Look) -> None:
    """Recall of the same candidates as each stage orders them."""
    for at, (label, recall) in enumerate((("both stages", stages.ranked), ("first stage alone", stages.retrieved))):
        axes.plot(list(recall), list(recall.values()), label=label, linewidth=2, markersize=5, **series(at, look))
    log_ticks(axes, list(stages.retrieved))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("T, candidates kept")
    axes.set_ylabel("recall@T")
    legend(axes, look)
