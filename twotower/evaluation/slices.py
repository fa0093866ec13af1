"""Slices of a report: the same figures for groups of users by activity and for targets by their popularity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twotower.data.split import Holdout
from twotower.errors import BadConfig
from twotower.evaluation.accumulator import Slicing
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.ratio import Ratio
from twotower.evaluation.resampling import Draws, difference_p_values, interval_ends, resampled_figures
from twotower.evaluation.results import SliceRow
from twotower.metrics.groups import SHELVES, by_count, by_shelf, group_names
from twotower.metrics.significance import holm
from twotower.types import Float64s, Ids

ACTIVITY, POPULARITY = "activity", "popularity"
SLICES: Mapping[str, str] = {
    ACTIVITY: "Users by the number of events in their history when asked.",
    POPULARITY: "Targets by the popularity of the item, in shares of the catalogue by earlier events; cold: none.",
}
"""Kind of slice to what it means."""
ACTIVITY_EDGES = (1, 10, 30, 100)
COLD_USERS, COLD_ITEMS = "cold users", "cold items"
FEWEST = 10
"""Users that a slice needs for an interval and a test."""
MOST_RESAMPLES = 2000
"""Bootstrap samples of a slice: ends of intervals need fewer than small p-values, and there are many slices."""


def slicings(holdout: Holdout, kinds: Sequence[str], edges: Sequence[int] = ACTIVITY_EDGES) -> dict[str, Slicing]:
    """The chosen slices, by kind.

    Args:
        holdout: what is asked.
        kinds: some of `SLICES`.
        edges: of history lengths, where a new group of users begins.

    Raises:
        BadConfig: an unknown kind, or edges that do not rise from 1.
    """
    unknown = [kind for kind in kinds if kind not in SLICES]
    if unknown:
        raise BadConfig(f"eval.slices: {unknown[0]!r} is unknown; choose from {', '.join(SLICES)}")
    if ACTIVITY in kinds and (not len(edges) or edges[0] < 1):
        raise BadConfig(f"eval.activity_edges: {list(edges)} must rise from 1 or more, e.g. [1, 10, 30, 100]")
    made = {ACTIVITY: lambda: by_activity(holdout, edges), POPULARITY: lambda: by_popularity(holdout)}
    return {kind: made[kind]() for kind in dict.fromkeys(kinds)}


def by_activity(holdout: Holdout, edges: Sequence[int]) -> Slicing:
    """Users by the length of their history at asking; without any they are cold."""
    lengths = np.bincount(holdout.history.user, minlength=holdout.history.n_users)[holdout.users()]
    names = group_names(edges)
    return Slicing(by_count(lengths, edges), (COLD_USERS if names[0] == "0" else names[0], *names[1:]))


def by_popularity(holdout: Holdout) -> Slicing:
    """Items by shelf of the catalogue; without any event in the history they are cold."""
    counts = holdout.history.item_counts()
    groups = np.where(counts > 0, by_shelf(counts) + 1, 0)
    return Slicing(groups, (COLD_ITEMS, *(name for _, _, name in SHELVES)))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One slice with what every model reached in it, over the users of the slice who have a say."""

    kind: str
    name: str
    targets: int
    ratios: tuple[Ratio, ...]

    @property
    def n_users(self) -> int:
        return len(self.ratios[0].amount)

    def figures(self) -> Float64s:
        """Of every model. Shape [models]."""
        columns: Float64s = np.column_stack([ratio.amount for ratio in self.ratios]).mean(axis=0)
        weights = [1.0 if ratio.weight is None else ratio.weight.mean() for ratio in self.ratios]
        return self.ratios[0].metric.figure(columns / np.array(weights))


def slice_rows(
    found: Mapping[str, Evaluation],
    made: Mapping[str, Slicing],
    holdout: Holdout,
    *,
    metrics: Sequence[str],
    baseline: str | None,
    draws: Draws,
) -> tuple[SliceRow, ...]:
    """Every metric of every model in every slice that has users, with intervals and tests against the baseline.

    Args:
        found: evaluations by contender, over the same users and with the slices of `made`; all have the metrics.
        made: what `slicings` gave.
        holdout: what was asked.
        metrics: e.g. ("map@10", "recall@10").
        baseline: whom differences refer to.
        draws: of intervals and tests.
    """
    rows: list[SliceRow] = []
    for kind, slicing in made.items():
        for metric in metrics:
            parts = list(_parts(found, kind, slicing, holdout, metric))
            family = [row for part in parts for row in _rows(part, list(found), metric, baseline, draws)]
            rows += _corrected(family)
    return tuple(rows)


def _parts(
    found: Mapping[str, Evaluation], kind: str, slicing: Slicing, holdout: Holdout, metric: str
) -> Iterator[_Part]:
    """The slices in which anybody has a target."""
    targets = _targets(kind, slicing, holdout)
    for group, name in enumerate(slicing.names):
        if kind == POPULARITY:
            ratios = [evaluation.sliced[name][metric] for evaluation in found.values()]
            members = np.ones(len(ratios[0].amount), np.bool_)
        else:
            ratios = [evaluation.ratio(metric) for evaluation in found.values()]
            members = np.asarray(slicing.groups == group)
        for ratio in ratios:
            members = members & ratio.has_say
        if members.any():
            yield _Part(kind, name, int(targets[group]), tuple(ratio.of(members) for ratio in ratios))


def _targets(kind: str, slicing: Slicing, holdout: Holdout) -> Ids:
    """Targets in every slice."""
    relevant = holdout.relevant()
    of_target = slicing.groups[relevant.values] if kind == POPULARITY else slicing.groups[relevant.row_ids()]
    return np.bincount(of_target, minlength=len(slicing.names))


def _rows(part: _Part, models: Sequence[str], metric: str, baseline: str | None, draws: Draws) -> list[SliceRow]:
    """All models in one slice; p-values are not yet corrected."""
    mean = part.figures()
    rows = [
        SliceRow(part.kind, part.name, model, metric, part.n_users, part.targets, float(value))
        for model, value in zip(models, mean, strict=True)
    ]
    if baseline is not None:
        before = float(mean[models.index(baseline)])
        rows = [row if row.model == baseline else replace(row, difference=row.mean - before) for row in rows]
    if part.n_users < FEWEST:
        return rows
    resampled = resampled_figures(part.ratios, replace(draws, resamples=min(draws.resamples, MOST_RESAMPLES)))
    low, high = interval_ends(resampled, draws.level)
    rows = [replace(row, low=float(low[at]), high=float(high[at])) for at, row in enumerate(rows)]
    if baseline is None:
        return rows
    base = models.index(baseline)
    low, high = interval_ends(resampled - resampled[:, [base]], draws.level)
    p_value = difference_p_values([(ratio, part.ratios[base]) for ratio in part.ratios], draws)
    return [
        row
        if at == base
        else replace(row, difference_low=float(low[at]), difference_high=float(high[at]), p_value=float(p_value[at]))
        for at, row in enumerate(rows)
    ]


def _corrected(rows: Sequence[SliceRow]) -> list[SliceRow]:
    """Holm's correction over all models and slices that were tested."""
    tested = [at for at, row in enumerate(rows) if row.p_value is not None]
    known = dict(zip(tested, holm(np.array([rows[at].p_value for at in tested], np.float64)), strict=True))
    return [replace(row, p_holm=float(known[at])) if at in known else row for at, row in enumerate(rows)]
