"""The outcome of a search for options, as a report tells it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

Options = dict[str, Any]
Say = Callable[[str], None]
"""Takes a line for the person who waits."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One fit of the search.

    Attributes:
        options: what was tried.
        score: the metric on validation; NaN if there is none.
        seconds: wall time of fit and evaluation.
        error: why there is no score, else None.
        found: options that the fit found out by watching validation, e.g. the best number of epochs.
        pruned: it was stopped because it fell behind; `error` says when.
    """

    options: Options
    score: float
    seconds: float
    error: str | None = None
    found: Options = field(default_factory=dict)
    pruned: bool = False

    def facts(self) -> dict[str, Any]:
        """As plain values, without NaN."""
        return {**asdict(self), "score": self.score if math.isfinite(self.score) else None}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Takes back what `facts` gave."""
        return cls(**{**facts, "score": math.nan if facts["score"] is None else facts["score"]})


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        options: the best ones, with what their fit found out; at equal scores those tried first.
        score: their metric on validation.
        metric: what was made best, e.g. "map@10" or "rmse".
        trials: all that was tried, in order.
        grid_size: how many combinations there were; 0 where options have ranges.
        at_border: options whose best value lies at an end of what was tried; their space should grow.
    """

    options: Options
    score: float
    metric: str
    trials: tuple[Trial, ...]
    grid_size: int
    at_border: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Wall time of all trials."""
        return sum(trial.seconds for trial in self.trials)
