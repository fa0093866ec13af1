"""`ItemColumns`: the catalogue as plain arrays, which is what pair features compare."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from twotower.data.schema import Kind
from twotower.data.tables import MISSING_TIME, Categories, FeatureTable, MultiCategories
from twotower.types import Array, Floats, Ids, Ragged

PLACE = ("latitude", "longitude")
"""Columns that together are a place, in degrees."""

ABSENT = np.float32(-3e38)
"""Stands for a missing number where arrays are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemColumns:
    """Columns of N items.

    Attributes:
        codes: categorical columns, -1 where missing. Shapes [N].
        sets: columns of several values. N rows each.
        numbers: continuous columns and times in units of their standard deviation, NaN where missing. Shapes [N].
        places: degrees of latitude and longitude, NaN where missing; None where there are none. Shape [N, 2].
    """

    codes: dict[str, Ids] = field(default_factory=dict)
    sets: dict[str, Ragged] = field(default_factory=dict)
    numbers: dict[str, Floats] = field(default_factory=dict)
    places: Floats | None = None

    @classmethod
    def of(cls, catalogue: FeatureTable, exclude: Iterable[str] = ()) -> Self:
        """Reads a catalogue; text, excluded columns and such as hardly two items share, like titles, are left out."""
        codes, sets, numbers = {}, {}, {}
        names = [name for name in catalogue.schema.names if name not in set(exclude)]
        placed = set(PLACE) <= set(names)
        for name in names:
            values, kind = catalogue[name], catalogue.schema[name].kind
            if isinstance(values, Categories) and len(values.values) > len(catalogue) / 2:
                continue
            if isinstance(values, Categories):
                codes[name] = values.codes.astype(np.int64)
            elif isinstance(values, MultiCategories):
                sets[name] = Ragged(values.codes.values.astype(np.int64), values.codes.offsets)
            elif kind is Kind.TIMESTAMP:
                numbers[name] = scaled(np.where(values == MISSING_TIME, np.nan, values.astype(np.float64)))
            elif kind is Kind.CONTINUOUS and not (placed and name in PLACE):
                numbers[name] = scaled(values)
        places = np.stack([_numbers_of(catalogue, name) for name in PLACE], axis=1) if placed else None
        return cls(codes, sets, numbers, places)

    def to_arrays(self) -> dict[str, Array]:
        """The columns under names that `from_arrays` reads."""
        arrays: dict[str, Array] = {f"code.{name}": values for name, values in self.codes.items()}
        for name, rows in self.sets.items():
            arrays |= {f"set.{name}": rows.values, f"offsets.{name}": rows.offsets}
        arrays |= {f"number.{name}": without_nan(values) for name, values in self.numbers.items()}
        return arrays if self.places is None else arrays | {"places": without_nan(self.places)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Self:
        """Takes back what `to_arrays` gave."""
        sets = {name: Ragged(values, arrays[f"offsets.{name}"]) for name, values in under("set.", arrays).items()}
        numbers = {name: with_nan(values) for name, values in under("number.", arrays).items()}
        return cls(under("code.", arrays), sets, numbers, with_nan(arrays["places"]) if "places" in arrays else None)


def _numbers_of(catalogue: FeatureTable, name: str) -> Floats:
    return np.asarray(catalogue[name], np.float32)


def under(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """Arrays whose names begin with a prefix, without it, by name."""
    return {name.removeprefix(prefix): a for name, a in sorted(arrays.items()) if name.startswith(prefix)}


def without_nan(values: Floats) -> Floats:
    """The same with a number that is none of them where one is missing: a saved model holds no NaN."""
    return np.where(np.isnan(values), ABSENT, values)


def with_nan(values: Floats) -> Floats:
    """Takes back what `without_nan` gave."""
    return np.where(values == ABSENT, np.float32(np.nan), values)


def _skew(values: Array) -> float:
    """How lopsided numbers are: |third standardised moment|."""
    spread = float(values.std())
    return abs(float((((values - values.mean()) / spread) ** 3).mean())) if spread else 0.0


def scaled(values: Array) -> Floats:
    """A column in units of its standard deviation, of its logarithm where that is less lopsided. Shape [N].

    Of prices twice is then as far as half.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(values), np.nan, np.float32)
    if known.min() >= 0 and _skew(np.log1p(known)) < _skew(known):
        values, known = np.log1p(values), np.log1p(known)
    spread = float(known.std()) or 1.0
    return np.asarray((values - known.mean()) / spread, np.float32)
