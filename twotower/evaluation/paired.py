"""Two contenders over the same users: paired differences, relative gains, what a stage adds, checks against peers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twotower.errors import BadConfig
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.resampling import (
    Draws,
    difference_p_values,
    interval_ends,
    resampled_difference,
    resampled_figures,
)
from twotower.evaluation.results import Gain, PeerCheck, StageGain
from twotower.metrics.metric import Metric
from twotower.metrics.significance import holm_where_known
from twotower.types import Float64s

_ENDLESS = 1e300


@dataclass(frozen=True, slots=True)
class Paired:
    """One metric of two contenders: means, their difference with its interval, and the p-value of "none"."""

    mean: float
    other_mean: float
    difference: float
    low: float
    high: float
    p_value: float


def paired(evaluations: Mapping[str, Evaluation], model: str, other: str, metric: str, draws: Draws) -> Paired:
    """Compares two contenders user by user.

    Raises:
        BadConfig: one of them was not examined.
    """
    for name in (model, other):
        if name not in evaluations:
            raise BadConfig(f"{name!r} must be a contender to be compared; there are {', '.join(evaluations)}")
    pair = evaluations[model].ratio(metric), evaluations[other].ratio(metric)
    low, high = interval_ends(resampled_difference(*pair, draws), draws.level)
    p_value = float(difference_p_values([pair], draws)[0])
    mean, before = (ratio.mean() for ratio in pair)
    return Paired(mean, before, mean - before, float(low[0]), float(high[0]), p_value)


def peer_checks(
    evaluations: Mapping[str, Evaluation], counterparts: Mapping[str, str], metric: str, draws: Draws
) -> tuple[PeerCheck, ...]:
    """Our form of every method beside that of another library; a pair of which one was not examined is left out.

    Args:
        evaluations: by contender.
        counterparts: the peer's contender to our contender of the same method.
        metric: e.g. "map@10".
        draws: of the intervals.
    """
    sign = Metric.parse(metric).sign
    pairs = [(peer, ours) for peer, ours in counterparts.items() if peer in evaluations and ours in evaluations]
    found = [paired(evaluations, ours, peer, metric, draws) for peer, ours in pairs]
    corrected = holm_where_known([it.p_value for it in found])
    return tuple(
        PeerCheck(
            peer, ours, metric, it.difference, it.low, it.high,
            weaker=sign * it.difference < 0 and p_holm is not None and p_holm < 1 - draws.level,
            p_value=it.p_value, p_holm=p_holm,
        )
        for (peer, ours), it, p_holm in zip(pairs, found, corrected, strict=True)
    )  # fmt: skip


def stage_gains(
    evaluations: Mapping[str, Evaluation], builds_on: Mapping[str, str], metrics: Sequence[str], draws: Draws
) -> tuple[StageGain, ...]:
    """What contenders add to those that they build upon.

    Args:
        evaluations: by contender.
        builds_on: contender to the one without its last stage.
        metrics: e.g. ("map@10", "recall@10").
        draws: of intervals and tests.
    """
    gains = []
    for metric in metrics:
        found = [paired(evaluations, model, before, metric, draws) for model, before in builds_on.items()]
        corrected = holm_where_known([it.p_value for it in found])
        for (model, before), it, p_holm in zip(builds_on.items(), found, corrected, strict=True):
            figures = (it.mean, it.other_mean, it.difference, it.low, it.high, it.p_value, p_holm)
            gains.append(StageGain(model, before, metric, *figures))
    return tuple(gains)


def relative_gains(
    evaluations: Mapping[str, Evaluation],
    models: Sequence[str],
    others: Sequence[str],
    metrics: Sequence[str],
    draws: Draws,
) -> tuple[Gain, ...]:
    """How much more each model reaches than each of the others, with bootstrap intervals of the ratio of means.

    Args:
        evaluations: by contender.
        models: whose gains.
        others: whom they are compared with.
        metrics: e.g. map at every cut-off, or rmse.
        draws: of the intervals; both means of a ratio are drawn with the same users.
    """
    names = [*models, *(name for name in others if name not in models)]
    if not models or not others:
        return ()
    ratios = [evaluations[name].ratio(metric) for name in names for metric in metrics]
    resampled = resampled_figures(ratios, draws)  # [R, n * m]
    drawn = {
        (name, metric): resampled[:, at]
        for at, (name, metric) in enumerate((name, metric) for name in names for metric in metrics)
    }
    gains = []
    for model in models:
        for other in (name for name in others if name != model):
            for metric in metrics:
                theirs = evaluations[other].mean(metric)
                relative = evaluations[model].mean(metric) / theirs - 1 if theirs > 0 else None
                with np.errstate(divide="ignore", invalid="ignore"):
                    ratio = drawn[model, metric] / drawn[other, metric] - 1
                ends = (None, None) if relative is None else _ends(ratio, draws.level)
                gains.append(Gain(model, other, metric, relative, *ends))
    return tuple(gains)


def _ends(ratio: Float64s, level: float) -> tuple[float | None, float | None]:
    """Ends of the interval; None where samples in which the other one has nothing leave it open."""
    if np.isnan(ratio).any():
        return None, None
    low, high = (float(end[0]) for end in interval_ends(np.minimum(ratio, _ENDLESS)[:, None], level))
    return low if low < _ENDLESS / 2 else None, high if high < _ENDLESS / 2 else None
