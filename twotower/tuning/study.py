"""One search as an Optuna study: what is tried next, what came of it, kept in a file that outlives a kill."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from twotower.errors import BadConfig
from twotower.evaluation.search_result import Options, Trial
from twotower.metrics.metric import Better
from twotower.storage.atomic import only_one
from twotower.tuning.search_space import Search, grid_size, parse

N_RANDOM = 5
"""Trials drawn at random before the sampler learns from them."""
N_UNPRUNED, N_EPOCHS_UNPRUNED = 3, 2
"""Trials that always end, and epochs that every trial gets; after them the median of the others decides."""
REDRAWS = 8
"""Times that something untried is asked for, before it is looked up."""
_OUTCOME, _IDENTITY = "outcome", "identity"


class Pruned(Exception):  # no error of the library: it never leaves the search
    """Raised inside a fit that is worse than the median of the others at the same epoch."""


@dataclass(slots=True)
class Attempt:
    """A trial that is under way.

    Attributes:
        options: what is tried.
        trial: Optuna's.
        figures: what was reported, epoch by epoch.
    """

    options: Options
    trial: optuna.Trial
    figures: list[float] = field(default_factory=list)

    def report(self, figure: float) -> None:
        """Takes the validation figure of an epoch.

        Raises:
            Pruned: it is worse than the median of what others had at this epoch.
        """
        self.trial.report(figure, len(self.figures))  # Optuna counts epochs from 0
        self.figures.append(figure)
        if self.trial.should_prune():
            epochs = f"{len(self.figures)} epochs at {figure:.4f}"
            raise Pruned(f"pruned after {epochs}, worse than the median of other trials")


class Study:
    """Asks for options and hears what came of them.

    A countable space no larger than the budget is tried in order. Otherwise the start options come first, then random
    ones, then those that TPE proposes (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"). Every
    proposal is seeded by the number of trials that are done, so that a killed study goes on as if it had not been
    killed. Nothing is tried twice.

    Args:
        search: what may be tried.
        better: which way scores, and the figures of epochs, are better.
        max_trials: budget.
        seed: of proposals.
        storage: Optuna's.
        identity: what the trials depend on; a study of another identity is refused.
        start: tried first where the space holds it, e.g. a model's usual options.
        prune: stop trials that fall behind.

    Raises:
        BadConfig: the storage holds a study of something else.
    """

    def __init__(
        self,
        search: Search,
        *,
        better: Better = "higher",
        max_trials: int,
        seed: int = 0,
        storage: BaseStorage | None = None,
        identity: Mapping[str, Any] | None = None,
        start: Options | None = None,
        prune: bool = True,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._search, self._space = search, parse(search)
        self._grid_size, self._max_trials, self._seed = grid_size(search), max_trials, seed
        self._start = self._encoded(start or {}) if start and set(self._space) <= set(start) else None
        self._study = optuna.create_study(
            storage=storage or InMemoryStorage(),
            study_name="tuning",
            direction="maximize" if better == "higher" else "minimize",
            load_if_exists=True,
            pruner=MedianPruner(N_UNPRUNED, N_EPOCHS_UNPRUNED) if prune else NopPruner(),
        )
        self._refuse_other({"search": dict(search), "seed": seed, **(identity or {})})
        self._end_killed()

    def trials(self) -> list[Trial]:
        """What is done, in order."""
        outcomes = (trial.user_attrs.get(_OUTCOME) for trial in self._study.trials if trial.state.is_finished())
        return [Trial.of(json.loads(outcome)) for outcome in outcomes if outcome]

    def ask(self) -> Attempt | None:
        """The next options; None when the budget is spent or everything was tried."""
        done = self.trials()
        if len(done) >= self._max_trials or 0 < self._grid_size <= len(done):
            return None
        tried = [trial.options for trial in done]
        in_order = 0 < self._grid_size <= self._max_trials
        if not in_order:
            for attempt in range(REDRAWS):
                asked = self._propose(len(done), attempt)
                if asked.options not in tried or (not self._grid_size and attempt == REDRAWS - 1):
                    return asked
                self._study.tell(asked.trial, state=TrialState.FAIL)
        return self._fixed(self._first_untried(tried, shuffled=not in_order))

    def tell(self, attempt: Attempt, trial: Trial) -> None:
        """Keeps what came of an attempt, then ends it: after a kill in between it is done again."""
        attempt.trial.set_user_attr(_OUTCOME, json.dumps(trial.facts()))
        if trial.error is None:
            self._study.tell(attempt.trial, trial.score)
        else:
            self._study.tell(attempt.trial, state=TrialState.PRUNED if trial.pruned else TrialState.FAIL)

    def _propose(self, number: int, attempt: int) -> Attempt:
        if number == attempt == 0 and self._start is not None:
            return self._fixed(self._start)
        drawn = int(np.random.SeedSequence([self._seed, number, attempt]).generate_state(1)[0])
        self._study.sampler = TPESampler(seed=drawn, n_startup_trials=N_RANDOM)
        return self._asked()

    def _fixed(self, params: dict[str, Any]) -> Attempt:
        if not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(params)
        return self._asked()

    def _asked(self) -> Attempt:
        trial = self._study.ask({name: option.distribution() for name, option in self._space.items()})
        return Attempt({name: option.decode(trial.params[name]) for name, option in self._space.items()}, trial)

    def _first_untried(self, tried: list[Options], *, shuffled: bool) -> dict[str, Any]:
        """Encoded options of the countable grid; shuffled: from a seeded place on."""
        sizes = [option.size or 1 for option in self._space.values()]
        first = int(np.random.default_rng(self._seed).integers(self._grid_size)) if shuffled else 0
        for step in range(self._grid_size):
            places = np.unravel_index((first + step) % self._grid_size, sizes) if sizes else ()
            params = {
                name: int(at) + int(getattr(option, "low", 0))
                for (name, option), at in zip(self._space.items(), places, strict=True)
            }
            if {name: option.decode(params[name]) for name, option in self._space.items()} not in tried:
                return params
        raise AssertionError("the grid is larger than what was tried")

    def _encoded(self, options: Options) -> dict[str, Any] | None:
        encoded = {name: option.encode(options[name]) for name, option in self._space.items()}
        return None if None in encoded.values() else encoded

    def _refuse_other(self, identity: dict[str, Any]) -> None:
        text = json.dumps(identity, sort_keys=True, default=str)
        before = self._study.user_attrs.get(_IDENTITY)
        if before is None:
            self._study.set_user_attr(_IDENTITY, text)
        elif before != text:
            then, now = json.loads(before), json.loads(text)
            other = ", ".join(sorted(n for n in {*then, *now} if then.get(n) != now.get(n)))
            raise BadConfig(f"tune: the study file is of another {other}; give out=<another folder>")

    def _end_killed(self) -> None:
        """Trials that were under way when a process ended are asked for again."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)


@contextmanager
def journal(file: Path | None) -> Iterator[BaseStorage | None]:
    """A study file of JSON lines that one process at a time may write; None gives none.

    What a killed process left half written is cut off.

    Raises:
        BundleError: another process is tuning into this file.
    """
    if file is None:
        yield None
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with only_one(file.with_name(f".{file.name}.tuning"), f"tuning into {file.parent}"):
        Path(f"{file}.lock").unlink(missing_ok=True)  # the backend's own lock does not end with its process
        if file.exists():
            whole = file.read_bytes()
            if not whole.endswith(b"\n"):
                file.write_bytes(whole[: whole.rfind(b"\n") + 1])
        yield JournalStorage(JournalFileBackend(str(file)))
