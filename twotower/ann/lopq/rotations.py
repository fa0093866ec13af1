"""`Rotations`: each cell's mean, and a rotation of its residuals to axes that product codes can share out fairly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from twotower.ann.cells import Cells
from twotower.types import Array, Floats, Ids

_FILES = {"means": "means.npy", "matrices": "rotations.npy", "steps": "rotation_steps.npy"}
_LARGEST = 127
_EXACT = 1 << 23
"""Half of what float32 counts without rounding; the other half is for the rounding to whole numbers."""
_LEAST_VARIANCE = 1e-6
_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Rotations:
    """Means and rotations of C cells; rotated vectors have W >= D dimensions, a multiple of the parts of a code.

    Matrices are held as int8, and vectors are rounded to whole numbers before they are multiplied, so coarsely that no
    sum exceeds what float32 counts exactly. So a rotated vector is the same to the last bit in every batch, on every
    number of threads. What the rounding loses (under 1 % of the length) is small beside what product codes lose.

    Memory: W·D + 4·D bytes a cell.

    Attributes:
        means: mean of each cell's vectors. Shape [C, D].
        matrices: rows are axes, int8, to be multiplied by the cell's step. Shape [C, W, D].
        steps: what one unit of a cell's matrix is worth. Shape [C].
    """

    means: Floats
    matrices: Array
    steps: Floats

    @classmethod
    def fit(
        cls, vectors: Floats, cells: Cells, means: Floats, *, parts: int, shrinkage: float, residuals: Floats
    ) -> Self:
        """Principal axes of each cell's residuals, dealt out to the parts so that each gets a like share of variance.

        Args:
            vectors: all vectors. Shape [N, D].
            cells: which of them lie together.
            means: of each cell (`cell_means`). Shape [C, D].
            parts: of a product code.
            shrinkage: how many items of the whole catalogue's covariance are mixed into each cell's.
            residuals: a sample of residuals of all cells, for that covariance. Shape [S, D].
        """
        n_cells, dim = means.shape
        width = -(-dim // parts) * parts
        matrices, steps = np.empty((n_cells, width, dim), np.int8), np.empty(n_cells, np.float32)
        block = max(1, _BLOCK // dim**2)
        with threadpool_limits(1, user_api="blas"):  # LAPACK's last bits depend on the number of threads
            common = _covariance_sum(residuals) / max(1, len(residuals))
            for start in range(0, n_cells, block):
                some = range(start, min(start + block, n_cells))
                sums = np.stack([_covariance_sum(vectors[cells.members[c]] - means[c]) for c in some])
                weights = np.maximum(cells.members.lengths[some] + shrinkage, 1)
                covariances = (sums + shrinkage * common) / weights[:, None, None]
                matrices[some], steps[some] = narrowed(_balanced_axes(covariances, parts))
        return cls(means, matrices, steps)

    def of_cell(self, vectors: Floats, cell: int) -> Floats:
        """Vectors rotated as one cell wants it. Shape [n, D] -> [n, W]."""
        whole, steps = _whole_numbers(vectors)
        rotated = whole @ self.matrices[cell].astype(np.float32).T
        return np.asarray(rotated * (steps * self.steps[cell]), np.float32)

    def of_pairs(self, vectors: Floats, cells: Ids) -> Floats:
        """Each vector rotated as its own cell wants it. Shapes [P, D], [P] -> [P, W]."""
        whole, steps = _whole_numbers(vectors)
        rotated = np.empty((len(vectors), self.matrices.shape[1]), np.float32)
        block = max(1, _BLOCK // (self.matrices.shape[1] * self.matrices.shape[2]))
        for start in range(0, len(vectors), block):
            some = slice(start, start + block)
            matrices = self.matrices[cells[some]].astype(np.float32)
            rotated[some] = np.matmul(matrices, whole[some, :, None])[:, :, 0]
        return rotated * (steps * self.steps[cells][:, None])

    def residuals_of_cell(self, vectors: Floats, cell: int) -> Floats:
        """Rotated differences from the cell's mean. Shape [n, D] -> [n, W]."""
        return self.of_cell(vectors - self.means[cell], cell)

    def save(self, directory: Path) -> None:
        """Writes three files."""
        for name, file in _FILES.items():
            np.save(directory / file, getattr(self, name))

    @classmethod
    def load(cls, directory: Path, *, memory_map: bool) -> Self:
        """Opens what `save` wrote; the matrices stay on the disk if memory-mapped."""
        means, steps = (np.load(directory / _FILES[name], allow_pickle=False) for name in ("means", "steps"))
        path = directory / _FILES["matrices"]
        return cls(means, np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False), steps)


def cell_means(vectors: Floats, cells: Cells) -> Floats:
    """Mean of the vectors of each cell; 0 for an empty one. Shape [C, D]."""
    means = np.zeros((len(cells), vectors.shape[1]), np.float32)
    for cell, rows in enumerate(cells.members):
        if len(rows):
            means[cell] = vectors[rows].mean(axis=0, dtype=np.float64)
    return means


def sampled_residuals(vectors: Floats, cells: Cells, means: Floats, n: int, seed: int) -> Floats:
    """Differences from their cell's mean of at most n vectors. Shape [min(n, N), D]."""
    drawn = np.random.default_rng(seed).permutation(len(vectors))[:n]
    return np.asarray(vectors[drawn] - means[cells.owners()[drawn]], np.float32)


def allocated(variances: Floats, parts: int) -> Ids:
    """Which axes each part gets: the next largest goes to the part whose product of variances is least so far.

    Args:
        variances: falling. Shape [C, D].
        parts: how many; each gets ceil(D / parts) axes.

    Returns:
        Axes, part after part; numbers from D on stand for padding. Shape [C, parts, ceil(D / parts)].

    Source: Ge, He, Ke, Sun, "Optimized Product Quantization", CVPR 2013, section 3.2.2 ("eigenvalue allocation").
    """
    n_cells, dim = variances.shape
    size = -(-dim // parts)
    least = np.maximum(variances[:, :1] * _LEAST_VARIANCE, np.finfo(np.float64).tiny)
    variances = np.maximum(variances, least)
    logs = np.zeros((n_cells, size * parts))
    logs[:, :dim] = np.log(variances / variances[:, -1:])  # all products at least 1, so that none shrinks
    axes = np.empty((n_cells, parts, size), np.int64)
    products, filled = np.zeros((n_cells, parts)), np.zeros((n_cells, parts), np.int64)
    every = np.arange(n_cells)
    for axis in range(size * parts):
        part = np.where(filled < size, products, np.inf).argmin(axis=1)
        axes[every, part, filled[every, part]] = axis
        products[every, part] += logs[:, axis]
        filled[every, part] += 1
    return axes


def _balanced_axes(covariances: Array, parts: int) -> Array:
    """Principal axes as rows, in the order that the parts want, padded by rows of 0. Shape [C, D, D] -> [C, W, D]."""
    variances, axes = np.linalg.eigh(covariances)
    order = allocated(variances[:, ::-1], parts).reshape(len(covariances), -1)
    rows = np.zeros((len(covariances), order.shape[1], covariances.shape[1]))
    rows[:, : covariances.shape[1]] = axes[:, :, ::-1].transpose(0, 2, 1)
    return np.take_along_axis(rows, order[:, :, None], axis=1)


def _covariance_sum(residuals: Floats) -> Array:
    """Sum of outer products, in float64. Shape [n, D] -> [D, D]."""
    wide = residuals.astype(np.float64)
    return np.asarray(wide.T @ wide)


def narrowed(blocks: Array) -> tuple[Array, Floats]:
    """Blocks [C, ...] as int8, and what one unit of each is worth [C]."""
    flat = blocks.reshape(len(blocks), -1)
    steps = np.maximum(np.abs(flat).max(axis=1), np.finfo(np.float32).tiny) / _LARGEST
    return np.rint(flat / steps[:, None]).astype(np.int8).reshape(blocks.shape), steps.astype(np.float32)


def _whole_numbers(vectors: Floats) -> tuple[Floats, Floats]:
    """Vectors rounded to whole numbers [n, D], and what one unit of each is worth [n, 1].

    A unit row of a matrix that was stretched to int8 is at most 127·√D long, the whole numbers at most `limit`: by
    Cauchy and Schwarz every sum of their products, in whatever order, stays below what float32 counts exactly.
    """
    limit = _EXACT / (_LARGEST * np.sqrt(vectors.shape[1]))
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True, dtype=np.float32))
    steps = np.maximum(lengths / np.float32(limit), np.finfo(np.float32).tiny)
    return np.rint(vectors / steps), steps
