"""One table of several evaluations: means, intervals, paired tests against the baseline, spread between seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from twotower.evaluation.evaluation import Evaluation, refuse_mixed, refuse_other_users
from twotower.evaluation.resampling import Draws, difference_p_values, interval_ends, resampled_figures
from twotower.evaluation.results import Row
from twotower.metrics.significance import holm


def compare(found: Mapping[str, Evaluation], *, baseline: str | None, draws: Draws) -> tuple[Row, ...]:
    """Means, intervals and paired tests of evaluations over the same users and the same competitors.

    A metric that the baseline was not examined by, such as values where it gives lists alone, is not tested.

    Raises:
        BadConfig: other users, or figures of sampled negatives and of the full catalogue would stand in one table.
    """
    refuse_mixed({name: evaluation.competitors for name, evaluation in found.items()})
    refuse_other_users(found)
    rows = _rows(found, draws)
    return rows if baseline is None else _corrected(_tested(rows, found, baseline, draws))


def _rows(found: Mapping[str, Evaluation], draws: Draws) -> tuple[Row, ...]:
    ratios = [(model, ratio) for model, evaluation in found.items() for ratio in evaluation.per_user.values()]
    low, high = interval_ends(resampled_figures([ratio for _, ratio in ratios], draws), draws.level)
    return tuple(
        Row(model, ratio.metric.name, ratio.metric.k, ratio.mean(), float(low[at]), float(high[at]),
            sd=spread(found[model], str(ratio.metric)))
        for at, (model, ratio) in enumerate(ratios)
    )  # fmt: skip


def _tested(rows: Sequence[Row], found: Mapping[str, Evaluation], baseline: str, draws: Draws) -> tuple[Row, ...]:
    """Rows with their differences from the baseline's."""
    base = found[baseline].per_user
    measured = [(row.model, row.key) for row in rows if row.key in base]
    pairs = [(found[model].per_user[metric], base[metric]) for model, metric in measured]
    p_values = dict(zip(measured, difference_p_values(pairs, draws).tolist(), strict=True))
    return tuple(
        replace(row, difference=row.mean - base[row.key].mean(), p_value=p_values[row.model, row.key])
        if row.model != baseline and row.key in base
        else row
        for row in rows
    )


def _corrected(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Holm's correction; a family is every model but the baseline, by one metric at one cut-off."""
    corrected = list(rows)
    families: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        if row.p_value is not None:
            families.setdefault(row.key, []).append(at)
    for places in families.values():
        for at, p_holm in zip(places, holm(np.array([rows[at].p_value for at in places], np.float64)), strict=True):
            corrected[at] = replace(rows[at], p_holm=float(p_holm))
    return tuple(corrected)


def spread(evaluation: Evaluation, metric: str) -> float | None:
    """Standard deviation (n - 1) of the means of several seeds; None where there is one fit only."""
    means = [means[metric] for means in evaluation.by_seed.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None
