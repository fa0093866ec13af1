"""Contenders that are tuned on validation before they are examined."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twotower.config.models import ListedModel, baseline_names, listed_model, peer_names
from twotower.data.split import Split
from twotower.errors import BadConfig
from twotower.evaluation.contest import Contender, Entrant
from twotower.evaluation.facts import all_options
from twotower.evaluation.families import OTHER
from twotower.evaluation.search_result import Options, Say, SearchResult
from twotower.evaluation.seeds import checked_seeds
from twotower.tuning.best_file import known_search
from twotower.tuning.search_space import Search
from twotower.tuning.tune import Build, fit_final, tune


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
        family: what it is, a key of `families.FAMILIES`.
        seeds: of the last fits, whose figures are averaged; empty: the model's own.
        seed_option: where the seed stands among the options; None: the model draws nothing and is fitted once.
    """

    build: Build
    search: Search
    metric: str = "map@10"
    max_trials: int = 12
    seed: int = 0
    say: Say | None = None
    start: Options | None = None
    known: SearchResult | None = None
    family: str = OTHER
    seeds: Sequence[int] = ()
    seed_option: str | None = "seed"

    def __post_init__(self) -> None:
        """Refuses seeds that make no sense before hours are spent on tuning."""
        checked_seeds(self.seeds)

    def __call__(self, split: Split) -> Entrant:
        """Tunes and fits."""
        tuned = self.known or tune(
            self.build, self.search, split,
            metric=self.metric, max_trials=self.max_trials, seed=self.seed, say=self.say, start=self.start,
        )  # fmt: skip
        place = self.seed_option
        seeds = self.seeds if place else ()
        fits = {seed: {**tuned.options, str(place): seed} for seed in seeds} or {0: tuned.options}
        (first, options), *others = fits.items()
        started = time.perf_counter()
        model = fit_final(self.build, options, split)
        seconds = time.perf_counter() - started
        again = {seed: partial(fit_final, self.build, changed, split) for seed, changed in others}
        return Entrant(model, all_options(model, options), tuned, seconds, self.family, again, first)


def tuned_contender(listed: ListedModel, options: Mapping[str, Any], split: Split) -> TunedContender:
    """A contender that is tuned with the budget of an `eval` configuration, or takes what was found earlier.

    Args:
        listed: which model.
        options: `primary`, `max_trials`, `seed`, `seeds` and `tuned`.
        split: what earlier findings must have been found on.

    Raises:
        BadConfig: its library is not installed, or earlier findings are of something else.
    """
    build = listed.build()
    build()  # what cannot be made is refused now, not after the others were tuned
    known = known_search(
        options["tuned"], model=listed.name, split=split, metric=options["primary"], fixed=listed.fixed
    )
    return TunedContender(
        build, listed.search, options["primary"], options["max_trials"], options["seed"], print, listed.usual(), known,
        family=listed.family, seeds=options["seeds"], seed_option=listed.seed_option,
    )  # fmt: skip


def listed_contenders(options: Mapping[str, Any], split: Split) -> "dict[str, Contender]":
    """The baselines and peers of an `eval` configuration, each with the same budget of trials.

    Raises:
        BadConfig: a name that is in no file, a library that is not installed, or earlier findings of something else.
    """
    asked = [(name, baseline_names(), "eval.baselines: ") for name in options["baselines"]]
    asked += [(name, peer_names(), "eval.peers: ") for name in options["peers"]]
    for name, known, option in asked:
        if name not in known:
            raise BadConfig(f"{option}{name!r} is unknown; there are {', '.join(known)}")
    return {name: tuned_contender(listed_model(name, asked_by=option), options, split) for name, _, option in asked}
