"""`Vocabulary`: the known values of a field and their codes, with one bucket for everything else."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from twotower.errors import BadConfig
from twotower.features.encoded import UNKNOWN
from twotower.types import Array


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Sorted distinct values; value i has the code i + 1, every other value the code `UNKNOWN`.

    Attributes:
        values: known values as text, rising. dtype object. Shape [n_values].
    """

    values: Array

    @classmethod
    def of(cls, values: Array, counts: Array, *, min_count: int = 1, max_values: int | None = None) -> Self:
        """Keeps the values seen often enough.

        Args:
            values: distinct values as text. Shape [n].
            counts: how often each was seen in the rows to learn from. Shape [n].
            min_count: rarer values share the unknown bucket; a value never seen (count 0) always does.
            max_values: keep at most so many, the most frequent ones, ties in the order of their text.

        Raises:
            BadConfig: `min_count` or `max_values` is below 1.
        """
        if min_count < 1 or (max_values is not None and max_values < 1):
            raise BadConfig(f"Vocabulary: min_count {min_count} and max_values {max_values} must be at least 1")
        frequent = np.flatnonzero(np.asarray(counts) >= min_count)
        order = frequent[np.argsort(values[frequent])]
        if max_values is not None:
            best = np.argsort(-np.asarray(counts)[order], kind="stable")[:max_values]
            order = order[np.sort(best)]
        return cls(np.asarray(values, dtype=object)[order])

    def __len__(self) -> int:
        """Number of codes, the unknown bucket included."""
        return len(self.values) + 1

    def codes_of(self, values: Array) -> NDArray[np.int32]:
        """The code of each value, `UNKNOWN` where it is not in the vocabulary. Shape [n]."""
        places = pd.Index(self.values).get_indexer(pd.Index(np.asarray(values, dtype=object)))
        return np.where(places < 0, UNKNOWN, places + 1).astype(np.int32)
