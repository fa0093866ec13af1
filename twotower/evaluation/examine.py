"""The one way to examine a model: lists of queries in blocks, values of target pairs, metrics per user, means last."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from twotower.data.rolling import RollingHoldout
from twotower.data.split import Holdout
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.accumulator import Accumulator, Detail, cut_offs
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.follow import Examined, Follow, Follower
from twotower.evaluation.measurable import wanted_metrics
from twotower.evaluation.predicted import Predictions
from twotower.evaluation.ratio import Ratio
from twotower.evaluation.rounds import RatioSums, Round
from twotower.evaluation.shown import Shown
from twotower.metrics.metric import Metric
from twotower.protocols import PairPredictor, Recommender
from twotower.topk import allowed_lists

DEFAULT_KS = (1, 5, 10, 30, 100)
"""The cut-offs of every report."""
BLOCK = 1024
"""Queries asked at once."""
Ratios = dict[str, Ratio]
"""By metric."""
Sliced = dict[str, Ratios]
"""By group of items."""
Found = tuple[Ratios, Sliced]

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
    follow: Follow | None = None,
) -> Evaluation:
    """Asks for every user with a target, at every moment of a rolling holdout.

    What competes in lists is the full catalogue, what of it is available when asked, or the holdout's candidates; known
    positives are excluded. Values are asked for every target pair at the target's moment. Memory is bounded by the
    block, beside 8 bytes per user, metric and cut-off and some numbers per target pair; the figures are the same for
    every block size. Through a rolling holdout a model is taken moment by moment; then it stands at the last.

    Args:
        model: whom to examine, for whatever it does: recommend, predict values, or both.
        holdout: what is asked and what is right.
        ks: cut-offs; lists of the largest are asked for.
        metrics: what is measured, e.g. ("map@10",) or ("rmse",); None: all that model and targets allow, at `ks`.
        block: queries asked at once.
        detail: what else to measure, such as slices.
        follow: how it is brought to later moments; None: as it says itself.

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
    shown = Shown(holdout.history.item_counts(), cut_offs(lists), detail.features)
    asking = _Asking(wanted, detail, block, shown, named=metrics is not None)
    follower = Follower(model, follow, holdout)
    if not isinstance(holdout, RollingHoldout):
        per_user, sliced = asking.found(follower.at(holdout), holdout)
        rounds: list[Round] = []
    else:
        per_user, sliced, rounds = _through_moments(asking, follower, holdout)
    seconds = time.perf_counter() - started
    return Evaluation(
        users, per_user, shown.figures(), cut_offs(lists), seconds, holdout.competitors, sliced, rounds=tuple(rounds)
    )


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is measured whenever somebody is asked."""

    wanted: Sequence[Metric]
    detail: Detail
    block: int
    shown: Shown
    named: bool

    def found(self, model: Examined, holdout: Holdout) -> Found:
        """Metrics by user, and the same for every group of targets."""
        lists = [metric for metric in self.wanted if metric.of_lists]
        accumulator = Accumulator(holdout, lists, self.detail, self.shown)
        if lists:
            recommender = cast(Recommender, model)
            for asked, relevant in holdout.blocks(self.block):
                accumulator.add(allowed_lists(recommender, asked, max(accumulator.ks)), relevant)
        per_user, sliced = accumulator.per_user(), accumulator.sliced()
        values = [metric for metric in self.wanted if not metric.of_lists]
        if values:
            predictor = cast(PairPredictor, model)
            predicted, by_items = _of_values(predictor, holdout, values, self.detail, named=self.named)
            per_user |= predicted
            sliced = {name: sliced.get(name, {}) | by_items.get(name, {}) for name in {**sliced, **by_items}}
        return per_user, sliced


def _through_moments(
    asking: _Asking, follower: Follower, holdout: RollingHoldout
) -> tuple[Ratios, Sliced, list[Round]]:
    """The sums over all moments, and the chosen metrics at each; one moment at a time."""
    whole, rounds = RatioSums(holdout.users()), []
    parts: dict[str, RatioSums] = {}
    for asked in holdout.rounds():
        per_user, sliced = asking.found(follower.at(asked), asked)
        users = asked.users()
        whole.add(users, per_user)
        for name, ratios in sliced.items():
            parts.setdefault(name, RatioSums(holdout.users())).add(users, ratios)
        rounds.append(Round.of(asked, {m: r for m, r in per_user.items() if m in asking.detail.metrics}))
    return whole.ratios(), {name: sums.ratios() for name, sums in parts.items()}, rounds


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
