"""`benchmark`: every contender is tuned, fitted and examined by the same rules; out comes a `Report`."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from twotower.data.split import Holdout, Split
from twotower.errors import BadConfig
from twotower.evaluation.environment import machine, peak_memory_bytes, versions
from twotower.evaluation.index_cost import IndexUse, index_costs
from twotower.evaluation.report import ModelFacts, Report, Row
from twotower.evaluation.runner import BLOCK, DEFAULT_KS, Evaluation, evaluate, parse_metric
from twotower.evaluation.space import Options, Search
from twotower.evaluation.tuning import Build, Say, Tuned, fit_final, tune
from twotower.metrics.bootstrap import Values, bootstrap_intervals, holm, permutation_test
from twotower.protocols import Recommender


@dataclass(frozen=True, slots=True)
class Fitted:
    """A recommender that is ready to be examined, with how it came about.

    Attributes:
        recommender: ready to answer.
        options: what it was fitted with.
        tuned: the search behind the options, if there was one.
        fit_seconds: wall time of the last fit.
    """

    recommender: Recommender
    options: Options = field(default_factory=dict)
    tuned: Tuned | None = None
    fit_seconds: float = 0.0


Contender = Recommender | Fitted | Callable[[Split], "Recommender | Fitted"]
"""Something ready, or what makes it of a split; a maker gets the whole split and must leave the test alone."""


@dataclass(frozen=True, slots=True)
class TunedContender:
    """A contender that is tuned on validation and refitted on train and validation before it is examined.

    Attributes:
        build: makes an unfitted model of options.
        search: values to try, or a range, by option.
        metric: what to maximise on validation.
        max_trials: budget, the same for all.
        seed: of what is tried.
        say: told about trials.
        start: options tried first where not all are, e.g. the usual ones.
        known: what was found earlier on this split; then nothing is tried.
    """

    build: Build
    search: Search
    metric: str = "map@10"
    max_trials: int = 12
    seed: int = 0
    say: Say | None = None
    start: Options | None = None
    known: Tuned | None = None

    def __call__(self, split: Split) -> Fitted:
        """Tunes and fits."""
        tuned = self.known or tune(
            self.build, self.search, split,
            metric=self.metric, max_trials=self.max_trials, seed=self.seed, say=self.say, start=self.start,
        )  # fmt: skip
        started = time.perf_counter()
        model = fit_final(self.build, tuned.options, split)
        return Fitted(model, _all_options(model, tuned.options), tuned, time.perf_counter() - started)


def benchmark(
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
) -> Report:
    """Examines all contenders on the test.

    Args:
        split: the data, cut.
        contenders: name to recommender, or to what makes one; a maker's model is dropped after its examination.
        baseline: the contender that differences and p-values refer to.
        primary: metric that orders the models; its cut-off is added to `ks`.
        ks: cut-offs.
        block: queries asked at once.
        resamples: of bootstrap and permutation test.
        level: of the intervals.
        seed: of both.
        config: the run's options, kept in the report.
        say: told when each contender is done.
        index_uses: contenders that ask an index, which are compared with exact retrieval by the primary metric.

    Raises:
        BadConfig: no contender, or a baseline that is none of them.
    """
    if not contenders or (baseline is not None and baseline not in contenders):
        raise BadConfig(f"benchmark: baseline {baseline!r} must be a contender; there are {', '.join(contenders)}")
    ks = tuple(sorted({*ks, parse_metric(primary)[1]}))
    started = time.perf_counter()
    models: list[ModelFacts] = []
    found: dict[str, Evaluation] = {}
    for name, contender in contenders.items():
        facts, found[name] = _examine(name, contender, split, ks, block)
        models.append(facts)
        if say:
            say(_progress(facts, found[name], primary, f"{len(models)}/{len(contenders)}"))
    rows = compare(found, baseline=baseline, resamples=resamples, level=level, seed=seed)
    costs = index_costs(found, index_uses or {}, metric=primary, resamples=resamples, level=level, seed=seed)
    return Report(
        dataset=_dataset_facts(split),
        split=_split_facts(split),
        seed=seed,
        level=level,
        resamples=resamples,
        ks=ks,
        primary=primary,
        baseline=baseline,
        models=tuple(models),
        rows=rows,
        config=dict(config or {}),
        machine=machine(),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_seconds=time.perf_counter() - started,
        peak_memory_bytes=peak_memory_bytes(),
        index_costs=costs,
    )


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
        if baseline is None or model == baseline:
            rows.append(Row(model, name, k, mean, low, high))
        else:
            difference = mean - found[baseline].mean(metric)
            rows.append(Row(model, name, k, mean, low, high, difference, float(p_value[at]), float(p_holm[at])))
    return tuple(rows)


def _corrected(names: Sequence[tuple[str, str]], p_value: Values, baseline: str | None) -> Values:
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


def _examine(
    name: str, contender: Contender, split: Split, ks: Sequence[int], block: int
) -> tuple[ModelFacts, Evaluation]:
    fitted = _ready(contender, split)
    found = evaluate(fitted.recommender, split.test, ks=ks, block=block)
    tuned = fitted.tuned
    facts = ModelFacts(
        name=name,
        options=fitted.options,
        trials=tuple(_trial_facts(tuned)),
        tuned_on=tuned.metric if tuned else None,
        grid_size=tuned.grid_size if tuned else 0,
        tune_seconds=tuned.seconds if tuned else 0.0,
        at_border=tuned.at_border if tuned else (),
        fit_seconds=fitted.fit_seconds,
        evaluate_seconds=found.seconds,
        users_per_second=found.users_per_second,
        peak_memory_bytes=peak_memory_bytes(),
        catalogue={metric: _finite(value) for metric, value in found.catalogue.items()},
    )
    return facts, found


def _ready(contender: Contender, split: Split) -> Fitted:
    if isinstance(contender, Fitted):
        return contender
    if isinstance(contender, Recommender):
        return Fitted(contender, _all_options(contender, {}))
    started = time.perf_counter()
    made = contender(split)
    if isinstance(made, Fitted):
        return made
    return Fitted(made, _all_options(made, {}), fit_seconds=time.perf_counter() - started)


def _all_options(model: Any, known: Options) -> Options:
    """Every option of a model that tells them, else those known."""
    options = getattr(model, "options", None)
    return dict(options()) if callable(options) else dict(known)


def _trial_facts(tuned: Tuned | None) -> list[dict[str, Any]]:
    trials = tuned.trials if tuned else ()
    return [{"options": t.options, "score": _finite(t.score), "seconds": t.seconds, "error": t.error} for t in trials]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _progress(facts: ModelFacts, found: Evaluation, primary: str, number: str) -> str:
    return (
        f"[{number}] {facts.name}: {primary} {found.mean(primary):.4f} on {found.n_users:,} users; "
        f"{len(facts.trials)} trials {facts.tune_seconds:.1f} s, fit {facts.fit_seconds:.1f} s, "
        f"evaluation {facts.evaluate_seconds:.1f} s ({facts.users_per_second:,.0f} users/s)"
    )


def _dataset_facts(split: Split) -> dict[str, Any]:
    data = split.dataset
    return {
        "name": data.name,
        "fingerprint": data.fingerprint(),
        "users": data.n_users,
        "items": data.n_items,
        "events": len(data.interactions),
    }


def _split_facts(split: Split) -> dict[str, Any]:
    def part(holdout: Holdout) -> dict[str, int]:
        return {"users": len(holdout.users()), "targets": len(holdout.target), "asked_at": holdout.at}

    return {
        "name": split.name,
        "ordered_by_time": split.ordered_by_time,
        "train_events": len(split.train),
        "validation": part(split.validation),
        "test": part(split.test),
        "competitors": split.test.competitors,
    }
