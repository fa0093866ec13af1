"""What an approximate index costs: the same stages with it and with exact retrieval, compared user by user."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from twotower.errors import BadConfig
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.paired import paired
from twotower.evaluation.resampling import Draws
from twotower.evaluation.results import IndexCost
from twotower.metrics.significance import holm_where_known


@dataclass(frozen=True, slots=True)
class IndexUse:
    """That a contender asks an index.

    Attributes:
        index: the index in words.
        exact: the contender that does the same with exact retrieval; None if the index is exact itself.
    """

    index: str
    exact: str | None


def index_costs(
    evaluations: Mapping[str, Evaluation],
    uses: Mapping[str, IndexUse],
    metric: str,
    draws: Draws,
) -> tuple[IndexCost, ...]:
    """The cost of the index for every contender that uses one; 0 where the index is exact.

    Args:
        evaluations: by contender, all over the same users.
        uses: contender to how it uses an index.
        metric: what to compare, e.g. "map@10".
        draws: of intervals and tests.

    Raises:
        BadConfig: a contender was not examined.
    """
    costs = []
    for model, use in uses.items():
        _check(evaluations, model, use)
        mean = evaluations[model].mean(metric)
        if use.exact is None:
            costs.append(IndexCost(model, use.index, True, metric, mean, mean, 0.0, 0.0, 0.0, None))
            continue
        it = paired(evaluations, model, use.exact, metric, draws)
        figures = (it.mean, it.other_mean, it.difference, it.low, it.high, it.p_value)
        costs.append(IndexCost(model, use.index, False, metric, *figures))
    corrected = holm_where_known([cost.p_value for cost in costs])
    return tuple(replace(cost, p_holm=p_holm) for cost, p_holm in zip(costs, corrected, strict=True))


def _check(evaluations: Mapping[str, Evaluation], model: str, use: IndexUse) -> None:
    for name in (model, use.exact):
        if name is not None and name not in evaluations:
            raise BadConfig(f"index_costs: {name!r} must be a contender; there are {', '.join(evaluations)}")
