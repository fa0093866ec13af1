"""Rows of a report beside those of means and slices: by moment, under both orders of equal times, by rival."""

from dataclasses import dataclass

from twotower.metrics.metric import Metric


@dataclass(frozen=True, slots=True)
class MomentRow:
    """One metric of one model at one moment of a rolling test.

    Attributes:
        at: the moment of asking, UTC, e.g. "2017-05-01".
        model: the contender.
        metric: e.g. "map@10".
        users: users asked then.
        targets: their targets.
        competing: items that competed.
        mean: over these users; None where nobody has a say.
        low: lower end of the bootstrap interval; None where users are too few for one.
        high: upper end.
    """

    at: str
    model: str
    metric: str
    users: int
    targets: int
    competing: int
    mean: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One model under both orders of events at equal times.

    Attributes:
        model: the contender.
        metric: e.g. "map@10".
        mean: in the order of the source.
        low: lower end of the bootstrap interval.
        high: upper end.
        reversed_mean: in the opposite order, cut and fitted anew.
        reversed_low: lower end of its interval.
        reversed_high: upper end.
    """

    model: str
    metric: str
    mean: float
    low: float
    high: float
    reversed_mean: float
    reversed_low: float
    reversed_high: float


@dataclass(frozen=True, slots=True)
class RivalRow:
    """One metric of ours beside that of one rival.

    Attributes:
        model: ours.
        rival: the other contender.
        metric: e.g. "recall@10".
        mean: of ours.
        rival_mean: of the rival.
        p_value: of "no difference" (paired permutation test, two-sided).
        p_holm: the same, corrected for all rivals by this metric.
    """

    model: str
    rival: str
    metric: str
    mean: float
    rival_mean: float
    p_value: float
    p_holm: float | None = None

    @property
    def difference(self) -> float:
        """Ours minus the rival's."""
        return self.mean - self.rival_mean

    @property
    def rival_leads(self) -> bool:
        """Whether the rival's figure is the better one."""
        return Metric.parse(self.metric).sign * self.difference < 0
