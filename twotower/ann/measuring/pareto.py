"""Measured settings of indexes: which of them no other one beats, and which is the fastest that is good enough."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twotower.ann.measuring.timing import Footprint, Latency
from twotower.errors import BadConfig

SAME_TIME = 1.1
"""Times that differ by no more than this factor count as equal: measured again, either may be the shorter one."""
NEAR = 0.8
"""The share of the wanted recall from which a setting is worth being told."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One index with one set of options, measured.

    Attributes:
        backend: the name it was asked for by, such as `faiss`.
        build: backend and the options of building that tell it from the others.
        label: the same with those of searching.
        target: import path of its class.
        options: all constructor options, to make it again.
        recall: k to mean recall@k, tie-aware.
        latency: times of single queries.
        queries_per_s: queries answered per second in one batch.
        footprint: bytes of its files.
        build_seconds: time to build; settings of searching alone share one building.
    """

    backend: str
    build: str
    label: str
    target: str
    options: Mapping[str, Any]
    recall: Mapping[int, float]
    latency: Latency
    queries_per_s: float
    footprint: Footprint
    build_seconds: float

    @property
    def least(self) -> float:
        """Recall at the list length at which it is lowest."""
        return min(self.recall.values())

    @property
    def p50_ms(self) -> float:
        """Milliseconds that half of the single queries need at most."""
        return self.latency.p50_ms


@dataclass(frozen=True, slots=True)
class Goal:
    """What an index shall reach.

    Attributes:
        recall: least recall, at every list length.
        bytes_per_vector: the most that it may weigh; None: any weight.
        counts_vectors: whether item vectors that it shares with the towers count as its weight.
    """

    recall: float
    bytes_per_vector: float | None = None
    counts_vectors: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise BadConfig(f"target_recall must be above 0 and at most 1, got {self.recall}")
        if self.bytes_per_vector is not None and self.bytes_per_vector <= 0:
            raise BadConfig(f"bytes_per_vector must be above 0, got {self.bytes_per_vector}; null sets no limit")

    def weight(self, setting: Setting) -> float:
        """Bytes per vector that count."""
        return setting.footprint.including if self.counts_vectors else setting.footprint.beside

    def fits(self, setting: Setting) -> bool:
        """Whether it is light enough."""
        return self.bytes_per_vector is None or self.weight(setting) <= self.bytes_per_vector

    def met_by(self, setting: Setting) -> bool:
        """Whether it is light enough and finds enough."""
        return self.fits(setting) and setting.least >= self.recall

    def best(self, settings: Iterable[Setting]) -> Setting | None:
        """The fastest that meets the goal; of those as fast to within a tenth the lightest; None if none does."""
        return min(self.contenders(settings), key=lambda s: (self.weight(s), s.p50_ms), default=None)

    def contenders(self, settings: Iterable[Setting]) -> list[Setting]:
        """Settings that meet the goal and are as fast as the fastest of them, as far as times can tell."""
        enough = [s for s in settings if self.met_by(s)]
        fastest = min((s.p50_ms for s in enough), default=0.0)
        return [s for s in enough if s.p50_ms <= SAME_TIME * fastest]

    def shortfall(self, settings: Sequence[Setting]) -> str:
        """Says how near the settings come, for a goal that none of them meets."""
        light = max((s for s in settings if self.fits(s)), key=lambda s: s.least, default=None)
        thorough = min((s for s in settings if s.least >= self.recall), key=self.weight, default=None)
        parts = []
        if light is not None:
            within = "" if self.bytes_per_vector is None else f" within {self.bytes_per_vector:g} bytes per vector"
            parts.append(f"the best{within} is {light.label} with {light.least:.4f}")
        elif settings:
            lightest = min(settings, key=self.weight)
            parts.append(f"the lightest is {lightest.label} with {self.weight(lightest):.1f} bytes per vector")
        if thorough is not None:
            parts.append(f"the lightest that reaches it is {thorough.label} with {self.weight(thorough):.1f} bytes")
        return "; ".join(parts) or "nothing could be measured"


@dataclass(frozen=True, slots=True)
class Failure:
    """Options that could not be measured, and why."""

    label: str
    error: str


@dataclass(frozen=True, slots=True)
class IndexSearch:
    """What a search over settings found.

    Attributes:
        subject: what was searched, in words, such as `run small`.
        count: vectors. N of them.
        dim: D.
        metric: how vectors are compared.
        n_queries: queries that recall was measured with.
        threads: of searching while it was timed; None: all.
        goal: what was wanted.
        settings: what was measured, in that order.
        failures: what could not be.
        left_out: labels of what was not begun, or not finished, when time was over.
        chosen: the fastest setting that meets the goal; None if none does.
        held_out: its k to recall for queries that chose nothing; empty if none was chosen.
        n_held_out: how many queries those are.
    """

    subject: str
    count: int
    dim: int
    metric: str
    n_queries: int
    threads: int | None
    goal: Goal
    settings: Sequence[Setting]
    failures: Sequence[Failure] = ()
    left_out: Sequence[str] = ()
    chosen: Setting | None = None
    held_out: Mapping[int, float] = field(default_factory=dict)
    n_held_out: int = 0

    @property
    def backends(self) -> list[str]:
        """Names of the measured backends, in the order in which they came."""
        return list(dict.fromkeys(s.backend for s in self.settings))

    def unbeaten(self) -> "list[Setting]":
        """Settings with recall near the wanted one, or more, that no other one beats in recall, time and weight.

        The most thorough comes first.
        """
        near = [s for s in self.settings if s.least >= NEAR * self.goal.recall]
        return pareto_front(near, (lost_recall, milliseconds, self.goal.weight))


Axis = Callable[[Setting], float]
"""What a setting costs in one respect: less is better."""


def lost_recall(setting: Setting) -> float:
    """The share of the true best that is not found."""
    return 1 - setting.least


def milliseconds(setting: Setting) -> float:
    """Milliseconds that half of the single queries need at most."""
    return setting.latency.p50_ms


def dominates(a: Setting, b: Setting, axes: Sequence[Axis]) -> bool:
    """Whether `a` is at least as good as `b` on every axis and better on one."""
    of_a, of_b = ([axis(s) for axis in axes] for s in (a, b))
    return of_a != of_b and all(x <= y for x, y in zip(of_a, of_b, strict=True))


def pareto_front(settings: Sequence[Setting], axes: Sequence[Axis]) -> list[Setting]:
    """The settings that no other one dominates, best on the first axis first; of equal ones the first alone.

    Example, with a recall and a time each: (.90, 1 ms) and (.99, 3 ms) stay, (.95, 4 ms) is dominated by the second.
    """
    front: dict[tuple[float, ...], Setting] = {}
    for setting in settings:
        if not any(dominates(other, setting, axes) for other in settings):
            front.setdefault(tuple(axis(setting) for axis in axes), setting)
    return [front[costs] for costs in sorted(front)]
