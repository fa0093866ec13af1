"""Tuning on validation: every model gets the same search, and nobody sees the test."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from twotower.data.split import Split
from twotower.errors import BadConfig, LeakError, TrainingDiverged
from twotower.evaluation.examine import BLOCK, examine
from twotower.evaluation.measurable import refuse_unmeasurable
from twotower.evaluation.search_result import Options, Say, SearchResult, Trial
from twotower.metrics.metric import Metric
from twotower.protocols import PairPredictor, Recommender
from twotower.text import one_line
from twotower.training.context import QUIET, FitContext
from twotower.tuning.blind_split import BlindSplit, blind_final, blind_watched
from twotower.tuning.search_space import Search, at_border, grid_size, parse
from twotower.tuning.study import Attempt, Pruned, Study, journal


class Fits(Protocol):
    """What learns from a split, e.g. every `Model`."""

    def fit(self, split: Split, context: FitContext = QUIET) -> Any:
        """Learns from `split.train`; may watch `split.validation`, and tell `context.on_epoch` what it sees.

        The figure of an epoch is by the model's option `metric` where it has one, else of lists, so higher is better.
        """
        ...


class FittableRecommender(Recommender, Fits, Protocol):
    """A recommender that learns."""


class FittablePredictor(PairPredictor, Fits, Protocol):
    """What learns to predict values."""


Fittable = FittableRecommender | FittablePredictor
Build = Callable[..., Fittable]
"""Makes an unfitted model of plain options, e.g. the class itself or a `functools.partial` of it."""


def tune(
    build: Build,
    search: Search,
    split: Split,
    *,
    metric: str = "map@10",
    max_trials: int = 12,
    minutes: float | None = None,
    seed: int = 0,
    block: int = BLOCK,
    say: Say | None = None,
    start: Options | None = None,
    prune: bool = True,
    study_file: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Tries all combinations, or as many as the budget allows, chosen by TPE from what was learnt so far.

    Every trial is fitted on train and scored on validation of a `BlindSplit`: reaching for the test is an error.

    Args:
        build: makes an unfitted model of the options tried.
        search: values or a range by option; empty: one trial with the defaults.
        split: train and validation are used.
        metric: what to make best, e.g. "map@10" or "rmse", which is made small.
        max_trials: the same budget for every model.
        minutes: nothing new is begun when the trials took so long, but one trial there is; None: no limit.
        seed: of what is tried.
        block: queries asked at once.
        say: gets a line for every trial.
        start: options that are tried first when not all combinations are, e.g. the usual ones.
        prune: stop trials that fall behind the median, where the model tells how its epochs go, by a metric of the
            same direction.
        study_file: keeps the trials; a search that was killed goes on from there.
        identity: what else the trials depend on; a study file that differs in it is refused.

    Raises:
        BadConfig: an unknown metric, an option without values, a budget below 1, or a study file of something else.
        BadInput: the targets of validation do not allow the metric.
        BundleError: another process writes the study file.
        TrainingDiverged: no trial gave a score.
        LeakError: a model asked for the test.
    """
    better = Metric.parse(metric).better
    refuse_unmeasurable(Metric.parse(metric), split.validation)
    parse(search)
    if not isinstance(max_trials, int) or max_trials < 1 or (minutes is not None and minutes <= 0):
        raise BadConfig(f"tune: max_trials={max_trials} must be at least 1, minutes={minutes} above 0")
    blind = BlindSplit.of(split)
    known = {"metric": metric, "split": split.name, **(identity or {})}
    if study_file is not None:
        known["dataset"] = split.dataset.fingerprint()
    with journal(study_file) as storage:
        study = Study(
            search, better=better, max_trials=max_trials, seed=seed, storage=storage, identity=known, start=start,
            prune=prune,
        )  # fmt: skip
        limit = math.inf if minutes is None else 60 * minutes
        while not (done := study.trials()) or sum(trial.seconds for trial in done) < limit:
            attempt = study.ask()
            if attempt is None:
                break
            trial = _try(build, attempt, blind, metric, block)
            study.tell(attempt, trial)
            if say:
                say(_line(trial, f"{len(done) + 1}/{_planned(search, max_trials)}", metric))
        return tuned(study.trials()[:max_trials], search, metric)


def tuned(trials: list[Trial], search: Search, metric: str) -> SearchResult:
    """The best of some trials.

    Raises:
        TrainingDiverged: none has a score.
    """
    scored = [trial for trial in trials if trial.error is None]
    if not scored:
        raise TrainingDiverged(f"tune: all {len(trials)} trials failed, the last: {trials[-1].error}")
    sign = Metric.parse(metric).sign
    best = max(scored, key=lambda trial: sign * trial.score)
    options = {**best.options, **best.found}
    return SearchResult(options, best.score, metric, tuple(trials), grid_size(search), at_border(search, best.options))


def fit_final(build: Build, options: Options, split: Split) -> Fittable:
    """The last fit: chosen options, train and validation events together, still no test.

    A model that says it does not refit watches validation in this fit too.
    """
    model = build(**options)
    model.fit(blind_final(split) if getattr(model, "refits", True) else blind_watched(split))
    return model


def _try(build: Build, attempt: Attempt, split: Split, metric: str, block: int) -> Trial:
    """One fit and its score; whatever goes wrong is the trial's, except reaching for the test."""
    started = time.perf_counter()
    try:
        model = build(**attempt.options)
        model.fit(split, FitContext(on_epoch=attempt.report) if _watches_alike(model, metric) else QUIET)
        score = examine(model, split.validation, metrics=(metric,), block=block).mean(metric)
    except LeakError:
        raise
    except Pruned as pruned:
        return Trial(attempt.options, math.nan, time.perf_counter() - started, str(pruned), pruned=True)
    except Exception as error:  # a setting may run out of memory, diverge, be refused: the others go on
        kind = "" if isinstance(error, TrainingDiverged) else f"{type(error).__name__}: "
        text = one_line(f"{kind}{error}")
        return Trial(attempt.options, math.nan, time.perf_counter() - started, text)
    watched: Options = getattr(model, "found_options", dict)()
    return Trial(attempt.options, score, time.perf_counter() - started, found=watched)


def _watches_alike(model: Fittable, metric: str) -> bool:
    """Whether the figures of epochs go the way of the metric; others do not say who falls behind."""
    watched = Metric.parse(getattr(model, "metric", "map@10"))
    return watched.better == Metric.parse(metric).better


def _planned(search: Search, max_trials: int) -> int:
    return min(max_trials, grid_size(search) or max_trials)


def _line(trial: Trial, number: str, metric: str) -> str:
    outcome = trial.error or f"{metric} {trial.score:.4f}"
    return f"trial {number} {trial.options}: {outcome} on validation, {trial.seconds:.1f} s"
