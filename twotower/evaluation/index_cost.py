"""What an approximate index costs: the same stages with it and with exact retrieval, compared user by user."""

from collections.abc import Mapping
from dataclasses import dataclass

from twotower.errors import BadConfig
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.paired import paired
from twotower.evaluation.resampling import Draws
from twotower.evaluation.results import IndexCost


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
    found: Mapping[str, Evaluation],
    uses: Mapping[str, IndexUse],
    metric: str,
    draws: Draws,
) -> tuple[IndexCost, ...]:
    """The cost of the index for every contender that uses one; 0 where the index is exact.

    Args:
        found: evaluations by contender, all over the same users.
        uses: contender to how it uses an index.
        metric: what to compare, e.g. "map@10".
        draws: of intervals and tests.

    Raises:
        BadConfig: a contender was not examined.
    """
    costs = []
    for model, use in uses.items():
        _check(found, model, use)
        mean = found[model].mean(metric)
        if use.exact is None:
            costs.append(IndexCost(model, use.index, True, metric, mean, mean, 0.0, 0.0, 0.0, None))
            continue
        it = paired(found, model, use.exact, metric, draws)
        figures = (it.mean, it.other_mean, it.difference, it.low, it.high, it.p_value)
        costs.append(IndexCost(model, use.index, False, metric, *figures))
    return tuple(costs)


def _check(found: Mapping[str, Evaluation], model: str, use: IndexUse) -> None:
    for name in (model, use.exact):
        if name is not None and name not in found:
            raise BadConfig(f"index_costs: {name!r} must be a contender; there are {', '.join(found)}")
