"""Cells of one data set as one table: seeds pooled user by user, intervals and tests, peers beside our counterparts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from twotower.benchmarks.results import BenchmarkRun, Stage
from twotower.errors import BadConfig, BadInput
from twotower.evaluation.comparison import compare, spread
from twotower.evaluation.evaluation import Evaluation
from twotower.evaluation.paired import peer_checks
from twotower.evaluation.resampling import Draws
from twotower.evaluation.results import PeerCheck, Row
from twotower.evaluation.seeds import pooled
from twotower.metrics.metric import VALUE_METRICS, Metric

BESIDE = ("ndcg", "recall", "hit_rate")
"""Metrics of lists that stand in the table beside a primary one of lists, at its cut-off."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One model, its seeds pooled.

    Attributes:
        name: the model's, with the stage where it has several.
        figures: metric to its mean over users and seeds; empty where every seed failed.
        low, high: bootstrap interval of the primary metric, over users.
        difference: from the baseline by the primary metric; None for the baseline, or without one.
        p_holm: of "no difference", corrected for the rows that are tested.
        seeds: those that ended.
        sd: standard deviation between the seeds' means of the primary metric; None below two seeds.
        trials: of the search.
        tune_seconds: of the search.
        fit_seconds: of the last fit, mean over seeds.
        users_per_second: of the examination, mean over seeds.
        peak_memory_bytes: the largest of the seeds' processes.
        parameters: learnt numbers, those of the first seed.
        errors: seed to why it has no figures.
    """

    name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    p_holm: float | None = None
    seeds: tuple[int, ...] = ()
    sd: float | None = None
    trials: int = 0
    tune_seconds: float = 0.0
    fit_seconds: float | None = None
    users_per_second: float | None = None
    peak_memory_bytes: int | None = None
    parameters: int | None = None
    errors: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BenchmarkTable:
    """Everything that is told about one data set.

    Attributes:
        data: name of the data set's configuration.
        subject: see `BenchmarkRun`.
        primary: metric that orders the rows.
        metrics: in the order of the columns, the primary one first.
        baseline: the row that differences refer to; None if it is not there.
        level: of the intervals.
        resamples: of intervals and tests.
        rows: best first, those without figures last.
        peers: our counterpart of every peer that could be compared.
        unchecked: peer to why it could not.
        environment: machine and versions of the first cell.
    """

    data: str
    subject: Mapping[str, Any]
    primary: str
    metrics: tuple[str, ...]
    baseline: str | None
    level: float
    resamples: int
    rows: tuple[TableRow, ...]
    peers: tuple[PeerCheck, ...]
    unchecked: Mapping[str, str]
    environment: Mapping[str, Any] = field(default_factory=dict)


def table_of(
    data: str,
    cells: Sequence[BenchmarkRun],
    *,
    primary: str,
    baseline: str | None,
    counterparts: Mapping[str, str],
    resamples: int,
    level: float,
    seed: int,
) -> BenchmarkTable:
    """Pools cells and compares what comes out.

    Args:
        data: name of the data set's configuration.
        cells: all of one data set; seeds of one model one after the other.
        primary: metric that orders the rows.
        baseline: the row that differences refer to, where it is there.
        counterparts: peer to our model that must not be weaker.
        resamples: of bootstrap and permutation test.
        level: of the intervals.
        seed: of both.

    Raises:
        BadConfig: cells are of different data, or sampled and full-catalogue figures would stand in one table.
        BadInput: cells of one data set asked different users.
    """
    _refuse_other_data(cells)
    by_name: dict[str, dict[int, tuple[BenchmarkRun, Stage]]] = {}
    for cell in cells:
        for name, stage in cell.stages.items():
            by_name.setdefault(_row_name(cell.model, name), {})[cell.seed] = cell, stage
    metric, draws = Metric.parse(primary), Draws(resamples, level, seed)
    metrics = _columns(metric, [stage.evaluation for seeds in by_name.values() for _, stage in seeds.values()])
    every = {name: pooled_evaluation(_evaluations(seeds), metrics) for name, seeds in by_name.items()}
    named = baseline if baseline in every else None
    compared = compare(every, baseline=named, draws=draws) if every else ()
    tested = {row.model: row for row in compared if row.key == primary}
    rows = [_row(name, seeds, every[name], tested[name], cells, primary) for name, seeds in by_name.items()]
    rows.sort(key=lambda row: -metric.sign * row.figures[primary])
    first = next((cell for cell in cells if cell.stages), None)
    return BenchmarkTable(
        data, first.subject if first else {}, primary, metrics, named, level, resamples,
        (*rows, *_failed_rows(cells)),
        peer_checks(every, counterparts, primary, draws),
        _unchecked(every, counterparts),
        first.environment if first else {},
    )  # fmt: skip


def pooled_evaluation(found: Mapping[int, Evaluation], metrics: Sequence[str]) -> Evaluation:
    """The mean over seeds of every user's value, so that a user counts once however many seeds there were.

    Args:
        found: by seed.
        metrics: what is kept.

    Raises:
        BadConfig: they asked different users, or a metric was not measured.
    """
    return pooled(
        {
            seed: replace(evaluation, per_user={metric: evaluation.ratio(metric) for metric in metrics})
            for seed, evaluation in found.items()
        }
    )


def _unchecked(found: Mapping[str, Evaluation], counterparts: Mapping[str, str]) -> dict[str, str]:
    """Peers that stand beside nothing, and why."""
    missing = {peer: [name for name in (peer, ours) if name not in found] for peer, ours in counterparts.items()}
    return {peer: f"{' and '.join(names)} without figures" for peer, names in missing.items() if names}


def _refuse_other_data(cells: Sequence[BenchmarkRun]) -> None:
    """One table is about one data set, one split, and users who were all asked."""
    done = [cell for cell in cells if cell.stages]
    for cell in done[1:]:
        for what in ("fingerprint", "split"):
            if cell.subject[what] != done[0].subject[what]:
                raise BadConfig(
                    f"{cell.data}: {cell.model} was run on {what} {cell.subject[what]!s:.16}, {done[0].model} on "
                    f"{done[0].subject[what]!s:.16}: the data changed since; give out=<another folder>"
                )
    users = [next(iter(cell.stages.values())).evaluation.users for cell in done]
    if any(not np.array_equal(other, users[0]) for other in users[1:]):
        raise BadInput("cells of one data set were examined on different users; give out=<another folder>")


def _columns(primary: Metric, evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """The primary metric, and others of its kind that every model was measured by."""
    beside = [f"{name}@{primary.k}" for name in BESIDE] if primary.of_lists else list(VALUE_METRICS)
    measured = (name for name in beside if all(name in evaluation.per_user for evaluation in evaluations))
    return tuple(dict.fromkeys((str(primary), *measured)))


def _row_name(model: str, stage: str) -> str:
    return f"{model}: {stage}" if stage else model


def _evaluations(seeds: Mapping[int, tuple[BenchmarkRun, Stage]]) -> dict[int, Evaluation]:
    return {seed: stage.evaluation for seed, (_, stage) in seeds.items()}


def _row(
    name: str,
    seeds: Mapping[int, tuple[BenchmarkRun, Stage]],
    evaluation: Evaluation,
    tested: Row,
    cells: Sequence[BenchmarkRun],
    primary: str,
) -> TableRow:
    done = [cell for cell, _ in seeds.values()]
    return TableRow(
        name,
        evaluation.means,
        tested.low,
        tested.high,
        tested.difference,
        tested.p_holm,
        tuple(seeds),
        spread(evaluation, primary),
        len(done[0].trials),
        done[0].tune_seconds,
        float(np.mean([cell.fit_seconds for cell in done])),
        float(np.mean([stage.evaluation.users_per_second for _, stage in seeds.values()])),
        max(cell.peak_memory_bytes for cell in done),
        next(iter(seeds.values()))[1].parameters,
        {cell.seed: cell.error for cell in cells if cell.model == done[0].model and cell.error is not None},
    )


def _failed_rows(cells: Sequence[BenchmarkRun]) -> list[TableRow]:
    """Models of which no seed ended."""
    ended = {cell.model for cell in cells if cell.stages}
    errors: dict[str, dict[int, str]] = {}
    for cell in cells:
        if cell.model not in ended:
            errors.setdefault(cell.model, {})[cell.seed] = cell.error or "no figures"
    return [TableRow(model, errors=of_model) for model, of_model in errors.items()]
