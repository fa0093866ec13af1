"""The recall-latency frontier that every report shows: the run's own index at several efforts beside exact search."""

from dataclasses import dataclass

from twotower.ann.auto import AutoIndex
from twotower.ann.base import IndexBase
from twotower.ann.exact import ExactIndex
from twotower.ann.files import backend_of
from twotower.ann.measuring.exploration import Bench, Exploration, Grid
from twotower.ann.measuring.pareto import Goal, Setting
from twotower.ann.measuring.recall import GroundTruth
from twotower.types import Floats

FEWEST_TO_BUILD, MOST_TO_BUILD = 1000, 200_000
"""Items of catalogues for which an approximate index is built only to be shown."""
RECALL_AT = (10, 100)
_GOAL = Goal(recall=0.99)
_CALLS, _BATCH_SECONDS = 100, 0.05


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
    """Settings of indexes of one run, the one that serves `chosen`, and how they were measured in words."""

    points: tuple[FrontierPoint, ...]
    conditions: str


class _Built:
    """An index that is built already, where a `Grid` asks for one to be built."""

    def __init__(self, index: IndexBase) -> None:
        self.index = index

    def build(self, _: Floats) -> IndexBase:
        """The index as it is."""
        return self.index


def quick_frontier(
    index: IndexBase, vectors: Floats, queries: Floats, *, k: int, seconds: float, calls: int = _CALLS
) -> Frontier | None:
    """Measures within about `seconds`: exact search, the index as it is, then at more and more effort.

    Where the run searches exactly, the approximate index that large catalogues get is shown instead, built anew if the
    catalogue is neither tiny nor so large that this would take long.

    Args:
        index: of the run.
        vectors: the run's item vectors. Shape [N, D].
        queries: of users that did not calibrate the index. Shape [B, D].
        k: length of the lists that are timed, e.g. the number of candidates.
        seconds: nothing new is begun after them.
        calls: single queries that are timed for every setting.

    Returns:
        None where items of the index were changed since it was built, so that `vectors` are not what it holds.
    """
    if index.changed or len(index) != len(vectors):
        return None
    k = min(k, len(vectors))
    ground_truth = GroundTruth(vectors, queries, tuple(dict.fromkeys((*RECALL_AT, k))), index.metric)
    bench = Bench(ground_truth, k, calls=calls, batch_seconds=_BATCH_SECONDS)
    exploration = Exploration(bench, _GOAL, minutes=seconds / 60)
    exploration.run(_grids(index, vectors))
    points = sorted(
        (_point(setting, index) for setting in exploration.settings), key=lambda point: (not point.exact, point.p50_ms)
    )
    conditions = f"Measured for this page on one thread: {len(queries):,} users, lists of {k}."
    return Frontier(tuple(points), conditions)


def _grids(index: IndexBase, vectors: Floats) -> list[Grid]:
    """Exact search, and the index with its own effort and with efforts that double."""
    grids = [Grid("exact", lambda: ExactIndex(metric=index.metric))]
    if not index.exact:
        grids.append(_efforts(index))
    elif FEWEST_TO_BUILD <= len(vectors) <= MOST_TO_BUILD:
        grids.append(_efforts(AutoIndex(metric=index.metric, exact_up_to=0).build(vectors)))
    return grids


def _efforts(index: IndexBase) -> Grid:
    """A built index with its own effort first, then from the least effort to the most, doubled step by step."""
    if index.effort is None:
        return Grid(_name(index), lambda: _Built(index))
    low, high = index.effort_range()
    doubled = [low << step for step in range((high // low).bit_length())]
    efforts = list(dict.fromkeys((getattr(index, index.effort), *doubled, high)))
    return Grid(_name(index), lambda: _Built(index), search={index.effort: efforts})


def _name(index: IndexBase) -> str:
    return type(index).__name__


def _point(setting: Setting, index: IndexBase) -> FrontierPoint:
    own = setting.target == backend_of(type(index)) and setting.options == index.options()
    return FrontierPoint(setting.label, setting.least, setting.p50_ms, own, setting.target == backend_of(ExactIndex))
