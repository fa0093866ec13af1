"""`Answer`: what a run says to one user, in external ids, with its reasons."""

from dataclasses import dataclass
from typing import Any

from twotower.stages.recommender import How


@dataclass(frozen=True, slots=True)
class Reason:
    """An item of the history that speaks for a recommended one."""

    item: Any
    title: str | None
    cosine: float


@dataclass(frozen=True, slots=True)
class Recommended:
    """One place of a list.

    Attributes:
        item: external id.
        title: what people call it, if the catalogue says.
        features: its first few catalogue values.
        retrieval_score: first stage.
        rank_score: second stage. Both are the number of events when nothing is known of the user.
        because: items of the history that speak for it; filled when an explanation was asked for.
    """

    item: Any
    title: str | None
    features: dict[str, Any]
    retrieval_score: float
    rank_score: float
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the stages did: items retrieved, removed rule by rule, left to be ranked."""

    retrieved: int
    removed: dict[str, int]
    ranked: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A list for one user.

    Attributes:
        run: name of the run.
        user: external id as asked, or None.
        how: the way the query was answered.
        items: the list, best first.
        explanation: filled when asked for.
        gold: external ids of the list that RankNet would make of the whole catalogue; filled when asked for.
        known: whether the user is in the data set.
    """

    run: str
    user: Any
    how: How
    items: tuple[Recommended, ...]
    explanation: Explanation | None = None
    gold: tuple[Any, ...] | None = None
    known: bool = False
