"""Section `scores`: how well RankNet's scores tell choices apart, and whether they can be read as probabilities."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from scipy.special import softmax

from twotower.evaluation.report import Report
from twotower.evaluation.results import Calibration
from twotower.metrics.calibration import binned_reliability
from twotower.reports.examined_run import ExaminedRun
from twotower.reports.figures import Look, legend, series
from twotower.reports.section import Insights, ReportFigure, Section
from twotower.reports.static_figures import LINES
from twotower.reports.watching import floats
from twotower.text import table
from twotower.types import NO_ITEM, Bools, TopK

BINS = 40


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores of candidates that are targets and of those that are not: shares per bin. Edges [n + 1], shares [n]."""

    edges: tuple[float, ...]
    positives: tuple[float, ...]
    negatives: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RankNetScores:
    """What RankNet's scores say of the candidates.

    Attributes:
        scores: their histogram; None unless some candidates are targets and some are not.
        reliability: of their softmax over each user's candidates; None if no candidate is a target.
    """

    scores: Histogram | None
    reliability: Calibration | None


class Scores(Section[RankNetScores]):
    """The meaning of the second stage's scores."""

    name = "scores"

    def measure(self, run: ExaminedRun) -> RankNetScores | None:
        """Scores of the watched users' candidates; None without a second stage, or where no candidate is a target."""
        if run.watched is None or not run.watched.has_ranker:
            return None
        ranked, hits = run.watched.ranked, run.watched.hits
        scores, reliability = scores_of(ranked, hits), reliability_of(ranked, hits)
        return RankNetScores(scores, reliability) if scores or reliability else None

    def figures(self, report: Report, value: RankNetScores | None) -> list[ReportFigure]:
        """Histogram and reliability curve."""
        figures = []
        if value and value.scores:
            draw = partial(draw_scores, value.scores)
            figures.append(ReportFigure("scores", draw, "RankNet's scores of candidates chosen later and not"))
        if value and value.reliability:
            draw = partial(draw_reliability, value.reliability)
            figures.append(ReportFigure("calibration", draw, "Observed over foreseen probability"))
        return figures

    def markdown(self, report: Report, value: RankNetScores | None) -> Iterator[str]:
        """The calibration that the report keeps."""
        calibration = report.calibration
        if calibration is None:
            return
        yield f"## Calibration of {calibration.scorer}"
        n_pairs = sum(calibration.pairs)
        yield (
            f"Foreseen and observed shares differ by a factor of {calibration.factor:.2f} on average, over {n_pairs:,} "
            f"pairs of user and candidate; the expected calibration error of {calibration.ece:.5f} is small because "
            "nearly all pairs are foreseen and observed near zero."
        )
        bins = zip(calibration.predicted, calibration.observed, calibration.pairs, strict=True)
        yield table([["predicted", "observed", "pairs"], *([f"{p:.5f}", f"{o:.5f}", f"{n:,}"] for p, o, n in bins)])


def calibration_in(insights: Insights) -> Calibration | None:
    """The calibration among what was measured, for the `Report` to keep."""
    value = insights.values.get(Scores.name)
    return value.reliability if isinstance(value, RankNetScores) else None


def scores_of(ranked: TopK, hits: Bools) -> Histogram | None:
    """Histogram of scores; None if all candidates or none are targets."""
    filled = ranked.items != NO_ITEM
    positives, negatives = ranked.scores[hits], ranked.scores[filled & ~hits]
    if not len(positives) or not len(negatives):
        return None
    low, high = np.quantile(ranked.scores[filled], (0.001, 0.999))
    edges = np.linspace(min(low, positives.min()), max(high, positives.max()), BINS + 1)
    shares = [np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] / len(part) for part in (positives, negatives)]
    return Histogram(floats(edges), floats(shares[0]), floats(shares[1]))


def reliability_of(ranked: TopK, hits: Bools) -> Calibration | None:
    """Calibration of the softmax of the scores over a user's candidates; None if nobody's targets are among them.

    Only users with a target among their candidates are counted; each of a user's n targets among them counts 1/n, so
    that foreseen and observed shares both sum to one per user. Bins are equally wide in the logarithm.
    """
    users = hits.any(axis=1)
    if not users.any():
        return None
    hits, scores = hits[users], ranked.scores[users].astype(np.float64)
    filled = (ranked.items[users] != NO_ITEM).ravel()
    foreseen = softmax(scores, axis=1).ravel()[filled]
    observed = (hits / hits.sum(axis=1, keepdims=True)).ravel()[filled]
    decade_thirds = np.clip(np.floor(3 * np.log10(np.maximum(foreseen, 1e-6))).astype(int) + 18, 0, 17)
    curve = binned_reliability(observed, foreseen, decade_thirds)
    pairs = tuple(int(n) for n in curve.count)
    return Calibration("RankNet", floats(curve.predicted), floats(curve.observed), pairs, curve.ece)


def draw_scores(histogram: Histogram, axes: Axes, look: Look) -> None:
    """Shares of scores of candidates that were chosen later and of those that were not."""
    for at, (label, shares) in enumerate((("chosen later", histogram.positives), ("not chosen", histogram.negatives))):
        colour = look.series[at * 4]
        axes.stairs(shares, histogram.edges, label=label, color=colour, linewidth=1.8, linestyle=LINES[at])
        axes.stairs(shares, histogram.edges, color=colour, fill=True, alpha=0.15)
    axes.set_xlabel("RankNet's logit")
    axes.set_ylabel("share of each")
    legend(axes, look)


def draw_reliability(calibration: Calibration, axes: Axes, look: Look) -> None:
    """Observed over foreseen probability, both logarithmic; the diagonal is perfect."""
    pairs = zip(calibration.predicted, calibration.observed, strict=True)
    foreseen, observed = np.array([(foreseen, observed) for foreseen, observed in pairs if observed > 0]).T
    ends = (min(foreseen.min(), observed.min()) / 1.5, 1.0)
    axes.plot(ends, ends, color=look.soft, linewidth=1, linestyle="--", label="perfect")
    axes.plot(foreseen, observed, linewidth=2, markersize=5, label="RankNet", **series(0, look))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("foreseen probability")
    axes.set_ylabel("observed share")
    legend(axes, look)
