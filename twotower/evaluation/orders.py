"""Figures under the opposite order of equal times: everything is cut, fitted and asked anew."""

from twotower.data.split import Split
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.examine import examine
from twotower.evaluation.follow import Examined, Follow
from twotower.evaluation.resampling import Draws, interval_ends, resampled_figures
from twotower.evaluation.rows import OrderRow


def order_row(
    name: str, model: Examined, follow: Follow | None, found: Evaluation, other: Split, metric: str, draws: Draws
) -> OrderRow | None:
    """One contender under both orders; None if it cannot learn anew.

    Args:
        name: of the contender.
        model: as it was examined.
        follow: how it learns anew; None: as it says itself.
        found: what it reached in the order of the source.
        other: the split of the data in the opposite order.
        metric: what is compared, e.g. "map@10".
        draws: of the intervals.
    """
    refit = (follow or Follow.of(model)).refit
    if refit is None:
        return None
    learnt, _ = refit(other)
    ratios = found.ratio(metric), examine(learnt, other.test, metrics=(metric,)).ratio(metric)
    ends = [interval_ends(resampled_figures([ratio], draws), draws.level) for ratio in ratios]
    (low, high), (other_low, other_high) = ((float(low[0]), float(high[0])) for low, high in ends)
    return OrderRow(name, metric, ratios[0].mean(), low, high, ratios[1].mean(), other_low, other_high)
