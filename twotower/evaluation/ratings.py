"""The examination of models that predict values of pairs: RMSE, MAE, log-loss and AUC with intervals over users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twotower.data.split import Holdout
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.paired import Draws
from twotower.metrics.rating import auc_per_user, checked_pairs, log_losses
from twotower.metrics.significance import Float64s, holm, percentiles, permutation_test, resampled_means
from twotower.protocols import RatingModel
from twotower.text import aligned
from twotower.types import Ids

METRICS: Mapping[str, tuple[str, str, str]] = {
    "rmse": ("squared", "pairs", "root of the mean squared error over pairs, in units of the value"),
    "mae": ("absolute", "pairs", "mean absolute error over pairs, in units of the value"),
    "log_loss": ("log_loss", "pairs", "mean negative log-likelihood of likes over pairs, in nats"),
    "auc": ("auc", "auc_users", "chance that a liked item is predicted above another of the user, mean over users"),
}
"""Metric to what is added up over users, what that is divided by, and what it means."""


@dataclass(frozen=True, slots=True, eq=False)
class RatingEvaluation:
    """What an examination found, as amounts per user that are added up, so that pairs weigh alike.

    Attributes:
        users: users with a target, rising. Shape [B].
        amounts: "pairs", "squared", "absolute"; where predictions are probabilities "log_loss"; where likes are known
            "auc" and "auc_users", both 0 for users without both outcomes. Shapes [B].
    """

    users: Ids
    amounts: Mapping[str, Float64s]

    @property
    def means(self) -> dict[str, float]:
        """Every metric that is defined."""
        return {name: float(value) for name, value in _figures({n: v.mean() for n, v in self.amounts.items()}).items()}


@dataclass(frozen=True, slots=True)
class RatingRow:
    """One metric of one model, with its interval and its test against the baseline.

    Attributes:
        model: the contender's name.
        metric: a key of `METRICS`.
        value: over all pairs; AUC: mean over users.
        low: lower end of the bootstrap interval, users drawn with all their pairs.
        high: upper end.
        difference: value minus the baseline's; None for the baseline itself or without one.
        p_value: of "no difference" (paired permutation test over users, two-sided).
        p_holm: the same, corrected for all models that are tested by this metric.
    """

    model: str
    metric: str
    value: float
    low: float
    high: float
    difference: float | None = None
    p_value: float | None = None
    p_holm: float | None = None


def evaluate_ratings(model: RatingModel, holdout: Holdout, *, likes_from: float | None = None) -> RatingEvaluation:
    """Asks for the value of every target pair, at the moment of the target.

    Likes are known where all values are 0 or 1, or where `likes_from` is given: then AUC is measured, and log-loss if
    every prediction lies within 0..1.

    Args:
        model: whom to examine; fitted.
        holdout: whose targets' values are to be predicted.
        likes_from: values from here on are likes.

    Raises:
        BadInput: there is no target, or a prediction is missing or NaN.
    """
    target = holdout.target
    if not len(target):
        raise BadInput("evaluate_ratings: there is no target; choose another split")
    found = model.predict(target.user.astype(np.int64), target.item.astype(np.int64), target.time)
    truth, predicted = checked_pairs(target.value, found)
    users, row = np.unique(target.user.astype(np.int64), return_inverse=True)
    of_pairs = {"pairs": np.ones(len(truth)), "squared": (predicted - truth) ** 2, "absolute": abs(predicted - truth)}
    liked = truth if likes_from is None else (truth >= likes_from).astype(np.float64)
    known = bool(np.isin(liked, (0, 1)).all())
    if known and predicted.min() >= 0 and predicted.max() <= 1:
        of_pairs["log_loss"] = log_losses(liked, predicted)
    amounts: dict[str, Float64s] = {
        name: np.bincount(row, values).astype(np.float64) for name, values in of_pairs.items()
    }
    if known:
        auc = auc_per_user(liked, predicted, row)
        amounts |= {"auc": np.nan_to_num(auc), "auc_users": (~np.isnan(auc)).astype(np.float64)}
    return RatingEvaluation(users, amounts)


def compare_ratings(
    found: Mapping[str, RatingEvaluation], *, baseline: str | None = None, draws: Draws | None = None
) -> tuple[RatingRow, ...]:
    """Figures, intervals and paired tests of evaluations of the same holdout.

    Args:
        found: evaluations by contender.
        baseline: whom differences and p-values refer to.
        draws: of intervals and tests.

    Raises:
        BadConfig: no contender, a baseline that is none, or evaluations of different users.
    """
    draws = draws or Draws()
    if not found or (baseline is not None and baseline not in found):
        raise BadConfig(f"compare_ratings: baseline {baseline!r} must be a contender; there are {', '.join(found)}")
    first = next(iter(found.values()))
    if any(not np.array_equal(first.users, other.users) for other in found.values()):
        raise BadConfig("compare_ratings: the models were asked of different users; give all the same split")
    rows = [row for name, evaluation in found.items() for row in _rows(name, evaluation, draws)]
    if baseline is not None:
        base = {row.metric: row.value for row in rows if row.model == baseline}
        rows = [_tested(row, found, baseline, base, draws) for row in rows]
    return tuple(_corrected(rows))


def rating_table(rows: Sequence[RatingRow]) -> str:
    """The table for a terminal: a line per model, by the first metric; "–" where a metric is not defined."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    of = {(row.model, row.metric): row for row in rows}
    models = sorted(dict.fromkeys(row.model for row in rows), key=lambda model: of[model, metrics[0]].value)
    lines = [["model", *(head for metric in metrics for head in (metric, "interval", "p (Holm)"))]]
    lines += [[model, *(cell for metric in metrics for cell in _cells(of.get((model, metric))))] for model in models]
    return aligned(lines, ruled=True)


def _figures(amounts: Mapping[str, Float64s]) -> dict[str, Float64s]:
    """Metrics of mean amounts per user, of any shape; a metric that nobody has is left out."""
    found = {}
    for metric, (amount, by, _) in METRICS.items():
        if amount in amounts and np.max(amounts[by]) > 0:
            with np.errstate(invalid="ignore"):
                found[metric] = amounts[amount] / amounts[by]
    return found | {"rmse": np.sqrt(found["rmse"])}


def _rows(model: str, found: RatingEvaluation, draws: Draws) -> list[RatingRow]:
    columns = resampled_means(
        np.column_stack(list(found.amounts.values())), resamples=draws.resamples, seed=draws.seed
    )  # [R, amounts]
    drawn = _figures({name: columns[:, at] for at, name in enumerate(found.amounts)})
    rows = []
    for metric, value in found.means.items():
        low, high = percentiles(drawn[metric][~np.isnan(drawn[metric])][:, None], draws.level)
        rows.append(RatingRow(model, metric, value, float(low[0]), float(high[0])))
    return rows


def _tested(
    row: RatingRow, found: Mapping[str, RatingEvaluation], baseline: str, base: Mapping[str, float], draws: Draws
) -> RatingRow:
    """The row with its difference from the baseline's; amounts of whole users change sides under "no difference"."""
    if row.model == baseline or row.metric not in base:
        return row
    amount = METRICS[row.metric][0]
    change = (found[row.model].amounts[amount] - found[baseline].amounts[amount])[:, None]  # [B, 1]
    p_value = float(permutation_test(change, resamples=draws.resamples, seed=draws.seed)[0])
    return replace(row, difference=row.value - base[row.metric], p_value=p_value)


def _corrected(rows: Sequence[RatingRow]) -> list[RatingRow]:
    """Holm's correction over the models tested by one metric."""
    corrected = list(rows)
    for metric in {row.metric for row in rows}:
        at = [place for place, row in enumerate(rows) if row.metric == metric and row.p_value is not None]
        for place, p_holm in zip(at, holm(np.array([rows[i].p_value for i in at], np.float64)), strict=True):
            corrected[place] = replace(rows[place], p_holm=float(p_holm))
    return corrected


def _cells(row: RatingRow | None) -> tuple[str, str, str]:
    if row is None:
        return "–", "–", "–"
    return f"{row.value:.4f}", f"{row.low:.4f}–{row.high:.4f}", "–" if row.p_holm is None else f"{row.p_holm:.4f}"
