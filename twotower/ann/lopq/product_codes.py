"""Product codes of rotated residuals: words learnt for each cell (`LocalWords`) or for all together (`SharedWords`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import faiss
import numpy as np

from twotower.ann.cells import Cells
from twotower.ann.lopq.rotations import Rotations, narrowed
from twotower.protocols import Metric
from twotower.types import NO_ITEM, Array, Floats, Ids, TopK

_LOCAL_BITS, _SHARED_BITS = 4, 8
_ROUNDS = 20
_LEAST_TRAINED = 512
_TABLES = 1 << 16
_LEAST_SPREAD, _FAR = 1e-30, 1e15
UNWRITTEN = 15
"""A word of the first part of local codes that no item is given: see `_put_floor`."""


class Words(Protocol):
    """Codebooks, how residuals are written with them, and what has to be compared with a query."""

    def encode(self, rotated: Floats, cell: int) -> Array:
        """Codes of rotated residuals of one cell. Shape [n, W] -> uint8 [n, bytes]."""

    def questions(self, rotated: Floats, cells: Ids) -> Floats:
        """What the scanner compares with codes of each pair's cell. Shapes [P, W], [P] -> [P, Q]."""

    def scanner(self, codes: Array, cells: Cells) -> "Scanner":
        """The codes, which lie cell after cell, made ready for scanning. Shape uint8 [N, bytes]."""

    def save(self, directory: Path) -> None:
        """Writes its files."""


class Scanner:
    """Inverted lists of faiss that are asked list by list."""

    def __init__(self, index: Any, *, negated: bool) -> None:
        """Takes a faiss index over inverted lists; `negated` says that it gives distances."""
        self._index = index
        self._negated = negated

    def best(self, questions: Floats, cells: Ids, k: int) -> TopK:
        """The k best items of each pair's cell, padded where it has fewer. Shapes [P, Q], [P] -> [P, k]."""
        values, items = self._index.search_preassigned(questions, k, cells[:, None], None)
        return TopK(items, np.where(items == NO_ITEM, -np.inf, -values if self._negated else values).astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class LocalWords:
    """16 words for each part in each cell. Codes of 4 bits are scanned in registers (faiss's fast scan).

    faiss knows one codebook for all cells. So the scanner is given tables, not vectors: with words 100…, 010…, 001… a
    query that consists of the 16 products of each part with the true words of its cell is scanned as if they were its
    own. faiss rounds the tables to 8 bits. One word of the first part is not written (`UNWRITTEN`).

    Memory: 16·W + 4 bytes a cell.

    Attributes:
        words: int8, to be multiplied by the cell's step. Shape [C, dimensions of a part, parts, 16].
        steps: what one unit of a cell's words is worth. Shape [C].
        metric: inner products are compared with the query's, Euclidean distances with the query's own residuals.
    """

    words: Array
    steps: Floats
    metric: Metric
    _FILES: ClassVar[tuple[str, str]] = ("words.npy", "word_steps.npy")

    @classmethod
    def fit(
        cls,
        vectors: Floats,
        cells: Cells,
        rotations: Rotations,
        residuals: Floats,
        parts: int,
        seed: int,
        metric: Metric,
    ) -> Self:
        """k-means in every part of every cell; where a cell has few items, residuals [S, D] of others help out."""
        width = rotations.matrices.shape[1]
        size = width // parts
        words = np.empty((len(cells), size, parts, 16), np.float32)
        for cell, rows in enumerate(cells.members):
            own = rotations.residuals_of_cell(vectors[rows], cell)
            others = rotations.of_cell(residuals[: max(0, _LEAST_TRAINED - len(rows))], cell)
            quantizer = _trained(np.concatenate([own, others]), parts, _LOCAL_BITS, seed)
            words[cell] = _words_of(quantizer).transpose(2, 0, 1)
        return cls(*narrowed(words), metric)

    def encode(self, rotated: Floats, cell: int) -> Array:
        """Codes of rotated residuals of one cell. Shape [n, W] -> uint8 [n, bytes]."""
        own = (self.words[cell].astype(np.float32) * self.steps[cell]).transpose(1, 2, 0)
        own[0, UNWRITTEN] = _FAR
        return np.asarray(_quantizer_of(own).compute_codes(rotated))

    def questions(self, rotated: Floats, cells: Ids) -> Floats:
        """Products of each part with its 16 words, or negated squared distances. Shapes [P, W] -> [P, 16·parts]."""
        _, size, parts, n_words = self.words.shape
        tables = np.zeros((len(cells), parts, n_words), np.float32)
        block = max(1, _TABLES // (parts * n_words))
        for start in range(0, len(cells), block):
            some = slice(start, start + block)
            axes = rotated[some].reshape(-1, parts, size)
            steps = self.steps[cells[some]][:, None, None]
            for axis in range(size):  # one after the other, so that the sum is the same in every batch
                words = self.words[cells[some], axis] * steps
                if self.metric == "euclidean":
                    tables[some] -= np.square(words - axes[:, :, axis, None])
                else:
                    tables[some] += words * axes[:, :, axis, None]
            _put_floor(tables[some])
        return tables.reshape(len(cells), -1)

    def scanner(self, codes: Array, cells: Cells) -> Scanner:
        """Fast-scan lists. Shape uint8 [N, bytes]."""
        parts = self.words.shape[2]
        one_hot = _quantizer_of(np.tile(np.eye(16, dtype=np.float32), (parts, 1, 1)))
        return Scanner(
            faiss.IndexIVFPQFastScan(_lists(one_hot, codes, cells, faiss.METRIC_INNER_PRODUCT)), negated=False
        )

    def save(self, directory: Path) -> None:
        """Writes two files."""
        for file, array in zip(self._FILES, (self.words, self.steps), strict=True):
            np.save(directory / file, array)

    @classmethod
    def load(cls, directory: Path, metric: Metric, *, memory_map: bool) -> Self:
        """Opens what `save` wrote; the words stay on the disk if memory-mapped."""
        words = np.load(directory / cls._FILES[0], mmap_mode="r" if memory_map else None, allow_pickle=False)
        return cls(words, np.load(directory / cls._FILES[1], allow_pickle=False), metric)


@dataclass(frozen=True, slots=True, eq=False)
class SharedWords:
    """256 words for each part, the same in all cells.

    Memory: 1,024·W bytes in all.

    Attributes:
        words: codebooks. Shape [parts, 256, dimensions of a part].
        metric: inner products are compared with the query, Euclidean distances with the query's own residuals.
    """

    words: Floats
    metric: Metric
    _FILE: ClassVar[str] = "words.npy"

    @classmethod
    def fit(
        cls,
        vectors: Floats,
        cells: Cells,
        rotations: Rotations,
        residuals: Floats,
        parts: int,
        seed: int,
        metric: Metric,
    ) -> Self:
        """k-means in every part, over residuals of a sample of vectors, each rotated as its cell wants it."""
        drawn = np.random.default_rng(seed).permutation(len(vectors))[: len(residuals)]
        owners = cells.owners()[drawn]
        rotated = rotations.of_pairs(vectors[drawn] - rotations.means[owners], owners)
        return cls(_words_of(_trained(rotated, parts, _SHARED_BITS, seed)), metric)

    def encode(self, rotated: Floats, cell: int) -> Array:
        """Codes of rotated residuals. Shape [n, W] -> uint8 [n, bytes]."""
        return np.asarray(_quantizer_of(self.words).compute_codes(rotated))

    def questions(self, rotated: Floats, cells: Ids) -> Floats:
        """The rotated queries themselves. Shape [P, W]."""
        return rotated

    def scanner(self, codes: Array, cells: Cells) -> Scanner:
        """Lists of 8-bit codes. Shape uint8 [N, bytes]."""
        euclidean = self.metric == "euclidean"
        metric = faiss.METRIC_L2 if euclidean else faiss.METRIC_INNER_PRODUCT
        return Scanner(_lists(_quantizer_of(self.words), codes, cells, metric), negated=euclidean)

    def save(self, directory: Path) -> None:
        """Writes one file."""
        np.save(directory / self._FILE, self.words)

    @classmethod
    def load(cls, directory: Path, metric: Metric, *, memory_map: bool) -> Self:
        """Opens what `save` wrote."""
        return cls(np.load(directory / cls._FILE, allow_pickle=False), metric)


def parts_of(codebooks: str, code_bytes: int, dim: int) -> int:
    """Parts of a code: one a byte for shared words, two a byte for local ones, never more than dimensions."""
    return min(dim, code_bytes if codebooks == "shared" else 2 * code_bytes)


def encoded(vectors: Floats, cells: Cells, rotations: Rotations, words: Words) -> Iterator[Array]:
    """Codes of the vectors of one cell after the other. Shapes uint8 [n, bytes]."""
    for cell, rows in enumerate(cells.members):
        yield words.encode(rotations.residuals_of_cell(vectors[rows], cell), cell)


def _put_floor(tables: Floats) -> None:
    """Sets the unwritten word somewhat below all others. Shape [P, parts, 16].

    Fast scan measures from the least entry of each part in steps of a 255th of the widest part, and drops items at 0.
    """
    high = low = tables
    for half in (8, 4, 2, 1):  # a tenth of the time of max and min over so short an axis
        high, low = np.maximum(high[..., :half], high[..., half:]), np.minimum(low[..., :half], low[..., half:])
    spread = (high - low).max(axis=(1, 2))
    least = tables[:, 0, :UNWRITTEN].min(axis=1)
    tables[:, 0, UNWRITTEN] = least - np.maximum(spread / 64, _LEAST_SPREAD + 1e-5 * np.abs(least))


def _trained(rotated: Floats, parts: int, bits: int, seed: int) -> Any:
    """A faiss product quantizer; few vectors are repeated, since it wants as many as words."""
    quantizer = faiss.ProductQuantizer(rotated.shape[1], parts, bits)
    quantizer.cp.niter = _ROUNDS
    quantizer.cp.seed = seed + 1
    quantizer.cp.min_points_per_centroid = 1
    quantizer.train(np.resize(rotated, (max(len(rotated), 2**bits), rotated.shape[1])))
    return quantizer


def _words_of(quantizer: Any) -> Floats:
    """Shape [parts, words, dimensions of a part]."""
    return np.asarray(faiss.vector_to_array(quantizer.centroids).reshape(quantizer.M, quantizer.ksub, quantizer.dsub))


def _quantizer_of(words: Floats) -> Any:
    """A faiss product quantizer with given words. Shape [parts, words, dimensions of a part]."""
    parts, n_words, size = words.shape
    quantizer = faiss.ProductQuantizer(parts * size, parts, n_words.bit_length() - 1)
    faiss.copy_array_to_vector(np.ascontiguousarray(words, np.float32).reshape(-1), quantizer.centroids)
    return quantizer


def _lists(quantizer: Any, codes: Array, cells: Cells, metric: int) -> Any:
    """Inverted lists of given codes, which are never assigned by faiss itself: its coarse quantizer stays empty."""
    index = faiss.IndexIVFPQ(
        faiss.IndexFlatIP(quantizer.d), quantizer.d, len(cells), quantizer.M, int(quantizer.nbits), metric
    )
    index.pq = quantizer
    index.by_residual = False
    index.is_trained = True
    for cell, ids in enumerate(cells.members):
        start = int(cells.members.offsets[cell])
        own, ids = np.ascontiguousarray(codes[start : start + len(ids)]), np.ascontiguousarray(ids, np.int64)
        index.invlists.add_entries(cell, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(own))
    index.ntotal = len(codes)
    return index
