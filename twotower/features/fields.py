"""Fields: how one column of each kind is learnt and encoded; `encoders` puts them together."""

import zlib
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_array

from twotower.data.tables import MISSING, Categories, Column, ColumnValues, MultiCategories
from twotower.errors import BadConfig, BadInput
from twotower.features.encoded import UNKNOWN, Bags, Codes
from twotower.features.vocabulary import Vocabulary
from twotower.types import Array, Floats

T = TypeVar("T", Categories, MultiCategories)
LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond it cannot be carried as float32 and count as missing."""


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalField:
    """One value per row to one code (one-hot); missing, rare and unseen values become `UNKNOWN`."""

    name: str
    vocabulary: Vocabulary

    @classmethod
    def fit(cls, name: str, values: ColumnValues, *, min_count: int, max_values: int | None) -> Self:
        """Counts the values of the given rows."""
        column = _expect(name, values, Categories)
        counts = np.bincount(column.codes[column.codes != MISSING], minlength=len(column.values))
        return cls(name, Vocabulary.of(column.values, counts, min_count=min_count, max_values=max_values))

    @property
    def size(self) -> int:
        """Number of codes."""
        return len(self.vocabulary)

    def encode(self, values: ColumnValues) -> Codes:
        """int32 codes. Shape [n]."""
        column = _expect(self.name, values, Categories)
        # One entry more than there are values: MISSING (-1) reads the last one.
        table = np.append(self.vocabulary.codes_of(column.values), np.int32(UNKNOWN))
        codes: NDArray[np.int32] = table[column.codes]
        return codes


@dataclass(frozen=True, slots=True, eq=False)
class MultiField:
    """Any number of weighted values per row to one bag (one-many).

    Rare, unseen and weightless values are dropped and the others share the whole weight, as missing values are left
    out of the denominator of a profile; a row without a known value is an empty bag.
    """

    name: str
    vocabulary: Vocabulary

    @classmethod
    def fit(cls, name: str, values: ColumnValues, *, min_count: int, max_values: int | None) -> Self:
        """Counts the values of the given rows."""
        column = _expect(name, values, MultiCategories)
        counts = np.bincount(column.codes.values, minlength=len(column.values))
        return cls(name, Vocabulary.of(column.values, counts, min_count=min_count, max_values=max_values))

    @property
    def size(self) -> int:
        """Number of codes."""
        return len(self.vocabulary)

    def encode(self, values: ColumnValues) -> Codes:
        """Bags whose weights sum to 1. n rows.

        Raises:
            BadInput: a weight is negative or not a number.
        """
        column = _expect(self.name, values, MultiCategories)
        bad = ~(np.isfinite(column.weights) & (column.weights >= 0))
        if bad.any():
            at = int(bad.argmax())
            row, value = int(column.codes.row_ids()[at]), column.values[column.codes.values[at]]
            raise BadInput(
                f"{self.name}: value {value!r} of row {row} has weight {column.weights[at]}; give weights of 0 or more"
            )
        codes = self.vocabulary.codes_of(column.values)[column.codes.values]
        return Bags.of(csr_array((column.weights, codes, column.codes.offsets), shape=(len(column), self.size)))


@dataclass(frozen=True, slots=True, eq=False)
class TextField:
    """Text to a hashed bag of words: term frequencies that sum to 1, words hashed by CRC-32 into fixed buckets.

    Words are runs of letters and digits in lower case. Nothing is learnt, so unseen words have codes too.
    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009 (without the sign hash).
    """

    name: str
    buckets: int

    def __post_init__(self) -> None:
        if self.buckets < 1:
            raise BadConfig(f"{self.name}: hash_buckets is {self.buckets}; give 1 or more")

    @property
    def size(self) -> int:
        """Number of codes."""
        return self.buckets + 1

    def encode(self, values: ColumnValues) -> Codes:
        """Bags of word buckets 1..buckets. n rows."""
        if not isinstance(values, np.ndarray) or values.dtype != object:
            raise BadInput(f"{self.name}: the encoder was fitted on text, this column holds {_describe(values)}")
        lower = pc.utf8_lower(pa.array(values, pa.large_string()))
        words = pc.split_pattern_regex(lower, pattern=r"[^\p{L}\p{N}]+")
        lengths = pc.list_value_length(words).fill_null(0).to_numpy(zero_copy_only=False)
        distinct = words.flatten().dictionary_encode()
        hashed = np.fromiter((self._bucket(w) for w in distinct.dictionary.to_pylist()), np.int32)
        codes = hashed[distinct.indices.to_numpy(zero_copy_only=False)] if len(hashed) else np.empty(0, np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Bags.of(csr_array((np.ones(len(codes), np.float32), codes, offsets), shape=(len(values), self.size)))

    def _bucket(self, word: str) -> int:
        # Text that starts or ends in punctuation splits into an empty word as well: no word, no bucket.
        return 1 + zlib.crc32(word.encode()) % self.buckets if word else UNKNOWN


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
        numbers = _numbers(column.name, values, column.low, column.high)
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
        numbers = _numbers(self.name, values, self.low, self.high)
        z = (numbers - self.mean) / self.sd if self.sd > 0 else numbers * 0.0
        return np.clip(z, -LARGEST, LARGEST).astype(np.float32)


KNOWN_DATES = (-59_011_459_200, 221_845_391_999)
"""Years 100 to 8999 as seconds: 9999-12-31 and 0001-01-01 say that there is no end or no date, drowning others."""

CodedField = CategoricalField | MultiField | TextField


def _numbers(name: str, values: ColumnValues, low: float | None, high: float | None) -> NDArray[np.float64]:
    """Values as float64, NaN where missing, outside the limits or too large to be carried."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iufb":
        raise BadInput(f"{name}: the encoder was fitted on numbers, this column holds {_describe(values)}")
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


def _expect(name: str, values: ColumnValues, kind: type[T]) -> T:
    if not isinstance(values, kind):
        raise BadInput(f"{name}: the encoder was fitted on {kind.__name__}, this column holds {_describe(values)}")
    return values


def _describe(values: ColumnValues | Array) -> str:
    return f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
