"""`contest`: every contender is tuned, fitted and examined by the same rules; out comes a `Report`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.evaluation.accumulator import Detail
from twotower.evaluation.comparison import compare
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.examine import BLOCK, DEFAULT_KS, examine
from twotower.evaluation.facts import all_options, dataset_facts, finite, split_facts, trial_facts
from twotower.evaluation.families import OTHER, OURS, checked_family, is_foreign
from twotower.evaluation.follow import Examined, Follow
from twotower.evaluation.index_cost import IndexUse, index_costs
from twotower.evaluation.item_features import item_features
from twotower.evaluation.machine import machine, peak_memory_bytes, restart_peak, versions
from twotower.evaluation.measurable import refuse_unable, refuse_unmeasurable
from twotower.evaluation.moments import moment_rows
from twotower.evaluation.orders import order_row
from twotower.evaluation.paired import peer_checks, relative_gains, stage_gains
from twotower.evaluation.report import Report
from twotower.evaluation.resampling import Draws
from twotower.evaluation.results import ModelFacts
from twotower.evaluation.rivals import rival_rows
from twotower.evaluation.rows import OrderRow
from twotower.evaluation.search_result import Options, Say, SearchResult
from twotower.evaluation.seeds import pooled
from twotower.evaluation.slices import ACTIVITY_EDGES, POPULARITY, SLICES, slice_rows, slicings
from twotower.metrics.metric import Metric


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model that is ready to be examined, with how it came about.

    Attributes:
        model: ready to answer: to recommend, to predict values, or both.
        options: what it was fitted with.
        tuned: the search behind the options, if there was one.
        fit_seconds: wall time of the last fit.
        family: what it is, a key of `families.FAMILIES`.
        again: seeds to what makes the same with another seed; figures are averaged over all of them, user by user.
        seed: that of `model`, where there are others.
        follow: how it is brought to the moments of a rolling test; None: as the model says itself.
    """

    model: Examined
    options: Options = field(default_factory=dict)
    tuned: SearchResult | None = None
    fit_seconds: float = 0.0
    family: str = OTHER
    again: Mapping[int, Callable[[], "Examined | Entrant"]] = field(default_factory=dict)
    seed: int = 0
    follow: Follow | None = None


Contender = Examined | Entrant | Callable[[Split], "Examined | Entrant"]
"""Something ready, or what makes it of a split; a maker gets the whole split and must leave the test alone."""


def contest(
    split: Split,
    contenders: Mapping[str, Contender],
    *,
    baseline: str | None = None,
    primary: str = "map@10",
    ks: Sequence[int] = DEFAULT_KS,
    block: int = BLOCK,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    say: Say | None = None,
    index_uses: Mapping[str, IndexUse] | None = None,
    counterparts: Mapping[str, str] | None = None,
    builds_on: Mapping[str, str] | None = None,
    slices: Sequence[str] = tuple(SLICES),
    activity_edges: Sequence[int] = ACTIVITY_EDGES,
    other_order: Split | None = None,
) -> Report:
    """Examines all contenders on the test.

    Args:
        split: the data, cut.
        contenders: name to model, or to what makes one; a maker's model is dropped after its examination.
        baseline: the contender that differences and p-values refer to.
        primary: metric that orders the models, e.g. "map@10" or "rmse"; its cut-off is added to `ks`.
        ks: cut-offs of lists.
        block: queries asked at once.
        resamples: of bootstrap and permutation test.
        level: of the intervals.
        seed: of both.
        config: the run's options, kept in the report.
        say: told when each contender is done.
        index_uses: contenders that ask an index, which are compared with exact retrieval by the primary metric.
        counterparts: contenders of other libraries to ours of the same method, which must not be weaker.
        builds_on: contenders to those without their last stage, such as towers and RankNet to towers.
        slices: parts of users and targets to be examined apart, some of `slices.SLICES`.
        activity_edges: lengths of history where a new slice of users begins.
        other_order: the split of the same data with equal times in the opposite order, for which all learn anew.

    Raises:
        BadConfig: no contender, a baseline that is none of them, one that the primary metric says nothing of, an
            unknown slice, or edges that do not rise.
        BadInput: the targets do not allow the primary metric.
    """
    if not contenders or (baseline is not None and baseline not in contenders):
        raise BadConfig(f"contest: baseline {baseline!r} must be a contender; there are {', '.join(contenders)}")
    metric, started, draws = Metric.parse(primary), time.perf_counter(), Draws(resamples, level, seed)
    refuse_unmeasurable(metric, split.test)
    ks = tuple(sorted({*ks, *([] if metric.k is None else [metric.k])}))
    groups = slicings(split.test, slices, activity_edges)
    sliced = _sliced(metric)
    detail = Detail(groups.get(POPULARITY), sliced, item_features(split))
    models: list[ModelFacts] = []
    evaluations: dict[str, Evaluation] = {}
    before, apart = peak_memory_bytes(), restart_peak()
    orders: list[OrderRow] = []
    for name, contender in contenders.items():
        facts, evaluations[name], both = _examine(name, contender, split, metric, ks, block, detail, other_order, draws)
        models.append(facts)
        orders += both
        if say:
            say(_progress(facts, evaluations[name], primary, f"{len(models)}/{len(contenders)}"))
    rows = compare(evaluations, baseline=baseline, draws=draws)
    heroes, others = _sides(models, evaluations, metric)
    return Report(
        dataset=dataset_facts(split),
        split=split_facts(split),
        seed=seed,
        level=level,
        resamples=resamples,
        ks=ks if any(evaluation.ks for evaluation in evaluations.values()) else (),
        primary=primary,
        baseline=baseline,
        models=tuple(models),
        rows=rows,
        config=dict(config or {}),
        machine=machine(),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_seconds=time.perf_counter() - started,
        peak_memory_bytes=max(before, peak_memory_bytes(), *(model.peak_memory_bytes for model in models)),
        index_costs=index_costs(evaluations, index_uses or {}, primary, draws),
        slices=slice_rows(evaluations, groups, split.test, metrics=sliced, baseline=baseline, draws=draws),
        moments=moment_rows(evaluations, sliced, draws),
        gains=relative_gains(evaluations, heroes, others, [str(at_k) for at_k in metric.over(ks)], draws),
        other_order=tuple(orders),
        rivals=rival_rows(evaluations, *_rivalry(models, evaluations, metric), draws),
        peer_checks=peer_checks(evaluations, counterparts or {}, primary, draws),
        stage_gains=stage_gains(evaluations, builds_on or {}, sliced, draws),
        memory_apart=apart,
    )


def _sliced(primary: Metric) -> tuple[str, ...]:
    """Metrics that parts of users and of targets are examined by: the primary one, and recall beside one of lists."""
    chosen = (primary, Metric("recall", primary.k)) if primary.of_lists else (primary,)
    return tuple(dict.fromkeys(str(metric) for metric in chosen if metric.needs != "grades"))


def _sides(
    models: Sequence[ModelFacts], evaluations: Mapping[str, Evaluation], primary: Metric
) -> tuple[list[str], list[str]]:
    """Our contenders that answer in service (else the best of all), and all that they stand against."""
    ours = [model.name for model in models if model.family == OURS]
    best = max(evaluations, key=lambda name: primary.sign * evaluations[name].mean(str(primary)))
    return ours or [best], [model.name for model in models if is_foreign(model.family) or model.name in ours]


def _rivalry(
    models: Sequence[ModelFacts], evaluations: Mapping[str, Evaluation], primary: Metric
) -> tuple[str, list[str]]:
    """The best of ours (else of all), and all others that stand against it."""
    heroes, _ = _sides(models, evaluations, primary)
    best = max(heroes, key=lambda name: primary.sign * evaluations[name].mean(str(primary)))
    return best, [model.name for model in models if is_foreign(model.family) and model.name != best]


def _examine(
    name: str,
    contender: Contender,
    split: Split,
    primary: Metric,
    ks: Sequence[int],
    block: int,
    detail: Detail,
    other_order: Split | None,
    draws: Draws,
) -> tuple[ModelFacts, Evaluation, list[OrderRow]]:
    restart_peak()
    fitted = _ready(contender, split)
    family = checked_family(fitted.family, name)
    refuse_unable(fitted.model, primary)

    def examined(entrant: Entrant) -> Evaluation:
        return examine(entrant.model, split.test, ks=ks, block=block, detail=detail, follow=entrant.follow)

    evaluation = examined(fitted)
    if fitted.again:
        others = {seed: examined(_ready(make(), split)) for seed, make in fitted.again.items()}
        evaluation = pooled({fitted.seed: evaluation, **others})
    if str(primary) not in evaluation.per_user:
        raise BadConfig(f"contest: {name} predicts values outside 0 and 1, so it has no {primary}; leave it out")
    tuned = fitted.tuned
    facts = ModelFacts(
        name=name,
        options=fitted.options,
        trials=tuple(trial_facts(tuned)),
        tuned_on=tuned.metric if tuned else None,
        grid_size=tuned.grid_size if tuned else 0,
        tune_seconds=tuned.seconds if tuned else 0.0,
        at_border=tuned.at_border if tuned else (),
        fit_seconds=fitted.fit_seconds,
        evaluate_seconds=evaluation.seconds,
        users_per_second=evaluation.users_per_second * (1 + len(fitted.again)),
        peak_memory_bytes=peak_memory_bytes(),
        catalogue={metric: finite(value) for metric, value in evaluation.catalogue.items()},
        family=family,
        seeds=tuple(evaluation.by_seed),
        follows=(fitted.follow or Follow.of(fitted.model)).words(split.test),
    )
    if other_order is None:
        return facts, evaluation, []
    both = order_row(name, fitted.model, fitted.follow, evaluation, other_order, str(primary), draws)
    return facts, evaluation, [both] if both else []


def _ready(contender: Contender, split: Split) -> Entrant:
    if isinstance(contender, Entrant):
        return contender
    if isinstance(contender, Examined):
        return Entrant(contender, all_options(contender, {}))
    started = time.perf_counter()
    model = contender(split)
    if isinstance(model, Entrant):
        return model
    return Entrant(model, all_options(model, {}), fit_seconds=time.perf_counter() - started)


def _progress(facts: ModelFacts, evaluation: Evaluation, primary: str, number: str) -> str:
    return (
        f"[{number}] {facts.name}: {primary} {evaluation.mean(primary):.4f} on {evaluation.n_users:,} users; "
        f"{len(facts.trials)} trials {facts.tune_seconds:.1f} s, fit {facts.fit_seconds:.1f} s, "
        f"evaluation {facts.evaluate_seconds:.1f} s ({facts.users_per_second:,.0f} users/s)"
    )
