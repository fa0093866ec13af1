"""`Insights`: what the report page shows of one run beyond its metrics, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twotower.evaluation.results import Calibration


@dataclass(frozen=True, slots=True)
class Stages:
    """Recall of the same candidates as the first stage and as the second orders them; T to the mean over users."""

    retrieved: Mapping[int, float]
    ranked: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores of candidates that are targets and of those that are not: shares per bin. Edges [n + 1], shares [n]."""

    edges: tuple[float, ...]
    positives: tuple[float, ...]
    negatives: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Share of events, targets and list places that fall on each shelf of the catalogue."""

    shelves: tuple[str, ...]
    shares: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class VectorMap:
    """Two principal components of some item vectors, coloured by a feature; `explained` of their variance."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    group: tuple[int, ...]
    names: tuple[str, ...]
    feature: str
    explained: float


@dataclass(frozen=True, slots=True)
class Place:
    """An item as people read it, and whether the user chose it later."""

    item: str
    title: str
    hit: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One user: the newest of the history, the list, and how many targets there are to hit."""

    user: str
    n_history: int
    history: tuple[Place, ...]
    places: tuple[Place, ...]
    n_targets: int


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One setting of an index: its least recall over the list lengths, and the median time of one query in ms."""

    label: str
    recall: float
    p50_ms: float
    chosen: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Frontier:
    """Settings of indexes of one run, and how they were measured; `chosen` is what the run serves with."""

    points: tuple[FrontierPoint, ...]
    told: str


@dataclass(frozen=True, slots=True)
class Insights:
    """Everything about one run; a part that could not be measured is None or empty and its section is left out.

    Attributes:
        run: name of the run.
        n_users: users of whom the stages were watched; 0 if nobody was.
        stages: recall of both stages.
        scores: of RankNet.
        reliability: of RankNet's softmax over each user's candidates.
        exposure: by popularity.
        vectors: the map.
        examples: lists.
        curves: of the training: name of the phase to its epochs.
        index: facts of the published index: options, recall, build_seconds …
        frontier: what other efforts and indexes would find and take.
        commands: what to type to get the same report.
    """

    run: str
    n_users: int = 0
    stages: Stages | None = None
    scores: Histogram | None = None
    reliability: Calibration | None = None
    exposure: Exposure | None = None
    vectors: VectorMap | None = None
    examples: tuple[Example, ...] = ()
    curves: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...] = ()
    index: Mapping[str, Any] | None = None
    frontier: Frontier | None = None
    commands: tuple[str, ...] = ()
