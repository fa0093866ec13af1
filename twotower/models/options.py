"""Ranges of a model's options: `require(self, dim=positive, l2=not_negative)` refuses what cannot be meant."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twotower.errors import BadConfig


@dataclass(frozen=True, slots=True)
class Range:
    """Which values an option may have.

    Attributes:
        text: in words that follow "must be".
        holds: whether a value is one of them.
    """

    text: str
    holds: Callable[[Any], bool]


def require(owner: object, **ranges: Range) -> None:
    """Refuses the first option of `owner` that is out of its range.

    Raises:
        BadConfig: it names the class, the option, the range and the value.
    """
    for name, within in ranges.items():
        value = getattr(owner, name)
        if not within.holds(value):
            raise BadConfig(f"{type(owner).__name__}: {name} must be {within.text}, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def at_least(least: float) -> Range:
    """Numbers from `least` on."""
    return Range(f"at least {least:g}", lambda value: _is_number(value) and value >= least)


def between(low: float, high: float) -> Range:
    """Numbers from `low` to `high`, both included."""
    return Range(f"from {low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high)


def one_of(*values: Any) -> Range:
    """Some values, such as those of a `Literal`."""
    return Range(f"one of {', '.join(map(str, values))}", lambda value: value in values)


def or_none(within: Range) -> Range:
    """The same, or None (in YAML: null)."""
    return Range(f"{within.text}, or null", lambda value: value is None or within.holds(value))


positive = Range("above 0", lambda value: _is_number(value) and value > 0)
not_negative = at_least(0)
count = Range("a whole number of at least 1", lambda value: isinstance(value, int) and _is_number(value) and value >= 1)
