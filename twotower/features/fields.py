"""Fields of categories and words: how a column of each kind is learnt and encoded; `encoders` puts them together."""

import zlib
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_array

from twotower.data.tables import MISSING, Categories, ColumnValues, MultiCategories
from twotower.errors import BadConfig, BadInput
from twotower.features.encoded import UNKNOWN, Bags, Codes
from twotower.features.vocabulary import Vocabulary
from twotower.types import Array, Floats

T = TypeVar("T", Categories, MultiCategories)


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalField:
    """One value per row to one code (one-hot); missing, rare and unseen values become `UNKNOWN`."""

    name: str
    vocabulary: Vocabulary

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.name,)

    def facts(self) -> dict[str, Any]:
        """What `of` makes it of again."""
        return {"name": self.name, "values": self.vocabulary.values.tolist()}

    @classmethod
    def of(cls, name: str, values: list[str]) -> Self:
        """A field of a known vocabulary."""
        return cls(name, Vocabulary(np.asarray(values, dtype=object)))

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

    With `idf` a value's weight is multiplied by log((1 + n) / (1 + rows that have it)) + 1 before, so that what all
    rows have in common does not outweigh what tells them apart.

    Source: Spärck Jones, A Statistical Interpretation of Term Specificity, 1972; smoothed as scikit-learn does.

    Attributes:
        name: the column.
        vocabulary: the known values.
        idf: factor of each code, the unknown one's included; None: all alike. Shape [size].
    """

    name: str
    vocabulary: Vocabulary
    idf: Floats | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.name,)

    def facts(self) -> dict[str, Any]:
        """What `of` makes it of again."""
        idf = None if self.idf is None else self.idf.tolist()
        return {"name": self.name, "values": self.vocabulary.values.tolist(), "idf": idf}

    @classmethod
    def of(cls, name: str, values: list[str], idf: list[float] | None) -> Self:
        """A field of a known vocabulary."""
        factors = None if idf is None else np.asarray(idf, np.float32)
        return cls(name, Vocabulary(np.asarray(values, dtype=object)), factors)

    @classmethod
    def fit(
        cls, name: str, values: ColumnValues, *, min_count: int, max_values: int | None, idf_from: int | None = None
    ) -> Self:
        """Counts the values of the given rows; at least `idf_from` known ones are weighted by their rarity."""
        column = _expect(name, values, MultiCategories)
        counts = np.bincount(column.codes.values, minlength=len(column.values))
        vocabulary = Vocabulary.of(column.values, counts, min_count=min_count, max_values=max_values)
        if idf_from is None or len(vocabulary.values) < idf_from:
            return cls(name, vocabulary)
        frequency = np.zeros(len(vocabulary))
        frequency[vocabulary.codes_of(column.values)] = counts
        return cls(name, vocabulary, (np.log((1 + len(column)) / (1 + frequency)) + 1).astype(np.float32))

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
        weights = column.weights if self.idf is None else column.weights * self.idf[codes]
        return Bags.of(csr_array((weights, codes, column.codes.offsets), shape=(len(column), self.size)))


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
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.name,)

    def facts(self) -> dict[str, Any]:
        """What `of` makes it of again."""
        return {"name": self.name, "buckets": self.buckets}

    @classmethod
    def of(cls, name: str, buckets: int) -> Self:
        """A field of so many buckets."""
        return cls(name, buckets)

    @property
    def size(self) -> int:
        """Number of codes."""
        return self.buckets + 1

    def encode(self, values: ColumnValues) -> Codes:
        """Bags of word buckets 1..buckets. n rows."""
        if not isinstance(values, np.ndarray) or values.dtype != object:
            raise BadInput(f"{self.name}: the encoder was fitted on text, this column holds {describe(values)}")
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


def _expect(name: str, values: ColumnValues, kind: type[T]) -> T:
    if not isinstance(values, kind):
        raise BadInput(f"{name}: the encoder was fitted on {kind.__name__}, this column holds {describe(values)}")
    return values


def describe(values: ColumnValues | Array) -> str:
    """What a column holds, for the text of an error."""
    return f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
