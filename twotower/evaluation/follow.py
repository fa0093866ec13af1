"""`Follow`: how a contender is brought to later moments of asking, by taking newer data in or by learning anew."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.rolling import DAY, RollingHoldout, moment_text
from twotower.data.split import Holdout, Split
from twotower.protocols import PairPredictor, Recommender

Examined = Recommender | PairPredictor
"""What can be examined; who does both is examined in both."""


@dataclass(frozen=True, slots=True)
class Follow:
    """What a contender can do when time goes on; histories and what competes are those of the moment for everybody.

    Attributes:
        serve: the contender with profiles, catalogue and index as of a moment, from a data set whose events end before
            it, its history and the moment; the weights stay. None: it stands as it was fitted.
        refit: learns anew from a split whose events end before the moment; gives the contender and how that follows.
            None: it cannot.
    """

    serve: Callable[[Dataset, Interactions, int], Examined] | None = None
    refit: Callable[[Split], "tuple[Examined, Follow]"] | None = None

    @classmethod
    def of(cls, model: Any) -> "Follow":
        """What a model says that it can do (`Model.serves_other_moments`, `Model.fit_for_test`)."""
        serve = model.serve if getattr(model, "serves_other_moments", False) else None
        return cls(serve, _learner(model) if callable(getattr(model, "fit_for_test", None)) else None)

    def words(self, holdout: Holdout) -> str:
        """What became of the contender while time went on; nothing where it did not."""
        if not isinstance(holdout, RollingHoldout):
            return ""
        stands = f"catalogue and profiles as of {moment_text(holdout.at)}"
        taken = "catalogue, profiles and index as of each moment" if self.serve else f"newer histories only, {stands}"
        if holdout.refit_days is None:
            return f"{taken}; weights as fitted"
        if self.refit is None:
            return f"{taken}; weights as fitted, since it cannot learn anew here"
        return f"{taken}; learnt anew every {holdout.refit_days:g} days"


def learnt_anew(model: Any, split: Split) -> Any:
    """A model with the same options, fitted as for a test: epochs are chosen on validation, then all is learnt.

    It is a copy: some models fit in place, and others go through the same moments from the beginning.
    """
    return copy.deepcopy(model).fit_for_test(split)


def _learner(model: Any) -> Callable[[Split], tuple[Examined, Follow]]:
    def refit(split: Split) -> tuple[Examined, Follow]:
        learnt = learnt_anew(model, split)
        return learnt, Follow.of(learnt)

    return refit


class Follower:
    """A contender that goes through the moments of a holdout, in their order.

    Args:
        model: fitted for the first moment.
        follow: what it can do; None: what it says itself.
        holdout: whose moments.
    """

    def __init__(self, model: Examined, follow: Follow | None, holdout: Holdout) -> None:
        self._model, self._follow, self._holdout = model, follow or Follow.of(model), holdout
        self._learnt_at = holdout.at

    def at(self, asked: Holdout) -> Examined:
        """The contender as it stands when asked; of a holdout of one moment it is taken as it is."""
        if not isinstance(self._holdout, RollingHoldout):
            return self._model
        if self._is_old(asked.at, self._holdout.refit_days) and self._follow.refit is not None:
            self._model, self._follow = self._follow.refit(self._holdout.split_at(asked))
            self._learnt_at = asked.at
        elif self._follow.serve is not None:
            self._model = self._follow.serve(self._holdout.data_at(asked), asked.history, asked.at)
        return self._model

    def _is_old(self, at: int, refit_days: float | None) -> bool:
        return refit_days is not None and at - self._learnt_at >= refit_days * DAY
