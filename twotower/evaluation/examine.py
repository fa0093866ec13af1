"""The one way to examine a model: lists of queries in blocks, values of target pairs, metrics per user, means last."""

import time
from collections.abc import Sequence
from typing import cast

from twotower.data.split import Holdout
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.accumulator import Accumulator, Detail
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.measurable import wanted_metrics
from twotower.evaluation.predicted import Predictions
from twotower.evaluation.ratio import Ratio
from twotower.metrics.metric import Metric
from twotower.protocols import PairPredictor, Recommender
from twotower.topk import allowed_lists

DEFAULT_KS = (1, 5, 10, 30, 100)
"""The cut-offs of every report."""
BLOCK = 1024
"""Queries asked at once."""
Examined = Recommender | PairPredictor
"""What can be examined; who does both is examined in both."""

_LONGEST = 10_000
"""Cut-offs up to here are taken whatever the size of the catalogue: lists are padded."""


def examine(
    model: Examined,
    holdout: Holdout,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] | None = None,
    block: int = BLOCK,
    detail: Detail | None = None,
) -> Evaluation:
    """Asks for every user with a target.

    What competes in lists is the full catalogue, what of it is available when asked, or the holdout's candidates; known
    positives are excluded. Values are asked for every target pair at the target's moment. Memory is bounded by the
    block, beside 8 bytes per user, metric and cut-off and some numbers per target pair; the figures are the same for
    every block size.

    Args:
        model: whom to examine, for whatever it does: recommend, predict values, or both.
        holdout: what is asked and what is right.
        ks: cut-offs; lists of the largest are asked for.
        metrics: what is measured, e.g. ("map@10",) or ("rmse",); None: all that model and targets allow, at `ks`.
        block: queries asked at once.
        detail: what else to measure, such as slices.

    Raises:
        BadConfig: no cut-off, or one below 1; a block below 1; a metric that the model gives nothing for.
        BadInput: nobody has a target, the targets do not allow a metric, or the model breaks its contract (wrong
            shape, repeated items, NaN).
    """
    started, users, detail = time.perf_counter(), holdout.users(), detail or Detail()
    if not len(users):
        raise BadInput("evaluate: no user has a target; choose another split")
    wanted = wanted_metrics(model, holdout, _checked(ks, block, holdout.target.n_items), metrics)
    lists = [metric for metric in wanted if metric.of_lists]
    accumulator = Accumulator(holdout, lists, detail)
    if lists:
        recommender = cast(Recommender, model)
        for asked, relevant in holdout.blocks(block):
            accumulator.add(allowed_lists(recommender, asked, max(accumulator.ks)), relevant)
    per_user, sliced = accumulator.per_user(), accumulator.sliced()
    values = [metric for metric in wanted if not metric.of_lists]
    if values:
        predicted, by_items = _of_values(cast(PairPredictor, model), holdout, values, detail, named=metrics is not None)
        per_user |= predicted
        sliced = {name: sliced.get(name, {}) | by_items.get(name, {}) for name in {**sliced, **by_items}}
    catalogue, seconds = accumulator.catalogue(), time.perf_counter() - started
    return Evaluation(users, per_user, catalogue, accumulator.ks, seconds, holdout.competitors, sliced)


def _of_values(
    model: PairPredictor, holdout: Holdout, metrics: Sequence[Metric], detail: Detail, *, named: bool
) -> tuple[dict[str, Ratio], dict[str, dict[str, Ratio]]]:
    """Metrics of predicted values, and the same for groups of items; log-loss of no probabilities only if named."""
    predictions = Predictions.of(model, holdout)
    names = [m.name for m in metrics if named or m.name != "log_loss" or predictions.are_probabilities]
    sliced = [name for name in names if name in detail.metrics]
    by_items = predictions.sliced(sliced, detail.items) if sliced and detail.items is not None else {}
    return predictions.per_user(names), by_items


def _checked(ks: Sequence[int], block: int, n_items: int) -> tuple[int, ...]:
    if not len(ks) or min(ks) < 1 or block < 1:
        raise BadConfig(f"evaluate: cut-offs {list(ks)} and block {block} must all be at least 1")
    if max(ks) > max(n_items, _LONGEST):
        raise BadConfig(f"evaluate: cut-off {max(ks):,} is far beyond the catalogue of {n_items:,} items; give less")
    return tuple(sorted({int(k) for k in ks}))
