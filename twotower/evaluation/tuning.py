"""Tuning on validation: every model gets the same search, and nobody sees the test."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from twotower.data.split import Split
from twotower.errors import BadConfig, TrainingDiverged
from twotower.evaluation.blind import BlindSplit, blind_final
from twotower.evaluation.runner import BLOCK, evaluate, parse_metric
from twotower.protocols import Recommender

Options = dict[str, Any]
Search = Mapping[str, Sequence[Any]]
"""Option name to the values that are tried."""
Say = Callable[[str], None]
"""Takes a line for the person who waits."""


class Fittable(Recommender, Protocol):
    """A recommender that learns from a split, e.g. every `ScoringModel`."""

    def fit(self, split: Split) -> Any:
        """Learns from `split.train`; may watch `split.validation`."""
        ...


Build = Callable[..., Fittable]
"""Makes an unfitted model of plain options, e.g. the class itself or a `functools.partial` of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One fit of the search.

    Attributes:
        options: what was tried.
        score: the metric on validation; NaN if training diverged.
        seconds: wall time of fit and evaluation.
        error: why there is no score, else None.
        found: options that the fit found out by watching validation, e.g. the best number of epochs.
    """

    options: Options
    score: float
    seconds: float
    error: str | None = None
    found: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome of a search.

    Attributes:
        options: the best ones, with what their fit found out; at equal scores those tried first.
        score: their metric on validation.
        metric: e.g. "map@10".
        trials: all that was tried, in order.
        grid_size: how many combinations there were.
    """

    options: Options
    score: float
    metric: str
    trials: tuple[Trial, ...]
    grid_size: int

    @property
    def seconds(self) -> float:
        """Wall time of all trials."""
        return sum(trial.seconds for trial in self.trials)


def tune(
    build: Build,
    search: Search,
    split: Split,
    *,
    metric: str = "map@10",
    max_trials: int = 12,
    seed: int = 0,
    block: int = BLOCK,
    say: Say | None = None,
) -> Tuned:
    """Tries all combinations, or a random subset when there are more than `max_trials`.

    Every trial is fitted on train and scored on validation of a `BlindSplit`: reaching for the test is an error.

    Args:
        build: makes an unfitted model of the options tried.
        search: values by option; empty: one trial with the defaults.
        split: train and validation are used.
        metric: what to maximise.
        max_trials: the same budget for every model.
        seed: of the random subset.
        block: queries asked at once.
        say: told about every trial.

    Raises:
        BadConfig: an option without values, or a budget below 1.
        TrainingDiverged: in all trials.
        LeakError: a model asked for the test.
    """
    _, k = parse_metric(metric)
    blind = BlindSplit.of(split)
    candidates = list(combinations(search, max_trials, seed))
    trials: list[Trial] = []
    for number, options in enumerate(candidates, start=1):
        trials.append(_try(build, options, blind, metric, k, block))
        if say:
            last = trials[-1]
            outcome = last.error or f"{metric} {last.score:.4f}"
            say(f"trial {number}/{len(candidates)} {options}: {outcome} on validation, {last.seconds:.1f} s")
    scored = [trial for trial in trials if trial.error is None]
    if not scored:
        raise TrainingDiverged(f"tune: all {len(trials)} trials diverged, the last: {trials[-1].error}")
    best = max(scored, key=lambda trial: trial.score)
    grid_size = math.prod(len(values) for values in search.values())
    return Tuned({**best.options, **best.found}, best.score, metric, tuple(trials), grid_size)


def fit_final(build: Build, options: Options, split: Split) -> Fittable:
    """The last fit: chosen options, train and validation events together, still no test."""
    model = build(**options)
    model.fit(blind_final(split))
    return model


def combinations(search: Search, max_trials: int, seed: int) -> Iterator[Options]:
    """The grid in order, or `max_trials` of its points drawn without repeats; huge grids are never written out.

    >>> list(combinations({"dim": [8, 16], "lr": [0.1]}, 5, seed=0))
    [{'dim': 8, 'lr': 0.1}, {'dim': 16, 'lr': 0.1}]
    """
    if max_trials < 1:
        raise BadConfig(f"tune: max_trials={max_trials} must be at least 1")
    for name, values in search.items():
        if isinstance(values, str) or not len(values):
            raise BadConfig(f"tune: option {name!r} needs a list of values to try, got {values!r}")
    sizes = [len(values) for values in search.values()]
    total = math.prod(sizes)
    points: Sequence[int] = range(total)
    if total > max_trials:
        points = sorted(np.random.default_rng(seed).choice(total, max_trials, replace=False).tolist())
    for point in points:
        places = np.unravel_index(point, sizes) if sizes else ()
        yield {name: values[int(at)] for (name, values), at in zip(search.items(), places, strict=True)}


def _try(build: Build, options: Options, split: Split, metric: str, k: int, block: int) -> Trial:
    started = time.perf_counter()
    try:
        model = build(**options)
        model.fit(split)
        score = evaluate(model, split.validation, ks=(k,), block=block).mean(metric)
    except TrainingDiverged as error:
        return Trial(options, math.nan, time.perf_counter() - started, str(error))
    found: Options = getattr(model, "found_options", dict)()
    return Trial(options, score, time.perf_counter() - started, found=found)
