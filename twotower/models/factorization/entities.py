"""Entity tables in the LightFM form: a vector is the weighted sum of the embeddings of an entity's features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.features.encoded import UNKNOWN, Bags, EncodedTable
from twotower.models.matrix import Sparse
from twotower.types import Array, Bools, Floats, Ids, Ragged

BLOCK_ROWS = 20_000
"""Rows whose vectors are computed at once by `all_vectors`."""


@dataclass(frozen=True, slots=True, eq=False)
class EntityFeatures:
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
    def identity(cls, known: Bools) -> "EntityFeatures":
        """One feature per known entity, none for the others. Shape [n]."""
        codes = Ragged.from_lengths(np.arange(int(known.sum())), known.astype(np.int64))
        return cls(Bags(codes, np.ones(len(codes.values), np.float32)), int(known.sum()))

    @classmethod
    def of_table(cls, table: EncodedTable, edges: Array) -> "EntityFeatures":
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
    def joined(cls, parts: Sequence["EntityFeatures"], n_rows: int) -> "EntityFeatures":
        """All features of each row; every part keeps codes of its own."""
        nothing = cls(Bags(Ragged.empty(n_rows), np.empty(0, np.float32)), 0)  # there may be no part
        joined: Sparse = sparse.hstack([part.matrix() for part in (nothing, *parts)], format="csr")
        return cls(Bags(Ragged(joined.indices, joined.indptr.astype(np.int64)), joined.data), joined.shape[1])

    def matrix(self) -> Sparse:
        """The weights as a sparse matrix. float32. Shape [n, size]."""
        codes, numbers = self.bags.codes, np.int32 if len(self.bags.weights) < 2**31 else np.int64  # half the memory
        parts = (self.bags.weights, codes.values.astype(numbers), codes.offsets.astype(numbers))
        return sparse.csr_array(parts, shape=(len(self), self.size))

    def after_empty_row(self) -> "EntityFeatures":
        """The same rows behind one that has no features."""
        codes = self.bags.codes
        return EntityFeatures(Bags(Ragged(codes.values, np.append(0, codes.offsets)), self.bags.weights), self.size)


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

    As matrices: vectors = F·E with the sparse feature rows F of the entities asked for, and the gradient of E is
    Fᵀ·(gradient of the vectors). It has rows for the features that occur, so a step costs what the batch touches,
    whatever the catalogue's size.
    """

    def __init__(self, features: EntityFeatures, width: int, seed: int, *, bias: bool = False) -> None:
        """Draws small embeddings.

        Args:
            features: of all entities. n rows.
            width: length of the vectors.
            seed: of the embeddings.
            bias: the last column is a bias and starts at 0.
        """
        super().__init__()
        rng = np.random.default_rng(seed)
        size = max(1, features.size)
        start = rng.standard_normal((size, width), np.float32) * np.float32(0.1 / width**0.5)
        if bias:
            start[:, -1] = 0
        self.embedding = nn.Parameter(torch.from_numpy(start))
        self.features = features.matrix()  # [n, size]
        self._entity_places, self._code_places = np.empty(len(features), np.int32), np.empty(size, np.int32)

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def forward(self, rows: Ids) -> Tensor:
        """Vectors of entities, each worked out once however often it is asked for. Shape [P] -> [P, width]."""
        distinct, places = distinct_of(rows, self._entity_places)
        asked = sparse.csr_array(
            (np.ones(len(rows), np.float32), places, np.arange(len(rows) + 1, dtype=np.int32))
        )  # [P, distinct]
        features = self.features[distinct]  # [distinct, size]
        codes, columns = distinct_of(features.indices, self._code_places)
        compact = sparse.csr_array((features.data, columns, features.indptr), shape=(len(distinct), len(codes)))
        vectors: Tensor = _WeightedSums.apply(self.embedding, asked, features, codes, compact)  # type: ignore[no-untyped-call]
        return vectors

    @torch.no_grad()
    def all_vectors(self) -> Floats:
        """Vectors of all entities. Shape [n, width]."""
        vectors = torch.empty(len(self), self.embedding.shape[1])
        for start in range(0, len(self), BLOCK_ROWS):
            block = self.features[start : start + BLOCK_ROWS]
            vectors[start : start + BLOCK_ROWS] = _product(block, self.embedding)
        return vectors.numpy()


class _WeightedSums(torch.autograd.Function):
    """A·F·E with a sparse gradient for the table E.

    Args of `apply`:
        embedding: the table E. Shape [size, width].
        asked: the entity of each row asked for, A. Shape [P, R].
        features: feature rows F of the distinct entities. Shape [R, size].
        codes: the features that occur. Shape [S].
        compact: F with these columns alone. Shape [R, S].
    """

    @staticmethod
    def forward(ctx: Any, embedding: Tensor, asked: Sparse, features: Sparse, codes: Array, compact: Sparse) -> Tensor:
        """Vectors of the rows asked for. Shape [P, width]."""
        ctx.sparse, ctx.shape = (asked, codes, compact), embedding.shape
        return torch.from_numpy(_product(features, embedding).numpy().take(asked.indices, axis=0))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The rows of the gradient of E that are not 0, none twice; they are not sorted."""
        asked, codes, compact = ctx.sparse
        values = _product(compact.T.tocsr(), _product(asked.T.tocsr(), gradient))  # [S, width]
        rows = torch.from_numpy(codes[None].astype(np.int64))
        return torch.sparse_coo_tensor(rows, values, ctx.shape, check_invariants=False), None, None, None, None


def _product(weights: Sparse, table: Tensor) -> Tensor:
    """A sparse matrix [P, size] times a dense one [size, width]."""
    codes, offsets = torch.from_numpy(weights.indices), torch.from_numpy(weights.indptr)
    return F.embedding_bag(
        codes, table, offsets, mode="sum", per_sample_weights=torch.from_numpy(weights.data), include_last_offset=True
    )


def distinct_of(values: Array, places: Array) -> tuple[Array, Array]:
    """Numbers without repeats, and where each one stands among them; nothing is sorted.

    Args:
        values: not negative. Shape [P].
        places: room for a place per possible number; whatever it holds is overwritten. int32. Shape [size].

    Returns:
        The distinct numbers [R], in the order of their last places, and places 0..R - 1 [P].
    """
    order = np.arange(len(values), dtype=np.int32)
    places[values] = order
    distinct = values[places[values] == order]  # of equal numbers the last one stands for all
    places[distinct] = order[: len(distinct)]
    return distinct, places[values]
