"""The search over backends and their options: every index is built once, then searched with more and more effort."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from twotower.ann.base import IndexBase
from twotower.ann.files import backend_of
from twotower.ann.measuring.pareto import Failure, Goal, Setting, dominates, lost_recall, milliseconds
from twotower.ann.measuring.recall import GroundTruth, is_spent, least_effort
from twotower.ann.measuring.timing import Clock, Footprint, footprint, latency, limited_threads, throughput
from twotower.text import one_line

Tell = Callable[[str], object]
"""Hears what is being done."""
Done = Callable[[int], object]
"""Hears how many combinations of building are through since it last heard."""
CEILING = 0.9995
"""More effort is not tried once this much is found."""
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Grid:
    """Options of one backend to be tried: every combination of building with every one of searching.

    Attributes:
        backend: its name.
        make: options to an empty index.
        build: option to values; each combination is built once.
        search: option of searching to values. The option that trades time for recall is doubled step by step unless
            it is named here.
    """

    backend: str
    make: Callable[..., Any]
    build: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bench:
    """How every setting is measured.

    Attributes:
        ground_truth: exact answers to the queries.
        k: list length for times.
        calls: single queries that are timed.
        threads: of searching while it is timed; None: all.
        batch_seconds: least time to measure throughput.
        clock: what tells the time.
    """

    ground_truth: GroundTruth
    k: int
    calls: int = 300
    threads: int | None = 1
    batch_seconds: float = 0.3
    clock: Clock = perf_counter

    def measured(self, index: IndexBase, of: "_Build", varied: Mapping[str, Any]) -> Setting:
        """One index with the options that it has now, of which `varied` goes into its label."""
        recall = self.ground_truth.recall(index)
        queries = self.ground_truth.queries
        with limited_threads(self.threads):
            single = latency(index, queries, self.k, calls=self.calls, clock=self.clock)
            rate = throughput(index, queries[:_BATCH], self.k, seconds=self.batch_seconds, clock=self.clock)
        known = {**index.options(), "dim": index.dim}
        return Setting(
            backend=of.backend,
            build=label_of(of.backend, of.varied, known),
            label=label_of(of.backend, {**of.varied, **varied}, known),
            target=backend_of(type(index)),
            options=index.options(),
            recall=recall,
            latency=single,
            queries_per_s=rate,
            footprint=of.footprint,
            build_seconds=of.seconds,
        )


@dataclass(frozen=True, slots=True)
class _Build:
    """One built index, the options that tell it from others, and what building it took."""

    backend: str
    varied: Mapping[str, Any]
    index: IndexBase
    seconds: float
    footprint: Footprint


class Exploration:
    """Measures grids one after the other and remembers the best setting together with its built index.

    Attributes:
        settings: what was measured.
        failures: what could not be.
        left_out: labels of what was not begun, or not finished, when time was over.
    """

    def __init__(self, bench: Bench, goal: Goal, *, minutes: float | None = None, clock: Clock = perf_counter) -> None:
        """Starts the time.

        Args:
            bench: how to measure.
            goal: what is wanted; effort is narrowed down around its recall.
            minutes: nothing new is begun after them; None: no limit. A building that has begun is finished.
            clock: what tells the time.
        """
        self.bench = bench
        self.goal = goal
        self.settings: list[Setting] = []
        self.failures: list[Failure] = []
        self.left_out: list[str] = []
        self._kept: list[tuple[Setting, IndexBase]] = []
        self._clock = clock
        self._end = None if minutes is None else clock() + 60 * minutes

    def run(self, grids: Sequence[Grid], tell: Tell = lambda _: None, progress: Done = lambda _: None) -> None:
        """Measures every combination; a failing one is noted and the next one tried.

        Args:
            grids: what to try, in this order.
            tell: hears what is being done.
            progress: hears of every combination of building that is through, failed or not.
        """
        for grid in grids:
            for options in combinations(grid.build):
                self._tried(grid, options, tell)
                progress(1)

    def _tried(self, grid: Grid, options: Mapping[str, Any], tell: Tell) -> None:
        label = label_of(grid.backend, _distinguishing(options, grid.build))
        if self._is_over():
            self.left_out.append(label)
            return
        try:
            self._sweep(grid, options, tell)
        except Exception as error:  # whatever a native library raises: the others are still wanted
            self.failures.append(Failure(label, f"{type(error).__name__}: {one_line(error)}"))

    def _sweep(self, grid: Grid, options: Mapping[str, Any], tell: Tell) -> None:
        """Builds once and measures all options of searching."""
        built = self._built(grid, options, tell)
        for search in combinations(grid.search):
            varied = _distinguishing(search, grid.search)
            if self._is_over():
                self.left_out.append(label_of(grid.backend, {**built.varied, **varied}))
                continue
            tried = built.index.with_options(**search)
            alone = tried.effort is None or tried.effort in search
            measured = (
                [(self.bench.measured(tried, built, varied), tried)] if alone else self._efforts(tried, built, varied)
            )
            for setting, index in measured:
                tell(f"{setting.label}: recall {setting.least:.4f}, {setting.p50_ms:.3f} ms")
                self._remember(setting, index)

    def _built(self, grid: Grid, options: Mapping[str, Any], tell: Tell) -> _Build:
        vectors, varied = self.bench.ground_truth.vectors, _distinguishing(options, grid.build)
        tell(f"building {label_of(grid.backend, varied)}")
        started = self._clock()
        index = grid.make(**options).build(vectors)
        seconds = self._clock() - started
        return _Build(grid.backend, varied, index, seconds, footprint(index, vectors))

    def _efforts(
        self, index: IndexBase, built: _Build, varied: Mapping[str, Any]
    ) -> Iterator[tuple[Setting, IndexBase]]:
        """The index with doubled and doubled effort, and with the least effort that reaches the wanted recall."""
        last: tuple[int, float] | None = None
        for effort in _doubled(*index.effort_range()):
            setting, tried = self._with_effort(index, built, varied, effort)
            yield setting, tried
            if last and last[1] < self.goal.recall <= setting.least and not self._is_over():
                least = least_effort(index, self.bench.ground_truth, self.goal.recall, last[0], effort)
                if least != effort:
                    yield self._with_effort(index, built, varied, least)
            if self._is_over() or self._is_enough(setting, last[1] if last else None):
                break
            last = effort, setting.least

    def _with_effort(
        self, index: IndexBase, built: _Build, varied: Mapping[str, Any], effort: int
    ) -> tuple[Setting, IndexBase]:
        chosen = {str(index.effort): effort}
        tried = index.with_options(**chosen)
        return self.bench.measured(tried, built, {**varied, **chosen}), tried

    def _is_enough(self, setting: Setting, before: float | None) -> bool:
        """Whether more effort has nothing left to find, finds no more than the step before, or cannot be worth it.

        It cannot where something faster and lighter already finds everything.
        """
        if setting.least >= CEILING or (before is not None and is_spent(before, setting.least)):
            return True
        costs = (lost_recall, milliseconds, self.goal.weight)
        return any(s.least >= CEILING and dominates(s, setting, costs) for s in self.settings)

    def _remember(self, setting: Setting, index: IndexBase) -> None:
        """Keeps the index only as long as it may turn out to be the best: indexes are large."""
        self.settings.append(setting)
        known = [*self._kept, (setting, index)]
        contenders = self.goal.contenders(s for s, _ in known)
        costs = (milliseconds, self.goal.weight)
        left = [s for s in contenders if not any(dominates(other, s, costs) for other in contenders)]
        self._kept = [pair for pair in known if any(pair[0] is s for s in left)]

    @property
    def best(self) -> tuple[Setting, IndexBase] | None:
        """The best setting so far, as the goal says, with its index; None if none meets the goal."""
        chosen = self.goal.best(s for s, _ in self._kept)
        return next(((s, index) for s, index in self._kept if s is chosen), None)

    def _is_over(self) -> bool:
        return self._end is not None and self._clock() >= self._end


def combinations(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every way to choose one value for each option.

    >>> combinations({"cells": [64, 128], "metric": ["cosine"]})
    [{'cells': 64, 'metric': 'cosine'}, {'cells': 128, 'metric': 'cosine'}]
    """
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


def label_of(backend: str, varied: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> str:
    """Name of a setting: its backend, texts as they are, numbers after their option's name, nothing for the unset.

    Args:
        backend: its name.
        varied: the options that tell it from others.
        known: values for placeholders in texts, once they are known.

    >>> label_of("faiss", {"factory": "IVF{cells},Flat", "seed": None, "nprobe": 8}, {"cells": 64})
    'faiss IVF64,Flat nprobe 8'
    """
    words = [backend]
    for name, value in varied.items():
        if isinstance(value, str):
            words.append(value.format(**known) if known else value)
        elif value is not None:
            words.append(f"{name} {value}")
    return " ".join(words)


def _distinguishing(options: Mapping[str, Any], tried: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The options that tell a combination from others: those with several values to try, and texts."""
    return {name: value for name, value in options.items() if len(tried[name]) > 1 or isinstance(value, str)}


def _doubled(low: int, high: int) -> Iterator[int]:
    """`low`, its double, the double of that …, and `high` last."""
    while low < high:
        yield low
        low *= 2
    yield high
