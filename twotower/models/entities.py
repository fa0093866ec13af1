"""Entity tables in the LightFM form: a vector is the weighted sum of the embeddings of an entity's features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.features.encoded import UNKNOWN, Bags, EncodedTable
from twotower.nn.tensors import BagTensors
from twotower.types import Array, Bools, Floats, Ragged

BLOCK_ROWS = 20_000
"""Rows whose vectors are computed at once by `all_vectors`."""
SPARSE_FROM = 100_000
"""Features from which on gradients are sparse; below, a dense update is faster and the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Every entity's features as codes of one joint vocabulary.

    Attributes:
        bags: weighted codes. n rows.
        size: number of codes.
    """

    bags: Bags
    size: int

    def __len__(self) -> int:
        return len(self.bags)

    @classmethod
    def identity(cls, known: Bools) -> "Features":
        """One feature per known entity, none for the others. Shape [n]."""
        codes = Ragged.from_lengths(np.arange(int(known.sum())), known.astype(np.int64))
        return cls(Bags(codes, np.ones(len(codes.values), np.float32)), int(known.sum()))

    @classmethod
    def of_table(cls, table: EncodedTable, edges: Array) -> "Features":
        """The coded fields of a table one after the other, then a bin for every number that is not constant.

        Args:
            table: encoded features. n rows.
            edges: inner bin edges of each continuous column, see `quantile_edges`. Shape [F, n_bins - 1].
        """
        parts = [cls(_as_bags(codes), table.sizes[name]) for name, codes in table.codes.items()]
        for column, inner in enumerate(edges):
            bins = np.searchsorted(inner, table.continuous[:, column], side="left") + 1
            if len(np.unique(bins)) > 1:
                parts.append(cls(_as_bags(bins), len(inner) + 2))
        return cls.joined(parts, len(table))

    @classmethod
    def joined(cls, parts: Sequence["Features"], n_rows: int) -> "Features":
        """All features of each row; every part keeps codes of its own."""
        first_codes = np.cumsum([0, *(part.size for part in parts)])
        bags = [part.bags for part in parts]
        rows = _concatenated([b.codes.row_ids() for b in bags], np.int64)
        codes = _concatenated([b.codes.values + first for b, first in zip(bags, first_codes, strict=False)], np.int64)
        order = np.argsort(rows, kind="stable")
        lengths = np.bincount(rows, minlength=n_rows)
        weights = _concatenated([b.weights for b in bags], np.float32)[order]
        return cls(Bags(Ragged.from_lengths(codes[order], lengths), weights), int(first_codes[-1]))

    def after_empty_row(self) -> "Features":
        """The same rows behind one that has no features."""
        codes = self.bags.codes
        return Features(Bags(Ragged(codes.values, np.append(0, codes.offsets)), self.bags.weights), self.size)


def _concatenated(arrays: list[Array], dtype: Any) -> Array:
    return np.concatenate(arrays).astype(dtype) if arrays else np.empty(0, dtype)


def quantile_edges(table: EncodedTable, n_bins: int, rows: Array) -> Array:
    """Inner edges that cut each continuous column of some rows into bins of equal count. Shape [F, n_bins - 1]."""
    shares = np.arange(1, n_bins) / n_bins
    if not len(rows):
        return np.zeros((table.continuous.shape[1], n_bins - 1))
    return np.quantile(table.continuous[rows].astype(np.float64), shares, axis=0).T


def _as_bags(codes: Array | Bags) -> Bags:
    """One code per row, or bags as they are; the unknown code says nothing and is left out."""
    if isinstance(codes, Bags):
        return codes
    known = codes != UNKNOWN
    return Bags(
        Ragged.from_lengths(codes[known].astype(np.int64), known.astype(np.int64)), np.ones(known.sum(), np.float32)
    )


class EntityTable(nn.Module):
    """One embedding per feature; the vector of an entity is their weighted sum.

    The gradient of a large table is sparse, so that a step costs what the batch touches, whatever the catalogue's size.
    """

    def __init__(self, features: Features, width: int, seed: int, *, bias: bool = False) -> None:
        """Draws small embeddings.

        Args:
            features: of all entities. n rows.
            width: length of the vectors.
            seed: of the embeddings.
            bias: the last column is a bias and starts at 0.
        """
        super().__init__()
        rng = np.random.default_rng(seed)
        start = rng.standard_normal((max(1, features.size), width), np.float32) * (0.1 / width**0.5)
        if bias:
            start[:, -1] = 0
        self.embedding = nn.Parameter(torch.from_numpy(start))
        self.sparse = features.size >= SPARSE_FROM
        if self.sparse:
            torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]  # else Adagrad warns
        bags = features.bags
        codes, weights = torch.from_numpy(bags.codes.values.astype(np.int64)), torch.from_numpy(bags.weights)
        self.bags = BagTensors(codes, weights, torch.from_numpy(bags.codes.offsets))

    def __len__(self) -> int:
        return len(self.bags.offsets) - 1

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors of entities, any shape of row numbers [...] to [..., width]."""
        distinct, where = torch.unique(rows, return_inverse=True)
        taken = self.bags.take(distinct)
        vectors = F.embedding_bag(
            taken.codes, self.embedding, taken.offsets, mode="sum", sparse=self.sparse,
            per_sample_weights=taken.weights, include_last_offset=True,
        )  # fmt: skip
        return vectors[where]

    @torch.no_grad()
    def all_vectors(self) -> Floats:
        """Vectors of all entities. Shape [n, width]."""
        blocks = [self(rows).numpy() for rows in torch.split(torch.arange(len(self)), BLOCK_ROWS)]
        return np.concatenate(blocks) if blocks else np.empty((0, self.embedding.shape[1]), np.float32)
