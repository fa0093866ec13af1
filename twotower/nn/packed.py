"""`PackedTable`: all coded fields of an `EncodedTable` in one array, so that a batch is one gather and one product."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from twotower.features.encoded import Bags, EncodedTable
from twotower.nn.tensors import FeatureTensors
from twotower.types import Array, Floats, Ids, runs


@dataclass(frozen=True, slots=True, eq=False)
class PackedFeatures:
    """Features of n rows of a `PackedTable`.

    Attributes:
        matrix: weight of each value in each field of each row; row i·F + f is field f of row i. Shape [n·F, V].
        starts: first column of each field, and V. Shape [F + 1].
        continuous: float32. Shape [n, C].
    """

    matrix: csr_array
    starts: Ids
    continuous: Tensor

    def __len__(self) -> int:
        return len(self.continuous)

    def embedded(self, tables: Sequence[Tensor]) -> Tensor:
        """Per field the weighted sum of its values' rows of that field's table [size, width]. Shape [n, Σ width]."""
        vectors: Tensor = _BagSums.apply(self.matrix, self.starts, *tables)  # type: ignore[no-untyped-call]
        return vectors

    def weighed(self, tables: Sequence[Tensor]) -> Tensor:
        """The sum over all fields where every table has one column. Shape [n]."""
        m, n_fields = self.matrix, len(self.starts) - 1
        rows = csr_array((m.data, m.indices, m.indptr[::n_fields]), shape=(len(self), m.shape[1]))
        sums: Tensor = _BagSums.apply(rows, self.starts[[0, -1]], torch.cat(list(tables)))  # type: ignore[no-untyped-call]
        return sums[:, 0]


Features = FeatureTensors | PackedFeatures
"""Encoded features of some rows in either form."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedTable:
    """The coded fields of N rows side by side: field f's code c is column `starts[f] + c` of V.

    Where every field has one value per row, `codes` is [N, F] and nothing else is needed; else it holds the values of
    row 0's fields, then those of row 1, …, with weights.

    Attributes:
        codes: int32. Shape [N, F], or [n_values].
        weights: float32; None: every row has one value per field. Shape [n_values].
        lengths: values of each field of each row. int32. Shape [N, F].
        first: where each row's values begin. Shape [N + 1].
        starts: first column of each field, and V. Shape [F + 1].
        continuous: float32. Shape [N, C].
    """

    codes: NDArray[np.int32]
    weights: Floats | None
    lengths: NDArray[np.int32]
    first: Ids
    starts: Ids
    continuous: Tensor

    @classmethod
    def of(cls, table: EncodedTable) -> "PackedTable":
        """Copies a table."""
        starts = np.concatenate([[0], np.cumsum(list(table.sizes.values()), dtype=np.int64)])
        continuous = torch.as_tensor(table.continuous, dtype=torch.float32)
        fields = list(table.codes.values())
        if not any(isinstance(codes, Bags) for codes in fields):
            codes = np.empty((len(table), len(fields)), np.int32)
            for f, values in enumerate(fields):
                codes[:, f] = np.asarray(values) + starts[f]
            return cls(codes, None, np.empty((0, len(fields)), np.int32), np.empty(0, np.int64), starts, continuous)
        return cls(*_interleaved(fields, starts, len(table)), starts, continuous)

    def __len__(self) -> int:
        return len(self.continuous)

    def take(self, rows: Tensor) -> PackedFeatures:
        """The given rows, in the given order. Shape of `rows`: [n]."""
        chosen = rows.numpy()
        if self.weights is None:
            codes = self.codes[chosen].ravel()
            weights, ends = np.ones(len(codes), np.float32), np.arange(len(codes) + 1)
        else:
            lengths = self.lengths[chosen]
            where = runs(self.first[chosen], lengths.sum(axis=1))
            codes, weights = self.codes[where], self.weights[where]
            ends = np.concatenate([[0], np.cumsum(lengths)])
        shape = (len(ends) - 1, int(self.starts[-1]))
        matrix = csr_array((weights, codes, ends.astype(np.int32)), shape=shape)
        return PackedFeatures(matrix, self.starts, self.continuous[rows])


def _interleaved(
    fields: Sequence[Array | Bags], starts: Ids, n: int
) -> tuple[NDArray[np.int32], Floats, NDArray[np.int32], Ids]:
    """Codes, weights, lengths [n, F] and first values [n + 1] of fields of either form, row by row."""
    lengths = np.ones((n, len(fields)), np.int32)
    for f, values in enumerate(fields):
        if isinstance(values, Bags):
            lengths[:, f] = values.codes.lengths
    ends = np.cumsum(lengths, dtype=np.int64).reshape(lengths.shape)  # [n, F]
    total = int(ends[-1, -1]) if ends.size else 0
    codes, weights = np.empty(total, np.int32), np.ones(total, np.float32)
    for f, values in enumerate(fields):
        where = runs(ends[:, f] - lengths[:, f], lengths[:, f].astype(np.int64))
        if isinstance(values, Bags):
            codes[where], weights[where] = values.codes.values + starts[f], values.weights
        else:
            codes[where] = values + starts[f]
    return codes, weights, lengths, np.concatenate([[0], ends[:, -1]])


class _BagSums(torch.autograd.Function):
    """matrix · table of every field in one product: the tables stand below each other, padded to one width.

    A sparse product and its transpose take a fifth of the time of one embedding bag per field and its backward pass,
    which sorts; both add up in a fixed order.
    """

    @staticmethod
    def forward(ctx: Any, matrix: csr_array, starts: Ids, *tables: Tensor) -> Tensor:
        widths = [table.shape[1] for table in tables]
        below = np.zeros((int(starts[-1]), max(widths)), np.float32)  # [V, width]
        for table, start, stop in zip(tables, starts, starts[1:], strict=False):
            below[start:stop, : table.shape[1]] = table.detach().numpy()
        ctx.matrix, ctx.starts, ctx.widths = matrix, starts, widths
        ctx.columns = np.concatenate([f * max(widths) + np.arange(width) for f, width in enumerate(widths)])
        sums = (matrix @ below).reshape(-1, len(tables) * max(widths))
        return torch.from_numpy(np.take(sums, ctx.columns, axis=1))

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        widths, starts, gradient = ctx.widths, ctx.starts, outputs[0].numpy()
        padded = np.zeros((len(gradient), len(widths) * max(widths)), np.float32)
        padded[:, ctx.columns] = gradient
        below = ctx.matrix.T @ padded.reshape(-1, max(widths))  # [V, width]
        return (
            None,
            None,
            *(
                torch.from_numpy(np.ascontiguousarray(below[start:stop, :width]))
                for width, start, stop in zip(widths, starts, starts[1:], strict=False)
            ),
        )
