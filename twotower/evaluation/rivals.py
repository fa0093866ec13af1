"""Ours beside every rival by every metric at every cut-off: who leads, and what the data tell apart."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.resampling import Draws, difference_p_values
from twotower.evaluation.rows import RivalRow
from twotower.metrics.significance import holm_where_known


def rival_rows(
    evaluations: Mapping[str, Evaluation], ours: str, rivals: Sequence[str], draws: Draws
) -> tuple[RivalRow, ...]:
    """Means of both, their difference and its test; a family is all rivals by one metric at one cut-off.

    Args:
        evaluations: by contender.
        ours: the contender that the report is about.
        rivals: whom it is compared with.
        draws: of the tests.
    """
    mine = evaluations[ours].per_user
    places = [(metric, rival) for metric in mine for rival in rivals if metric in evaluations[rival].per_user]
    if not places:
        return ()
    pairs = [(mine[metric], evaluations[rival].per_user[metric]) for metric, rival in places]
    p_values = difference_p_values(pairs, draws).tolist()
    rows = [
        RivalRow(ours, rival, metric, one.mean(), other.mean(), p_value)
        for (metric, rival), (one, other), p_value in zip(places, pairs, p_values, strict=True)
    ]
    return tuple(row for metric in mine for row in _corrected([row for row in rows if row.metric == metric]))


def _corrected(rows: Sequence[RivalRow]) -> list[RivalRow]:
    p_holm = holm_where_known([row.p_value for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, p_holm, strict=True)]
