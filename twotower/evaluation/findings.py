"""What a benchmark found beyond a table of means: slices, gains, checks and stages, as plain values of a `Report`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One metric of one model for a part of the users, or of the targets.

    Attributes:
        kind: what is sliced, a key of `slices.SLICES`.
        name: the slice.
        model: the contender.
        metric: e.g. "map@10".
        users: users with a target in the slice.
        targets: their targets in it.
        mean: over these users.
        low: lower end of the bootstrap interval; None where users are too few for one.
        high: upper end.
        difference: mean minus the baseline's; None for the baseline itself or without one.
        difference_low: lower end of its interval (paired).
        difference_high: upper end.
        p_value: of "no difference" (paired permutation test, two-sided).
        p_holm: the same, corrected for all models and slices of this kind by this metric.
    """

    kind: str
    name: str
    model: str
    metric: str
    users: int
    targets: int
    mean: float
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """How much more one model reaches than another, as a share of the other's figure.

    Attributes:
        model: the contender.
        against: the other one.
        metric: e.g. "map@10".
        relative: ratio of the means minus one; None where the other one has nothing.
        low: lower end of the bootstrap interval of the ratio, both drawn with the same users; None if it has no end.
        high: upper end.
    """

    model: str
    against: str
    metric: str
    relative: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PeerCheck:
    """Whether our form of a method is at least as good as that of another library.

    Attributes:
        peer: the other library's contender.
        ours: our contender of the same method.
        metric: e.g. "map@10".
        difference: our mean minus the peer's.
        low: lower end of the paired bootstrap interval.
        high: upper end.
        weaker: the whole interval lies below zero.
    """

    peer: str
    ours: str
    metric: str
    difference: float
    low: float
    high: float
    weaker: bool


@dataclass(frozen=True, slots=True)
class StageGain:
    """What a contender adds to another one that it builds upon, such as RankNet to the towers' order.

    Attributes:
        model: with the stage.
        before: without it.
        metric: e.g. "map@10".
        mean: with it.
        before_mean: without it.
        difference: the first minus the second.
        low: lower end of the paired bootstrap interval.
        high: upper end.
        p_value: of "no difference" (paired permutation test, two-sided).
    """

    model: str
    before: str
    metric: str
    mean: float
    before_mean: float
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a scorer's probabilities mean what they say.

    Attributes:
        scorer: whose.
        predicted: mean probability of each bin.
        observed: how often it came true.
        pairs: pairs in it.
        ece: expected calibration error over all pairs.
    """

    scorer: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    pairs: tuple[int, ...]
    ece: float
