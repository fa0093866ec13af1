"""What can be measured of a model on a holdout: lists of recommenders, values of predictors, as far as targets go."""

from collections.abc import Sequence

import numpy as np

from twotower.data.split import Holdout
from twotower.errors import BadConfig, BadInput
from twotower.metrics.metric import METRIC_FACTS, Metric
from twotower.protocols import PairPredictor, Recommender

HIGHEST_GRADE = 10.0
"""Values above it are amounts (plays, seconds), whose exponential gain would be absurd."""


def wanted_metrics(
    model: object, holdout: Holdout, ks: Sequence[int], metrics: Sequence[str] | None
) -> tuple[Metric, ...]:
    """The metrics that were named, or all that model and targets allow, those of lists at every cut-off.

    Raises:
        BadConfig: a name that is no metric, or one that the model gives nothing for.
        BadInput: one that the targets do not allow.
    """
    if metrics is not None:
        named = tuple(Metric.parse(metric) for metric in metrics)
        for metric in named:
            refuse_unable(model, metric)
            refuse_unmeasurable(metric, holdout)
        return named
    facts = METRIC_FACTS.items()
    lists = [Metric(name, k) for name, known in facts if known.of_lists for k in ks] if recommends(model) else []
    values = [Metric(name) for name, known in facts if not known.of_lists] if predicts_values(model) else []
    measurable = tuple(metric for metric in (*lists, *values) if not obstacle(metric, holdout))
    if not measurable:
        refuse_unable(model, *lists, *values)
        refuse_unmeasurable(values[0], holdout)
    return measurable


def recommends(model: object) -> bool:
    """Whether a model gives lists."""
    return isinstance(model, Recommender)


def predicts_values(model: object) -> bool:
    """Whether a model says that it predicts values; one that says nothing of it does where it can be asked."""
    return bool(getattr(model, "predicts_values", isinstance(model, PairPredictor)))


def refuse_unable(model: object, *metrics: Metric) -> None:
    """Refuses metrics of what a model does not do.

    Raises:
        BadConfig: it gives no lists, or predicts no values.
    """
    kind = type(model).__name__
    if not recommends(model) and not predicts_values(model):
        raise BadConfig(f"evaluate: {kind} neither recommends nor predicts values; give a model that does")
    for metric in metrics:
        if metric.of_lists and not recommends(model):
            raise BadConfig(f"evaluate: {kind} gives no lists, so it has no {metric}; choose rmse or mae")
        if not metric.of_lists and not predicts_values(model):
            raise BadConfig(
                f"evaluate: {kind} predicts no values, so it has no {metric}; leave it out, or choose a metric of "
                "lists, e.g. map@10"
            )


def refuse_unmeasurable(metric: Metric, holdout: Holdout) -> None:
    """Refuses a metric that the targets do not allow.

    Raises:
        BadInput: they have no grades, no values, or no outcomes.
    """
    if reason := obstacle(metric, holdout):
        raise BadInput(f"evaluate: {reason}")


def obstacle(metric: Metric, holdout: Holdout) -> str:
    """Why the targets do not allow a metric, with the remedy; empty where they do."""
    value = holdout.target.value
    if metric.needs == "lists" or not len(value):
        return ""
    low, high = value.min(), value.max()
    if metric.needs == "grades":
        return "" if has_grades(holdout) else (
            f"{metric} needs targets with grades above 0 and at most {HIGHEST_GRADE:g}, but their values go from "
            f"{low:g} to {high:g}; choose ndcg@{metric.k}"
        )  # fmt: skip
    if low == high:
        return (
            f"{metric} needs targets with values, but all {len(value):,} have the value {low:g}; take data with "
            "ratings or outcomes, or a metric of lists, e.g. map@10"
        )
    if metric.needs == "outcomes" and not np.isin(value, (0, 1)).all():
        return (
            f"{metric} needs outcomes 0 and 1, but targets have values from {low:g} to {high:g}; turn values into "
            "outcomes first, or choose rmse or mae"
        )
    if metric.name == "auc" and not _has_both_outcomes(holdout):
        return "auc needs users with targets of both outcomes, but nobody has both; choose log_loss"
    return ""


def has_grades(holdout: Holdout) -> bool:
    """Whether the targets' values are grades: not all the same, above 0, at most `HIGHEST_GRADE`."""
    values = holdout.target.value
    return bool(len(values) and 0 < values.min() < values.max() <= HIGHEST_GRADE)


def _has_both_outcomes(holdout: Holdout) -> bool:
    """Whether any user has targets of value 0 and of value 1."""
    target = holdout.target
    share = np.bincount(target.user, target.value) / np.maximum(np.bincount(target.user), 1)
    return bool(((share > 0) & (share < 1)).any())
