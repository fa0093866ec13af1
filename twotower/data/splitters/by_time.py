"""Splits at moments that are the same for all users: dates, calendar weeks, quantiles of the event times."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np

from twotower.data.dataset import Dataset
from twotower.data.split import Split
from twotower.data.splitters.parts import assemble, check_shares
from twotower.errors import BadConfig, BadInput

Moment = str | int
"""ISO 8601 date or date-time (UTC unless it says otherwise), or seconds since the epoch."""


class ByTime:
    """Events before `validation` train, then comes validation, then the test from `test` on.

    A user may appear in the test without any history; such a user is an ordinary, cold query.

    Args:
        validation: the moment at which validation begins and training ends.
        test: the moment at which the test begins and validation ends.
        start: older events are left out; None keeps all.
        end: events from here on are left out; None keeps all.

    Raises:
        BadConfig: a moment cannot be read, or they do not rise.
    """

    def __init__(
        self, *, validation: Moment, test: Moment, start: Moment | None = None, end: Moment | None = None
    ) -> None:
        self.validation = seconds_of(validation)
        self.test = seconds_of(test)
        self.start = None if start is None else seconds_of(start)
        self.end = None if end is None else seconds_of(end)
        moments = [m for m in (self.start, self.validation, self.test, self.end) if m is not None]
        if any(a >= b for a, b in pairwise(moments)):
            raise BadConfig(f"by_time: start < validation < test < end must hold, got {', '.join(map(_iso, moments))}")

    @property
    def name(self) -> str:
        """E.g. "by_time(validation=2017-04-28, test=2017-05-01)"."""
        moments = {"start": self.start, "validation": self.validation, "test": self.test, "end": self.end}
        return f"by_time({', '.join(f'{k}={_iso(v)}' for k, v in moments.items() if v is not None)})"

    def split(self, dataset: Dataset) -> Split:
        """Cuts the events; known positives leave the targets.

        Raises:
            BadInput: a part is empty; the text says which times there are.
        """
        return _cut(dataset, self.name, self)


class ByWeek:
    """The test is one ISO calendar week; validation is the days before it (weeks start on Monday 00:00 UTC).

    Args:
        test_week: e.g. "2017-W18".
        validation_days: length of validation.
        train_weeks: how many weeks before the test week are used in all, validation included; None uses all.

    Raises:
        BadConfig: the week does not exist, or validation leaves no training time.
    """

    def __init__(self, *, test_week: str, validation_days: int = 3, train_weeks: int | None = None) -> None:
        if validation_days < 1 or (train_weeks is not None and validation_days >= 7 * train_weeks):
            raise BadConfig(
                f"by_week: validation_days={validation_days} must be at least 1 and shorter than "
                f"train_weeks={train_weeks} weeks"
            )
        self.test_week, self.validation_days, self.train_weeks = test_week, validation_days, train_weeks
        monday = _monday_of(test_week)
        self._at = ByTime(
            start=None if train_weeks is None else _utc(monday - timedelta(weeks=train_weeks)),
            validation=_utc(monday - timedelta(days=validation_days)),
            test=_utc(monday),
            end=_utc(monday + timedelta(weeks=1)),
        )

    @property
    def name(self) -> str:
        """E.g. "by_week(test=2017-W18, validation_days=3, train_weeks=4)"."""
        weeks = "" if self.train_weeks is None else f", train_weeks={self.train_weeks}"
        return f"by_week(test={self.test_week}, validation_days={self.validation_days}{weeks})"

    def split(self, dataset: Dataset) -> Split:
        """Cuts the events; known positives leave the targets, as in the reference experiment."""
        return _cut(dataset, self.name, self._at)


class TimeQuantile:
    """The newest share of all events is the test, the share before it validation; equal times stay together.

    Args:
        validation: share of the events.
        test: share of the events.
    """

    def __init__(self, *, validation: float = 0.1, test: float = 0.1) -> None:
        check_shares("time_quantile", validation=validation, test=test)
        self.validation, self.test = validation, test

    @property
    def name(self) -> str:
        """E.g. "time_quantile(validation=0.1, test=0.1)"."""
        return f"time_quantile(validation={self.validation:g}, test={self.test:g})"

    def split(self, dataset: Dataset) -> Split:
        """Finds the two moments and cuts there.

        Raises:
            BadInput: the events do not spread over three different moments, or a part has no new pair.
        """
        time = np.sort(dataset.interactions.time)
        if not len(time):
            raise BadInput(f"split {self.name} of {dataset.name}: the data set has no events")
        first_test = min(int(np.ceil(len(time) * (1 - self.test))), len(time) - 1)
        first_validation = min(int(np.ceil(len(time) * (1 - self.test - self.validation))), len(time) - 1)
        cuts = int(time[first_validation]), int(time[first_test])
        if not int(time[0]) < cuts[0] < cuts[1]:
            raise BadInput(
                f"split {self.name} of {dataset.name}: {len(time):,} events are too few, or too many of them "
                f"share a moment (cuts at {_iso(cuts[0])} and {_iso(cuts[1])}); give a larger share, or split without "
                "times: protocol=leave_last, random_ratio or strong_generalization"
            )
        return _cut(dataset, self.name, ByTime(validation=cuts[0], test=cuts[1]))


def _cut(dataset: Dataset, name: str, at: ByTime) -> Split:
    time = dataset.interactions.time
    if not len(time):
        raise BadInput(f"split {name} of {dataset.name}: the data set has no events")
    inside = np.ones(len(time), bool) if at.start is None else time >= at.start
    if at.end is not None:
        inside &= time < at.end
    return assemble(
        dataset,
        name,
        train=inside & (time < at.validation),
        validation=inside & (time >= at.validation) & (time < at.test),
        test=inside & (time >= at.test),
        asked_at=(at.validation, at.test),
        remedy=f"choose moments between {_iso(int(time.min()))} and {_iso(int(time.max()))}",
    )


def seconds_of(moment: Moment) -> int:
    """Seconds since the epoch.

    >>> seconds_of("2017-05-01"), seconds_of("2017-05-01T02:00+02:00"), seconds_of(7)
    (1493596800, 1493596800, 7)
    """
    if isinstance(moment, int):
        return moment
    try:
        parsed = datetime.fromisoformat(moment)
    except (ValueError, TypeError) as cause:
        raise BadConfig(f"{moment!r} is no moment; write 2017-05-01, 2017-05-01T12:00 or epoch seconds") from cause
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def _iso(seconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"
    return moment.strftime("%Y-%m-%d" if seconds % 86_400 == 0 else "%Y-%m-%dT%H:%M:%SZ")


def _monday_of(week: str) -> date:
    try:
        return datetime.strptime(f"{week}-1", "%G-W%V-%u").date()
    except (ValueError, TypeError) as cause:
        raise BadConfig(f"by_week: test_week={week!r} is no ISO calendar week; write e.g. 2017-W18") from cause


def _utc(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
