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


def paired(found: Mapping[str, Evaluation], model: str, other: str, metric: str, draws: Draws) -> Paired:
    """Compares two contenders user by user.

    Raises:
        BadConfig: one of them was not examined.
    """
    for name in (model, other):
        if name not in found:
            raise BadConfig(f"{name!r} must be a contender to be compared; there are {', '.join(found)}")
    pair = found[model].ratio(metric), found[other].ratio(metric)
    low, high = interval_ends(resampled_difference(*pair, draws), draws.level)
    p_value = float(difference_p_values([pair], draws)[0])
    mean, before = (ratio.mean() for ratio in pair)
    return Paired(mean, before, mean - before, float(low[0]), float(high[0]), p_value)


def peer_checks(
    found: Mapping[str, Evaluation], counterparts: Mapping[str, str], metric: str, draws: Draws
) -> tuple[PeerCheck, ...]:
    """Our form of every method beside that of another library; a pair of which one was not examined is left out.

    Args:
        found: evaluations by contender.
        counterparts: the peer's contender to our contender of the same method.
        metric: e.g. "map@10".
        draws: of the intervals.
    """
    checks, sign = [], Metric.parse(metric).sign
    for peer, ours in counterparts.items():
        if peer in found and ours in found:
            it = paired(found, ours, peer, metric, draws)
            weaker = max(sign * it.low, sign * it.high) < 0
            checks.append(PeerCheck(peer, ours, metric, it.difference, it.low, it.high, weaker))
    return tuple(checks)


def stage_gains(
    found: Mapping[str, Evaluation], builds_on: Mapping[str, str], metrics: Sequence[str], draws: Draws
) -> tuple[StageGain, ...]:
    """What contenders add to those that they build upon.

    Args:
        found: evaluations by contender.
        builds_on: contender to the one without its last stage.
        metrics: e.g. ("map@10", "recall@10").
        draws: of intervals and tests.
    """
    gains = []
    for model, before in builds_on.items():
        for metric in metrics:
            it = paired(found, model, before, metric, draws)
            figures = (it.mean, it.other_mean, it.difference, it.low, it.high, it.p_value)
            gains.append(StageGain(model, before, metric, *figures))
    return tuple(gains)


def relative_gains(
    found: Mapping[str, Evaluation], models: Sequence[str], others: Sequence[str], metrics: Sequence[str], draws: Draws
) -> tuple[Gain, ...]:
    """How much more each model reaches than each of the others, with bootstrap intervals of the ratio of means.

    Args:
        found: evaluations by contender.
        models: of whom it is told.
        others: whom they are compared with.
        metrics: e.g. map at every cut-off, or rmse.
        draws: of the intervals; both means of a ratio are drawn with the same users.
    """
    names = [*models, *(name for name in others if name not in models)]
    if not models or not others:
        return ()
    ratios = [found[name].ratio(metric) for name in names for metric in metrics]
    resampled = resampled_figures(ratios, draws)  # [R, n * m]
    drawn = {
        (name, metric): resampled[:, at]
        for at, (name, metric) in enumerate((name, metric) for name in names for metric in metrics)
    }
    gains = []
    for model in models:
        for other in (name for name in others if name != model):
            for metric in metrics:
                theirs = found[other].mean(metric)
                relative = found[model].mean(metric) / theirs - 1 if theirs > 0 else None
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
