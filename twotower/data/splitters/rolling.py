"""`Rolling`: any split at one moment, whose test is asked for day by day."""

from dataclasses import fields, replace

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.rolling import DAY, RollingHoldout
from twotower.data.split import Holdout, Split
from twotower.data.splitters.by_time import TimeQuantile
from twotower.data.splitters.parts import Splitter
from twotower.errors import BadConfig, BadInput
from twotower.types import Times

USUAL_MOMENTS = 31
"""Moments at most where nobody says how many days lie between them."""
MOST_MOMENTS = 1000


class Rolling:
    """Train and validation are those of another split; its test is asked for anew at every moment.

    At each moment the users who touch something new before the next one are asked, with all events before the moment
    as histories and the items that can be had then. Weights stay as they were fitted, or are learnt anew every
    `refit_days`. Validation, by which models are tuned, is asked once.

    Args:
        split: how the events are cut, at one moment for all users; None, or one that cuts otherwise, such as
            leave-last: `TimeQuantile()`.
        every_days: days from one moment to the next, a part of one among them (0.25: every six hours); moments lie
            on midnight UTC where they are whole. None: one, or as many as make at most 31 moments.
        refit_days: age in days at which a model learns anew from all that is known then; None: never.
    """

    def __init__(
        self, *, split: Splitter | None = None, every_days: float | None = None, refit_days: float | None = None
    ) -> None:
        for name, days in (("every_days", every_days), ("refit_days", refit_days)):
            if days is not None and not days > 0:
                raise BadConfig(f"rolling: {name}={days} must be above 0 days, or null")
        self.inner: Splitter = split or TimeQuantile()
        self.every_days, self.refit_days = every_days, refit_days

    @property
    def name(self) -> str:
        """E.g. "rolling(by_week(test=2017-W18, validation_days=3), every_days=1)"."""
        return self._named(self.inner.name, self.every_days)

    def _named(self, inner: str, every_days: float | None) -> str:
        every = "" if every_days is None else f", every_days={every_days:g}"
        refit = "" if self.refit_days is None else f", refit_days={self.refit_days:g}"
        return f"rolling({inner}{every}{refit})"

    def split(self, dataset: Dataset) -> Split:
        """Cuts, then lays the moments into the test.

        Raises:
            BadInput: a part is empty.
            BadConfig: there would be more than 1,000 moments.
        """
        cut = self.inner.split(dataset)
        if not _at_one_moment(cut):
            cut = TimeQuantile().split(dataset)
        test, events = cut.test, dataset.interactions
        until = int(test.target.time.max()) + 1
        every = self.every_days or max(1, -(-(until - test.at) // (USUAL_MOMENTS * DAY)))
        rolling = RollingHoldout(
            **{f.name: getattr(test, f.name) for f in fields(Holdout)},
            dataset=dataset,
            moments=_moments(test.at, until, every),
            later=events.where((events.time >= test.at) & (events.time < until)),
            watched=max(1, test.at - cut.validation.at),
            refit_days=self.refit_days,
        )
        return replace(cut, test=rolling, name=self._named(cut.name, every))


def _at_one_moment(cut: Split) -> bool:
    """Whether one moment lies between what is known and what is asked for, of all users."""
    test = cut.test
    return (
        cut.ordered_by_time
        and test.candidates is None
        and bool((test.history.time < test.at).all() and (test.target.time >= test.at).all())
    )


def _moments(start: int, until: int, every_days: float) -> Times:
    """The start, then every so many days from the midnight before it on. Shape [M]."""
    step = max(1, round(every_days * DAY))
    n = -(-(until - start) // step)
    if n > MOST_MOMENTS:
        raise BadConfig(
            f"rolling: every_days={every_days:g} makes {n:,} moments; give protocol.every_days="
            f"{-(-(until - start) // (USUAL_MOMENTS * DAY)):g} or another number that makes at most {MOST_MOMENTS:,}"
        )
    midnight = start - start % DAY
    later = np.arange(midnight + step, until, step, dtype=np.int64)
    return np.append(np.int64(start), later[later > start])


def refuse_rolling(cut: Split, name: str) -> None:
    """Refuses to draw competitors for a test that is asked for at several moments.

    Raises:
        BadInput: it is.
    """
    if isinstance(cut.test, RollingHoldout):
        raise BadInput(f"split {name}: a rolling test has no drawn competitors; put rolling or sampled alone")
