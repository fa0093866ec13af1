"""Fields of numbers: z-values, quantile codes and piecewise-linear codes of one column, learnt from some rows."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from twotower.data.tables import Column, ColumnValues
from twotower.errors import BadConfig, BadInput
from twotower.features.encoded import UNKNOWN, Bags, Codes, entry_name
from twotower.features.fields import describe
from twotower.features.windows import DAY
from twotower.types import Array, Float64s, Floats, Ragged

NumberEncoding = Literal["z", "quantile", "piecewise", "periodic", "age"]
"""What a number becomes beside its z-value: nothing, a code, two weighted codes, or waves of learnt frequencies.

A timestamp may become its age instead: two weighted codes and no z-value.
"""
AGE_KNOTS = np.arange(-4.0, 15.0)
"""Binary logarithms of days: from an hour and a half to 45 years, each twice the one before."""
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond it cannot be carried as float32 and count as missing."""
KNOWN_DATES = (-59_011_459_200, 221_845_391_999)
"""Years 100 to 8999 as seconds: 9999-12-31 and 0001-01-01 say that there is no end or no date, drowning others."""


@dataclass(frozen=True, slots=True)
class NumberField:
    """Continuous values or timestamps to z-values; values that are missing or outside the limits become NaN.

    A field that is constant in the rows to learn from, or never known there, tells rows apart by nothing:
    its z-values are 0.

    Attributes:
        name: the column.
        mean: mean of the known values, in the column's unit (timestamps: seconds).
        sd: sample standard deviation (divisor n - 1), 0 where it is not defined.
        low: values below count as missing.
        high: values above count as missing.
        indicator: whether an indicator column `<name>?` is 1 where the value is missing.
    """

    name: str
    mean: float
    sd: float
    low: float | None
    high: float | None
    indicator: bool

    @classmethod
    def fit(cls, column: Column, values: ColumnValues, *, missing_indicator: bool) -> Self:
        """Float64 statistics over the known values of the given rows."""
        numbers = numbers_of(column.name, values, column.low, column.high)
        known = numbers[~np.isnan(numbers)]
        varied = len(known) > 1 and known.min() < known.max()
        return cls(
            column.name,
            float(known.mean()) if len(known) else 0.0,
            float(known.std(ddof=1)) if varied else 0.0,
            column.low,
            column.high,
            missing_indicator and len(known) < len(numbers),
        )

    def encode(self, values: ColumnValues) -> Floats:
        """z-values, NaN where missing. Shape [n]."""
        numbers = numbers_of(self.name, values, self.low, self.high)
        z = (numbers - self.mean) / self.sd if self.sd > 0 else numbers * 0.0
        return np.clip(z, -LARGEST, LARGEST).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class VectorField:
    """A vector to z-values of its entries; a missing one to zeros, the mean of all.

    Attributes:
        name: the column.
        mean, sd: of each entry; entries that are constant become 0. Shape [V].
    """

    name: str
    mean: Float64s
    sd: Float64s

    @classmethod
    def fit(cls, column: Column, values: ColumnValues) -> Self:
        """Statistics over the vectors of the given rows."""
        vectors = _vectors(column.name, values)
        known = vectors[~np.isnan(vectors).any(axis=1)].astype(np.float64)
        if len(known) < 2:
            return cls(column.name, np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1]))
        return cls(column.name, known.mean(axis=0), known.std(axis=0, ddof=1))

    @property
    def continuous_names(self) -> tuple[str, ...]:
        """A name for each entry."""
        return tuple(entry_name(self.name, i) for i in range(len(self.mean)))

    def encode(self, values: ColumnValues) -> Floats:
        """z-values, 0 where missing. Shape [n, V].

        Raises:
            BadInput: the column holds no vectors, or vectors of another length.
        """
        vectors = _vectors(self.name, values)
        if vectors.shape[1] != len(self.mean):
            raise BadInput(
                f"{self.name}: vectors of {vectors.shape[1]} numbers, the encoder was fitted on {len(self.mean)}"
            )
        z = np.divide(vectors - self.mean, self.sd, out=np.zeros(vectors.shape), where=self.sd > 0)
        return np.nan_to_num(z, nan=0.0).astype(np.float32)

    def facts(self) -> dict[str, Any]:
        """What `of` makes it of again."""
        return {"name": self.name, "mean": self.mean.tolist(), "sd": self.sd.tolist()}

    @classmethod
    def of(cls, name: str, mean: list[float], sd: list[float]) -> Self:
        """A field of known statistics."""
        return cls(name, np.asarray(mean, np.float64), np.asarray(sd, np.float64))


def _vectors(name: str, values: ColumnValues) -> Array:
    if not isinstance(values, np.ndarray) or values.ndim != 2:
        raise BadInput(f"{name}: the encoder was fitted on vectors, this column holds {describe(values)}")
    return values


@dataclass(frozen=True, slots=True, eq=False)
class BinnedField:
    """A number to the code of its bin between quantiles, or to the two knots around it; missing ones to `UNKNOWN`.

    An embedding of each bin lets an inner product say "near this price", where one of z-values can only say "dearer".

    With `soft`, a value is given to both knots around it, weighted by nearness. What a linear layer makes of that is
    linear between the knots, as with the piecewise-linear encoding of the source, in which all entries below the value
    are 1: the same functions, written as values at the knots instead of the steps between them. So a row has two
    entries, they sum to 1, and a profile of many rows is a smoothed histogram.

    Source: Gorishniy, Rubachev, Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, NeurIPS 2022,
    section 3.2, equation 1; quantile codes: Covington et al., Deep Neural Networks for YouTube Recommendations, 2016.

    Attributes:
        name: of the field, `<column>#`.
        column: the column that it reads.
        knots: where each bin begins; with `soft` the largest value too. Rising. Shape [n_knots].
        low, high: values beyond count as missing.
        soft: two weighted codes instead of one.
    """

    name: str
    column: str
    knots: Float64s
    low: float | None
    high: float | None
    soft: bool

    @classmethod
    def fit(cls, column: Column, values: ColumnValues, *, n_bins: int, soft: bool) -> Self:
        """Bins that hold about as many of the given rows each; a bin per value where there are no more values.

        Raises:
            BadConfig: `n_bins` is below 2.
        """
        if n_bins < 2:
            raise BadConfig(f"{column.name}: number_bins is {n_bins}; give 2 or more")
        numbers = numbers_of(column.name, values, column.low, column.high)
        known = numbers[~np.isnan(numbers)]
        knots = _quantiles(known, n_bins)
        if soft and len(known) and known.max() > knots[-1]:
            knots = np.append(knots, known.max())
        return cls(f"{column.name}#", column.name, knots, column.low, column.high, soft)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.column,)

    @property
    def size(self) -> int:
        """Number of codes: the knots and `UNKNOWN`."""
        return len(self.knots) + 1

    def encode(self, values: ColumnValues) -> Codes:
        """int32 codes [n], or bags of n rows; values beyond the outermost knots count as those."""
        numbers = numbers_of(self.column, values, self.low, self.high)
        return weighted_knots(self.knots, numbers) if self.soft else bins(self.knots, numbers)

    def facts(self) -> dict[str, Any]:
        """What `of` makes it of again."""
        return {"name": self.name, "column": self.column, "knots": self.knots.tolist(), "low": self.low,
                "high": self.high, "soft": self.soft}  # fmt: skip

    @classmethod
    def of(
        cls, name: str, column: str, knots: list[float], low: float | None, high: float | None, *, soft: bool
    ) -> Self:
        """A field of known knots."""
        return cls(name, column, np.asarray(knots, np.float64), low, high, soft)


@dataclass(frozen=True, slots=True)
class AgeField:
    """A timestamp to its age at a moment, as the two knots around the logarithm of its days.

    Nothing is learnt, so a table of a later moment has no ages beyond those of training. A time after the moment is of
    the future, which nobody knows: `UNKNOWN`, like a missing one.

    Attributes:
        name: of the field, `<column>@`.
        column: the column that it reads.
    """

    name: str
    column: str

    @classmethod
    def fit(cls, column: Column) -> Self:
        """The field of a column."""
        return cls(f"{column.name}@", column.name)

    @property
    def size(self) -> int:
        """Number of codes: the knots and `UNKNOWN`."""
        return len(AGE_KNOTS) + 1

    def encode(self, values: ColumnValues, at: int) -> Bags:
        """Bags of the knots around each age, of `UNKNOWN` where it is not known. n rows."""
        days = (at - numbers_of(self.column, values, None, None)) / DAY
        known = days >= 0
        return weighted_knots(
            AGE_KNOTS, np.where(known, np.log2(np.maximum(np.where(known, days, 1), 2.0**-20)), np.nan)
        )


def bins(knots: Float64s, numbers: Float64s) -> NDArray[np.int32]:
    """1 + the last knot at or below each number (the first one for smaller numbers), `UNKNOWN` for NaN. Shape [n]."""
    codes = np.clip(np.searchsorted(knots, numbers, side="right"), min(1, len(knots)), None)
    return np.where(np.isnan(numbers), UNKNOWN, codes).astype(np.int32)


def weighted_knots(knots: Float64s, numbers: Float64s) -> Bags:
    """1 + the knots around each number, weighted by how near it is to either; `UNKNOWN` for NaN. n rows."""
    known = ~np.isnan(numbers) & (len(knots) > 0)
    left, share = np.full(len(numbers), UNKNOWN, np.int32), np.zeros(len(numbers))
    if len(knots):
        inside = np.clip(numbers[known], knots[0], knots[-1])
        below = np.searchsorted(knots, inside, side="right") - 1
        step = np.diff(knots, append=np.inf)[below]  # at the last knot nothing is left to share
        left[known], share[known] = below + 1, (inside - knots[below]) / step
    codes, weights = np.stack([left, left + 1], axis=1), np.stack([1 - share, share], axis=1)
    held = weights > 0
    return Bags(Ragged.from_lengths(codes[held], held.sum(axis=1)), weights[held].astype(np.float32))


def _quantiles(known: Float64s, n_bins: int) -> Float64s:
    """Where each of at most `n_bins` bins begins, rising, the smallest value first; empty without values."""
    if not len(known):
        return np.empty(0)
    distinct = np.unique(known)
    if len(distinct) <= n_bins:
        return distinct
    return np.unique(np.sort(known)[np.arange(n_bins) * len(known) // n_bins])


def numbers_of(name: str, values: ColumnValues, low: float | None, high: float | None) -> NDArray[np.float64]:
    """Values as float64, NaN where missing, outside the limits or too large to be carried."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iufb":
        raise BadInput(f"{name}: the encoder was fitted on numbers, this column holds {describe(values)}")
    numbers = values.astype(np.float64)
    missing = ~(np.abs(numbers) <= LARGEST)
    if values.dtype.kind == "i":
        missing |= (values < KNOWN_DATES[0]) | (values > KNOWN_DATES[1])
    if low is not None:
        missing |= numbers < low
    if high is not None:
        missing |= numbers > high
    numbers[missing] = np.nan
    return numbers
