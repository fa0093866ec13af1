"""One table of several evaluations: means, intervals, paired tests against the baseline, spread between seeds."""

from collections.abc import Mapping, Sequence

import numpy as np

from twotower.errors import BadConfig
from twotower.evaluation.examine import Evaluation, parse_metric
from twotower.evaluation.results import Row
from twotower.metrics.significance import Float64s, bootstrap_intervals, holm, permutation_test


def compare(
    found: Mapping[str, Evaluation], *, baseline: str | None, resamples: int, level: float, seed: int
) -> tuple[Row, ...]:
    """Means, intervals and paired tests of evaluations over the same users and the same competitors.

    Raises:
        BadConfig: figures of sampled negatives and of the full catalogue would stand in one table.
    """
    refuse_mixed({name: evaluation.competitors for name, evaluation in found.items()})
    names = [(model, metric) for model, evaluation in found.items() for metric in evaluation.per_user]
    values = np.column_stack([found[model].per_user[metric] for model, metric in names])  # [B, models * metrics]
    intervals = bootstrap_intervals(values, resamples=resamples, level=level, seed=seed)
    p_value = np.ones(len(names))
    if baseline is not None:
        values -= np.column_stack([found[baseline].per_user[metric] for _, metric in names])
        p_value = permutation_test(values, resamples=resamples, seed=seed)
    p_holm = _corrected(names, p_value, baseline)
    rows = []
    for at, (model, metric) in enumerate(names):
        name, k = parse_metric(metric)
        mean, low, high = found[model].mean(metric), float(intervals.low[at]), float(intervals.high[at])
        sd = spread(found[model], metric)
        if baseline is None or model == baseline:
            rows.append(Row(model, name, k, mean, low, high, sd=sd))
        else:
            difference = mean - found[baseline].mean(metric)
            rows.append(Row(model, name, k, mean, low, high, difference, float(p_value[at]), float(p_holm[at]), sd))
    return tuple(rows)


def spread(evaluation: Evaluation, metric: str) -> float | None:
    """Standard deviation (n - 1) of the means of several seeds; None where there is one fit only."""
    means = [means[metric] for means in evaluation.by_seed.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _corrected(names: Sequence[tuple[str, str]], p_value: Float64s, baseline: str | None) -> Float64s:
    """Holm's correction; a family is every model but the baseline, by one metric at one cut-off."""
    p_holm = p_value.copy()
    for family in {metric for _, metric in names}:
        at = [place for place, (model, metric) in enumerate(names) if metric == family and model != baseline]
        p_holm[at] = holm(p_value[at])
    return p_holm


def refuse_mixed(competitors: Mapping[str, str]) -> None:
    """Refuses one table of figures whose targets competed with different items.

    Args:
        competitors: by what would be a row, e.g. a model or a report, what its targets were ranked against.

    Raises:
        BadConfig: they differ.
    """
    if len(set(competitors.values())) > 1:
        told = "; ".join(f"{name}: {items}" for name, items in competitors.items())
        raise BadConfig(f"sampled and full-catalogue figures cannot be compared ({told}); make a table for each")
