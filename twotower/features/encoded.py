"""`EncodedTable`: features as integers and z-values, the form in which towers and models read them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twotower.errors import BadInput
from twotower.types import Array, Floats, Ragged

UNKNOWN = 0
"""Code of a missing, rare or unseen value in every encoded field."""


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """Weighted codes of a field with any number of values per row (one-many encoding: weights of a row sum to 1).

    Attributes:
        codes: int32 codes. n rows.
        weights: float32, aligned with codes.values. Shape [len(codes.values)].
    """

    codes: Ragged
    weights: Floats

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.codes.values):
            raise BadInput(f"Bags: {len(self.codes.values)} codes but {len(self.weights)} weights")

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array) -> "Bags":
        """The given rows."""
        return Bags(self.codes.take(rows), Ragged(self.weights, self.codes.offsets).take(rows).values)


Codes = NDArray[np.int32] | Bags
"""One value per row (int32 [n]), or any number of weighted ones."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTable:
    """Encoded features of users, profiles or items; row i belongs to row i of the source table.

    Attributes:
        sizes: field name to number of codes, the unknown code 0 included; the order of the fields.
        codes: field name to `Codes`.
        continuous: z-normalised values and missing-value indicators, missing values are 0. float32. Shape [n, F].
        continuous_names: a name for each column of `continuous`.
    """

    sizes: Mapping[str, int]
    codes: Mapping[str, Codes]
    continuous: Floats
    continuous_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if list(self.sizes) != list(self.codes):
            raise BadInput(f"EncodedTable: sizes name {list(self.sizes)}, codes {list(self.codes)}")
        n, f = self.continuous.shape
        if f != len(self.continuous_names):
            raise BadInput(f"EncodedTable: {f} continuous columns but {len(self.continuous_names)} names")
        for name, codes in self.codes.items():
            if len(codes) != n:
                raise BadInput(f"EncodedTable: field {name!r} has {len(codes)} rows, the table {n}")
        if not np.isfinite(self.continuous).all():
            row, column = np.argwhere(~np.isfinite(self.continuous))[0]
            raise BadInput(
                f"EncodedTable: {self.continuous_names[column]!r} of row {row} is not finite; encode missing as 0"
            )

    @classmethod
    def empty(cls, n_rows: int) -> "EncodedTable":
        """A table without fields."""
        return cls({}, {}, np.zeros((n_rows, 0), np.float32), ())

    def __len__(self) -> int:
        return len(self.continuous)

    def take(self, rows: Array) -> "EncodedTable":
        """The given rows, in the given order."""
        taken = {n: c[rows] if isinstance(c, np.ndarray) else c.take(rows) for n, c in self.codes.items()}
        return EncodedTable(self.sizes, taken, self.continuous[rows], self.continuous_names)
