"""What a search may try: lists of values and ranges, as they stand beside a model's YAML."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from twotower.errors import BadConfig
from twotower.evaluation.search_result import Options

Search = Mapping[str, Any]
"""Option name to a list of values, or to a range `{low: 0.001, high: 0.1, log: true}`."""
BORDER = 0.02
"""A value within this share of a range's length from its end lies at the border."""


@dataclass(frozen=True, slots=True)
class Values:
    """An option that is tried at listed values; those that are numbers in rising order are searched as an order."""

    values: Sequence[Any]

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.values)

    def distribution(self) -> BaseDistribution:
        """Positions in the list: neighbours are alike if the values rise, else each stands for itself."""
        numbers = self._numbers()
        if len(numbers) == self.size and numbers == sorted(numbers):
            return IntDistribution(0, self.size - 1)
        return CategoricalDistribution(list(range(self.size)))

    def decode(self, drawn: Any) -> Any:
        """The value at a position."""
        return self.values[int(drawn)]

    def encode(self, value: Any) -> int | None:
        """The position of a value; None if it is not listed."""
        return next((at for at, listed in enumerate(self.values) if listed == value), None)

    def at_border(self, value: Any) -> bool:
        """The smallest or largest of the listed numbers; 0 is no border, since nothing lies beyond it."""
        numbers = self._numbers()
        return len(numbers) > 1 and value != 0 and value in (min(numbers), max(numbers))

    def _numbers(self) -> list[float]:
        return [v for v in self.values if isinstance(v, int | float) and not isinstance(v, bool)]


@dataclass(frozen=True, slots=True)
class Range:
    """A number between two ends, both included; whole if both ends are.

    Attributes:
        low: smallest value.
        high: largest value.
        log: drawn evenly by order of magnitude.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Only whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> int | None:
        """How many whole numbers there are; None for any numbers."""
        return int(self.high - self.low) + 1 if self.whole else None

    def distribution(self) -> BaseDistribution:
        """The range as the sampler knows it."""
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(float(self.low), float(self.high), log=self.log)

    def decode(self, drawn: Any) -> float:
        """The value, with four digits at most, so that it can be read and typed again exactly."""
        return int(drawn) if self.whole else min(max(float(f"{drawn:.4g}"), self.low), self.high)

    def encode(self, value: Any) -> float | None:
        """The value itself; None if it lies outside."""
        inside = isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high
        return value if inside else None

    def at_border(self, value: Any) -> bool:
        """Near an end, measured as it is drawn; an end of 0 is no border, since nothing lies beyond it."""
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        near = BORDER * (high - low)
        return (self.low != 0 and at - low <= near) or high - at <= near


def parse(search: Search) -> dict[str, Values | Range]:
    """The search as values and ranges.

    Raises:
        BadConfig: an option has neither a list of values nor a range that makes sense.
    """
    return {name: _parsed(name, tried) for name, tried in search.items()}


def grid_size(search: Search) -> int:
    """How many combinations there are; 0 if they cannot be counted.

    >>> grid_size({"dim": [8, 16], "depth": {"low": 1, "high": 3}}), grid_size({"lr": {"low": 0.1, "high": 0.5}})
    (6, 0)
    """
    sizes = [option.size for option in parse(search).values()]
    return 0 if None in sizes else math.prod(size for size in sizes if size is not None)


def at_border(search: Search, options: Options) -> tuple[str, ...]:
    """Options whose value lies at an end of what was tried: better ones may lie beyond."""
    return tuple(n for n, tried in parse(search).items() if n in options and tried.at_border(options[n]))


def _parsed(name: str, tried: Any) -> Values | Range:
    if isinstance(tried, Mapping):
        return _range(name, tried)
    if isinstance(tried, str) or not isinstance(tried, Sequence) or not len(tried):
        raise BadConfig(f"tune: option {name!r} needs a list of values to try, got {tried!r}; or {{low: …, high: …}}")
    return Values(list(tried))


def _range(name: str, tried: Mapping[str, Any]) -> Range:
    limits = [tried.get("low"), tried.get("high")]
    if set(tried) - {"low", "high", "log"} or not all(isinstance(e, int | float) for e in limits):
        raise BadConfig(f"tune: option {name!r} needs low, high and perhaps log, got {dict(tried)}")
    numbers = Range(tried["low"], tried["high"], bool(tried.get("log", False)))
    if numbers.low >= numbers.high or (numbers.log and numbers.low <= 0):
        raise BadConfig(f"tune: option {name!r}: need low < high, and low > 0 with log, got {dict(tried)}")
    return numbers
