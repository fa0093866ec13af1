"""`ExactIndex`: every vector is compared; the yardstick of all other indexes, and right up to some 30k items."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from twotower.ann.vectors import checked_catalogue, checked_metric, checked_queries, pair_scores, unit
from twotower.errors import NotFitted
from twotower.protocols import Metric
from twotower.topk import rescore, top_k
from twotower.types import Floats, TopK

_BUILD_ROWS = 1 << 16
_FEW = 12


class ExactIndex:
    """Brute-force search by blocked matrix products; ties by item id, equal answers for every block size.

    Cost: B·N·D multiplications and 4·B·N bytes per block of B queries; 4·N·D bytes for the vectors.
    """

    exact = True

    def __init__(self, *, metric: str = "inner_product", block_cells: int = 50_000_000) -> None:
        """Makes an empty index.

        Args:
            metric: inner_product, cosine or euclidean (scored as the negated distance).
            block_cells: scores held at once; 50 million are 200 MB.

        Raises:
            BadConfig: the metric is unknown.
        """
        self.metric: Metric = checked_metric(metric)
        self.block_cells = block_cells
        self.dim = 0
        self._vectors: Floats = np.empty((0, 0), np.float32)
        self._squares: Floats = np.empty(0, np.float32)

    def __len__(self) -> int:
        return len(self._vectors)

    def build(self, vectors: Floats, *, progress: Callable[[int], None] | None = None) -> Self:
        """Copies the vectors (unit length for cosine). Shape [N, D].

        Raises:
            BadInput: no vectors, wrong dtype or shape, or a value is not finite.
        """
        vectors = checked_catalogue(vectors)
        stored = np.empty(vectors.shape, np.float32)
        for start in range(0, len(vectors), _BUILD_ROWS):
            block = vectors[start : start + _BUILD_ROWS]
            stored[start : start + len(block)] = unit(block) if self.metric == "cosine" else block
            if progress is not None:
                progress(len(block))
        self._use(stored)
        return self

    def search(self, vectors: Floats, k: int) -> TopK:
        """The k best items of each query vector.

        Args:
            vectors: query vectors. Shape [B, D].
            k: wanted items; rows are padded when the index holds fewer.

        Returns:
            `TopK` [B, k].

        Raises:
            NotFitted: nothing was built or loaded.
            BadInput: wrong shape, a value is not finite, or k < 1.
        """
        if not len(self):
            raise NotFitted("ExactIndex: call build or load first")
        queries = checked_queries(vectors, self.dim)
        blocks = [self._search_block(block, k) for block in self._blocks(queries)]
        return TopK.concatenate(blocks) if blocks else TopK(np.empty((0, k), np.int64), np.empty((0, k), np.float32))

    def save(self, directory: Path) -> None:
        """Writes `vectors.npy` and `exact.json` into an existing directory."""
        np.save(directory / "vectors.npy", self._vectors)
        options = {"metric": self.metric, "block_cells": self.block_cells}
        (directory / "exact.json").write_text(json.dumps(options) + "\n")

    @classmethod
    def load(cls, directory: Path, *, memory_map: bool = True) -> Self:
        """Opens what `save` wrote; memory-mapped vectors are shared between processes and read when first needed."""
        index = cls(**json.loads((directory / "exact.json").read_text()))
        index._use(np.load(directory / "vectors.npy", mmap_mode="r" if memory_map else None, allow_pickle=False))
        return index

    def _use(self, vectors: Floats) -> None:
        self._vectors = vectors
        self.dim = int(vectors.shape[1])
        if self.metric == "euclidean":
            self._squares = np.einsum("nd,nd->n", vectors, vectors)

    def _blocks(self, queries: Floats) -> Iterator[Floats]:
        size = max(1, self.block_cells // len(self))
        return (queries[start : start + size] for start in range(0, len(queries), size))

    def _search_block(self, queries: Floats, k: int) -> TopK:
        if self.metric == "cosine":
            queries = unit(queries)
        products = _products(queries, self._vectors)  # [B, N]
        if self.metric != "euclidean":
            return top_k(products, k)
        found = top_k(2 * products - self._squares, k)  # |q - v|² without the constant |q|², negated
        near = self._vectors[np.maximum(found.items, 0)]  # [B, k, D]
        return rescore(found, pair_scores(queries, near, "euclidean"), k)


def _products(queries: Floats, vectors: Floats) -> Floats:
    """Inner products [B, N], the same for a query alone and among others.

    A lone query is computed as two: BLAS sums matrix-vector products in another order, so that equal vectors would get
    unequal scores and ties would no longer go by id. For few queries the transposed product is three times as fast.
    """
    pair = np.repeat(queries, 2, axis=0) if len(queries) == 1 else queries
    if len(pair) < _FEW:
        return np.ascontiguousarray((vectors @ pair.T).T[: len(queries)])
    return np.asarray(pair @ vectors.T)
