"""`EncodedTable`: features as integers and z-values, the form in which towers and models read them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_array

from twotower.errors import BadInput
from twotower.types import Array, Floats, Ragged

PERIODIC = "~"
"""Ends the name of a continuous column that networks read by waves of learnt frequencies."""
UNKNOWN = 0
"""Code of a missing, rare or unseen value in every encoded field."""


def entry_name(vector: str, entry: int) -> str:
    """The continuous column of one entry of a vector; brackets that no table of people has: `[km]` may be a unit."""
    return f"{vector}⟨{entry}⟩"


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """Weighted codes of a field with any number of values per row (one-many encoding: weights of a row sum to 1).

    A row in which nothing is known is empty: bags made by `of` never hold `UNKNOWN`. Only a number's knots may.

    Attributes:
        codes: int32 codes. n rows.
        weights: float32, aligned with codes.values. Shape [len(codes.values)].
    """

    codes: Ragged
    weights: Floats

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.codes.values):
            raise BadInput(f"Bags: {len(self.codes.values)} codes but {len(self.weights)} weights")

    @classmethod
    def of(cls, matrix: csr_array) -> Self:
        """Rows of amounts by code [n, size]: repeats are added up, `UNKNOWN` is left out, the rest sums to 1."""
        matrix = matrix.copy()  # it may share its arrays with a table, and adding up works in place
        matrix.sum_duplicates()
        known = (matrix.indices != UNKNOWN) & (matrix.data > 0)
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[known]
        amounts = matrix.data[known].astype(np.float64)
        totals = np.bincount(rows, amounts, minlength=matrix.shape[0])
        lengths = np.bincount(rows, minlength=matrix.shape[0])
        codes = Ragged.from_lengths(matrix.indices[known].astype(np.int32), lengths)
        return cls(codes, (amounts / totals[rows]).astype(np.float32))

    @classmethod
    def concatenate(cls, parts: "list[Bags]") -> Self:
        """The rows of all parts, one after the other."""
        codes = np.concatenate([p.codes.values for p in parts])
        lengths = np.concatenate([p.codes.lengths for p in parts])
        return cls(Ragged.from_lengths(codes, lengths), np.concatenate([p.weights for p in parts]))

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array) -> "Bags":
        """The given rows."""
        positions, lengths = self.codes.positions(rows)
        return Bags(Ragged.from_lengths(self.codes.values[positions], lengths), self.weights[positions])

    def known(self) -> "Bags":
        """The same without `UNKNOWN`."""
        known = self.codes.values != UNKNOWN
        if known.all():
            return self
        lengths = np.bincount(self.codes.row_ids()[known], minlength=len(self))
        return Bags(Ragged.from_lengths(self.codes.values[known], lengths), self.weights[known])


Codes = NDArray[np.int32] | Bags
"""One value per row (int32 [n]), or any number of weighted ones."""


def take_codes(codes: Codes, rows: Array) -> Codes:
    """The given rows of either form."""
    return codes.take(rows) if isinstance(codes, Bags) else codes[rows]


def as_matrix(codes: Codes, size: int) -> csr_array:
    """One sparse row of weights per row (one-hot or one-many); `UNKNOWN` has no entry. Shape [n, size]."""
    if isinstance(codes, Bags):
        codes = codes.known()
        return csr_array((codes.weights, codes.codes.values, codes.codes.offsets), shape=(len(codes), size))
    known = codes != UNKNOWN
    offsets = np.concatenate([[0], np.cumsum(known)])
    return csr_array((np.ones(offsets[-1], np.float32), codes[known], offsets), shape=(len(codes), size))


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

    @property
    def periodic(self) -> tuple[int, ...]:
        """Columns of `continuous` that networks read by waves of learnt frequencies."""
        return tuple(i for i, name in enumerate(self.continuous_names) if name.endswith(PERIODIC))

    @property
    def vectors(self) -> tuple[tuple[int, int], ...]:
        """First column of each vector in `continuous` and one past its last; they stand behind all other columns."""
        owners = [name.rpartition("⟨")[0] if name.endswith("⟩") else "" for name in self.continuous_names]
        starts = [i for i, owner in enumerate(owners) if owner and (i == 0 or owners[i - 1] != owner)]
        return tuple(zip(starts, [*starts[1:], len(owners)], strict=True)) if starts else ()

    def take(self, rows: Array) -> "EncodedTable":
        """The given rows, in the given order."""
        taken = {name: take_codes(codes, rows) for name, codes in self.codes.items()}
        return EncodedTable(self.sizes, taken, self.continuous[rows], self.continuous_names)

    def save(self, path: Path) -> None:
        """One safetensors file; names and sizes go into its metadata."""
        arrays: dict[str, Array] = {"continuous": self.continuous}
        for name, codes in self.codes.items():
            if isinstance(codes, Bags):
                arrays |= {f"bags/{name}/codes": codes.codes.values, f"bags/{name}/offsets": codes.codes.offsets}
                arrays[f"bags/{name}/weights"] = codes.weights
            else:
                arrays[f"codes/{name}"] = codes
        facts = {"sizes": json.dumps(dict(self.sizes)), "continuous": json.dumps(self.continuous_names)}
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path, facts)

    @classmethod
    def load(cls, path: Path, *, mapped: bool = False) -> Self:
        """Reads what `save` wrote.

        Args:
            path: the file.
            mapped: leave the values in the file until they are read, where the system then keeps them for all processes
                that read them; what is written into the arrays stays with this process.

        Raises:
            BadInput: a code is outside its field's.
        """
        with safe_open(path, framework="pt" if mapped else "numpy") as stored:
            facts: dict[str, str] = stored.metadata()
            values = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        arrays: dict[str, Array] = {name: v.numpy() if mapped else v for name, v in values.items()}
        sizes: dict[str, int] = json.loads(facts["sizes"])
        codes = {name: _stored_codes(arrays, name) for name in sizes}
        for name, field in () if mapped else codes.items():  # of mapped ones nothing is read before it is needed
            values_of = field.codes.values if isinstance(field, Bags) else field
            if len(values_of) and not 0 <= values_of.min() <= values_of.max() < sizes[name]:
                raise BadInput(f"{path}: field {name!r} holds codes outside 0..{sizes[name] - 1}; make it again")
        return cls(sizes, codes, arrays["continuous"], tuple(json.loads(facts["continuous"])))


def _stored_codes(arrays: Mapping[str, Any], name: str) -> Codes:
    if f"codes/{name}" in arrays:
        plain: NDArray[np.int32] = arrays[f"codes/{name}"]
        return plain
    bag = f"bags/{name}"
    return Bags(Ragged(arrays[f"{bag}/codes"], arrays[f"{bag}/offsets"]), arrays[f"{bag}/weights"])
