"""`RowSolver`: weighted ridge regressions of many sparse rows on one set of factors, the inner step of implicit ALS."""

from typing import Any

import numpy as np
import torch

from twotower.models.matrix import Sparse
from twotower.types import Array, Floats

CELLS_PER_BATCH = 500_000
"""Floats of the largest array of one batch: 2 MB, which stay in a core's cache from one step to the next."""


class RowSolver:
    """For each row r of a sparse matrix finds x = argmin Σ_j c_rj·(p_rj - x·y_j)² + ridge_r·|x|².

    p_rj = 1 and c_rj = 1 + alpha·r_rj where the row has an entry r_rj, else p_rj = 0 and c_rj = 1 (Hu, Koren &
    Volinsky 2008, eq. 3 and 4). Their trick of writing the sum over all j as YᵀY plus a sum over the row's entries is
    taken a step further: in the eigenbasis of YᵀY the dense part is diagonal for every ridge, so a row with n < D
    entries costs one n × n system (matrix inversion lemma) instead of a D × D one. Most items of a sparse catalogue
    have a handful of events.
    """

    def __init__(self, factors: Floats, *, double: bool = False) -> None:
        """Rotates the factors into the eigenbasis of their Gram matrix.

        Args:
            factors: the fixed side Y. Shape [M, D].
            double: solve in float64, so that what is rounded at the end does not depend on the rows that are solved
                beside it; factors are then rotated where they are needed, and not all at once.
        """
        self.real: Any = np.float64 if double else np.float32
        spectrum, basis = np.linalg.eigh(_gram(factors))
        self.spectrum = np.maximum(spectrum, 0).astype(self.real)  # [D]
        self.basis: Array = basis.astype(self.real)  # [D, D]
        self.factors = factors
        self.rotated = None if double else (torch.from_numpy(factors) @ torch.from_numpy(self.basis)).numpy()  # [M, D]
        self.cells_per_batch = CELLS_PER_BATCH // 4 if double else CELLS_PER_BATCH

    def solve(self, rows: Sparse, alpha: float, ridge: Array) -> Floats:
        """Solves every row; a row without entries gets zeros.

        Args:
            rows: positive strengths r_rj. Shape [R, M].
            alpha: confidence that one unit of strength adds, > 0.
            ridge: ridge term of every row, > 0. Shape [R].

        Returns:
            float32. Shape [R, D].
        """
        solved = torch.zeros((rows.shape[0], len(self.spectrum)), dtype=torch.from_numpy(self.spectrum).dtype)  # [R, D]
        lengths = np.diff(rows.indptr)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        base = torch.from_numpy((self.spectrum + np.asarray(ridge, self.real)[:, None])[order])  # [R', D]
        for start, stop in self._batches(lengths[order]):
            columns, weights = _padded(rows, order[start:stop])
            y = self._rotated(columns)  # [b, n, D]
            w = torch.from_numpy(alpha * weights.astype(self.real))  # [b, n]
            step = _solve_dual if y.shape[1] < y.shape[2] else _solve_primal
            solved[torch.from_numpy(order[start:stop])] = step(y, w, base[start:stop])
        return (solved @ torch.from_numpy(self.basis).T).float().numpy()

    def _rotated(self, columns: Array) -> torch.Tensor:
        """Factors in the eigenbasis, [b, n] to [b, n, D]."""
        if self.rotated is not None:
            return torch.from_numpy(self.rotated.take(columns, axis=0))
        return torch.from_numpy(self.factors[columns] @ self.basis)

    def _batches(self, lengths: Array) -> list[tuple[int, int]]:
        """Cuts rows of rising length into batches that stay within `cells_per_batch` when padded to their longest."""
        edges, start, most = [], 0, self.cells_per_batch // len(self.spectrum)
        while start < len(lengths):
            longest = lengths[start : start + most]
            fits = np.arange(1, len(longest) + 1) * longest <= most
            stop = start + max(1, int(fits.sum()))
            edges.append((start, stop))
            start = stop
        return edges


def _gram(factors: Floats, block: int = 100_000) -> Array:
    """YᵀY in float64, without a float64 copy of all of Y. Shape [D, D]."""
    parts = (torch.from_numpy(factors[i : i + block]).double() for i in range(0, len(factors), block))
    return np.asarray(sum(part.T @ part for part in parts))


def _padded(rows: Sparse, chosen: Array) -> tuple[Array, Array]:
    """Columns and strengths of some rows, padded with column 0 at strength 0. Both [b, n]."""
    taken = rows[chosen]
    lengths = np.diff(taken.indptr)
    filled = np.arange(lengths.max()) < lengths[:, None]
    columns, strengths = np.zeros(filled.shape, np.int64), np.zeros(filled.shape, np.float32)
    columns[filled], strengths[filled] = taken.indices, taken.data
    return columns, strengths


def _solve_primal(y: torch.Tensor, w: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """(diag(base) + Yᵀ W Y) x = Yᵀ (1 + w) over the entries with w > 0, by Cholesky. Shape [b, D]."""
    weighted = y * w[:, :, None]
    system = y.transpose(1, 2) @ weighted + torch.diag_embed(base)  # [b, D, D]
    target = y.transpose(1, 2) @ (1 + w).where(w > 0, 0.0)[:, :, None]  # [b, D, 1]
    return torch.cholesky_solve(target, torch.linalg.cholesky(system))[:, :, 0]


def _solve_dual(y: torch.Tensor, w: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """The same x as diag(base)⁻¹ Yᵀ √W (I + √W K √W)⁻¹ (1 + w)/√w with K = Y diag(base)⁻¹ Yᵀ. Shape [b, D]."""
    root = w.sqrt()
    scaled = y / base[:, None, :]  # [b, n, D]
    system = (scaled @ y.transpose(1, 2)) * root[:, :, None] * root[:, None, :]  # [b, n, n]
    system.diagonal(dim1=1, dim2=2).add_(1.0)
    target = ((1 + w) / root).where(w > 0, 0.0)
    dual = root * torch.cholesky_solve(target[:, :, None], torch.linalg.cholesky(system))[:, :, 0]  # [b, n]
    return (dual[:, None, :] @ scaled)[:, 0]
