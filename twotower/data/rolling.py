"""`RollingHoldout`: targets that are asked for moment by moment, each time with all that is known by then."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.interactions import Interactions
from twotower.data.split import FULL_CATALOGUE, Holdout, Split
from twotower.types import Bools, Ids, Times

DAY = 86_400
"""Seconds."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RollingHoldout(Holdout):
    """A holdout whose users are asked whenever they act, day by day, and not once for the whole time.

    A moment's targets are the new pairs between it and the next moment. Only users who have one are asked then, with
    the histories and the items of that moment. As a plain `Holdout` it asks for all targets at the first moment.

    Attributes:
        dataset: users and catalogue; whoever is asked gets them with the events before the moment alone.
        moments: when is asked, seconds since the epoch, rising, `at` the first. Shape [M].
        later: all events from the first moment on, repeats of known pairs among them.
        watched: length of the validation, seconds: what a model that learns anew may watch.
        refit_days: contenders learn anew when their last fit is so many days old; None: their weights stay.
    """

    dataset: Dataset
    moments: Times
    later: Interactions
    watched: int
    refit_days: float | None = None

    def rounds(self) -> Iterator[Holdout]:
        """What is asked at each moment that has a target, one at a time; their targets together are `target`."""
        of_target = self._moment_of_targets()
        for number, at in enumerate(self.moments.tolist()):
            mine = of_target == number
            if mine.any():
                yield Holdout(self.known_at(at), self.target.where(mine), at, available=self._available_at(at))

    def known_at(self, at: int) -> Interactions:
        """The events before a moment, which are all that anybody may see then."""
        newer = self.later.where(self.later.time < at)
        return self.history.concat(newer) if len(newer) else self.history

    def data_at(self, asked: Holdout) -> Dataset:
        """Users and catalogue with the events that are known when asked, and no others."""
        return self.dataset.with_interactions(asked.history)

    def split_at(self, asked: Holdout) -> Split:
        """What may be learnt when asked: all that is known, its newest part as validation; there is no target."""
        events, start = asked.history, asked.at - self.watched
        train = events.where(events.time < start)
        watched = Holdout.of(train, events.where(events.time >= start), start, self._available_at(start))
        test = Holdout(events, events.where(np.empty(0, np.int64)), asked.at, available=asked.available)
        return Split(self.data_at(asked), train, watched, test, f"as of {moment_text(asked.at)}")

    def findable(self) -> Bools:
        """Targets that can be had at the moment at which they are asked for. Shape [P]."""
        lives = self.dataset.lifetimes
        if self.available is None or lives is None:
            return np.ones(len(self.target), np.bool_)
        at, item = self.moments[self._moment_of_targets()], self.target.item
        return np.asarray((lives.since[item] <= at) & (lives.until[item] > at))

    @property
    def n_questions(self) -> int:
        """Pairs of a user and a moment that are asked."""
        return len(np.unique(self._moment_of_targets() * self.target.n_users + self.target.user))

    @property
    def competitors(self) -> str:
        """What a target is ranked against; where items come and go, from the fewest to the most at any moment."""
        if self.available is None:
            return FULL_CATALOGUE
        counts = [int(there.sum()) for at in self.moments.tolist() if (there := self._available_at(at)) is not None]
        return f"{min(counts):,} to {max(counts):,} of {len(self.available):,} items, available when asked"

    def _available_at(self, at: int) -> Bools | None:
        """Items for sale at a moment, [N]; None where all compete or nobody knows."""
        lives = self.dataset.lifetimes
        return None if self.available is None or lives is None else lives.available(at)

    def _moment_of_targets(self) -> Ids:
        """The moment at which each target is asked for: the newest that is not after it. Shape [P]."""
        return np.searchsorted(self.moments, self.target.time, side="right") - 1


def moment_text(seconds: int) -> str:
    """A moment as people read it, UTC.

    >>> moment_text(1_493_596_800), moment_text(1_493_596_800 + 3600)
    ('2017-05-01', '2017-05-01 01:00')
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%d" if seconds % DAY == 0 else "%Y-%m-%d %H:%M")
