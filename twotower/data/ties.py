"""Events of one user at one moment: their order is that of the source alone, and a split may hang on it."""

from dataclasses import dataclass, replace

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import Holdout
from twotower.types import Ids


@dataclass(frozen=True, slots=True)
class Ties:
    """How far the order of equal times decides what is foreseen.

    Attributes:
        users: share of the users asked of whom a target has the time of an event that they are asked with.
        targets: share of the targets that another order would exchange, on average over all orders: of g targets and h
            known pairs at one moment, g · h / (g + h).
    """

    users: float
    targets: float


def ties_of(holdout: Holdout) -> Ties:
    """Ties between targets and first events of known pairs of the same user; a repeat could be no target."""
    asked, target = holdout.users(), holdout.target
    known = holdout.history.unique_pairs()
    mine = known.where(np.isin(known.user, asked))
    keys, of_target = np.unique(_moments(target), return_inverse=True)
    place = np.searchsorted(keys, _moments(mine))
    same = place < len(keys)
    same[same] = keys[place[same]] == _moments(mine)[same]
    before = np.bincount(place[same], minlength=len(keys))
    held = np.bincount(of_target, minlength=len(keys))
    tied = np.unique(target.user[before[of_target] > 0])
    exchanged = (held * before / np.maximum(held + before, 1)).sum()
    return Ties(len(tied) / max(len(asked), 1), float(exchanged) / max(len(target), 1))


def _moments(events: Interactions) -> Ids:
    """One number for each user and time: times are counted from 1970 in 2^36 s, which is the year 4147. Shape [E]."""
    return events.user.astype(np.int64) * 2**37 + events.time


def ties_reversed(dataset: Dataset) -> Dataset:
    """The same events, those of one user and moment in the opposite order."""
    return replace(
        dataset,
        interactions=_reversed(dataset.interactions),
        log=None if dataset.log is None else _reversed(dataset.log),
    )


def _reversed(events: Interactions) -> Interactions:
    order = np.lexsort((-np.arange(len(events)), events.time, events.user))
    columns = {name: getattr(events, name)[order] for name in ("user", "item", "time", "kind", "value")}
    return replace(events, **columns)
