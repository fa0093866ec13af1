"""`LOPQIndex`: locally optimised product quantisation; codes that follow each cell's own shape, for tight memory."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twotower.ann.base import IndexBase, Progress
from twotower.ann.cells import Cells, cells_for
from twotower.ann.faiss_products import pair_scores_of
from twotower.ann.lopq.probing import best_of_cells
from twotower.ann.lopq.product_codes import LocalWords, Scanner, SharedWords, Words, encoded, parts_of
from twotower.ann.lopq.rotations import Rotations, cell_means, sampled_residuals
from twotower.ann.vectors import is_unit, unit
from twotower.errors import BadConfig
from twotower.protocols import Metric
from twotower.types import NO_ITEM, Array, Floats, Ids, TopK

CODEBOOKS: dict[str, type[LocalWords] | type[SharedWords]] = {"local": LocalWords, "shared": SharedWords}
_FILE = "codes.npy"
_RESIDUALS = 1 << 16


class LOPQIndex(IndexBase):
    """k-means cells; in each, residuals are turned to the cell's principal axes and written as product codes.

    A query is scored against x = mean + Rᵀ·code: for inner products q·mean + (R q)·code, for Euclidean distance
    -|R (q - mean) - code|, which needs no lengths to be stored. The best `refine` are compared exactly.

    Memory an item: `code_bytes`, packed for scanning, + 8 for its id; on the disk `code_bytes` + 4, mapped. A cell
    weighs D² + 24·D bytes, which is 5.8 an item for 1 million items, 1,024 cells and D = 64: cells want 16·D items or
    more. Refining uses the caller's own vectors; `refine=0` keeps none.
    The same seed gives the same bytes for any number of threads.

    Source: Kalantidis, Avrithis, "Locally Optimized Product Quantization for Approximate Nearest Neighbor Search",
    CVPR 2014. Different here: covariances are shrunk towards the catalogue's, and words may be local too.
    """

    search_options: ClassVar[tuple[str, ...]] = ("nprobe", "refine")

    def __init__(
        self,
        *,
        metric: str = "inner_product",
        cells: int | None = None,
        nprobe: int | None = None,
        code_bytes: int = 8,
        codebooks: str = "local",
        refine: int = 500,
        distances: bool | None = None,
        train_per_cell: int = 64,
        shrinkage: float = 16,
        seed: int = 0,
    ) -> None:
        """Makes an empty index.

        Args:
            metric: inner_product, cosine or euclidean.
            cells: number of cells; None: about 4·√N, but 16·D items or more in each.
            nprobe: cells looked into; None: a sixteenth of them, at least 16.
            code_bytes: length of a code; less where the dimensions are too few for it.
            codebooks: `local`: 16 words for each half byte in each cell; `shared`: 256 words a byte for all cells.
            refine: candidates that are compared exactly; 0 believes the codes.
            distances: whether codes are compared by distance; None: for metric `euclidean`, and where all vectors have
                unit length, since there the order is that of inner products and distances find more.
            train_per_cell: sampled vectors per cell for k-means.
            shrinkage: how many items of the whole catalogue's covariance are mixed into each cell's.
            seed: of sampling and k-means.

        Raises:
            BadConfig: an option is unknown or out of range.
        """
        super().__init__(metric=metric)
        if codebooks not in CODEBOOKS:
            raise BadConfig(f"codebooks {codebooks!r}: choose one of {', '.join(CODEBOOKS)}")
        if code_bytes < 1:
            raise BadConfig(f"code_bytes must be at least 1, got {code_bytes}")
        if refine < 0 or shrinkage < 0:
            raise BadConfig(f"refine and shrinkage must be at least 0, got {refine} and {shrinkage}")
        self.cells = cells
        self.nprobe = nprobe
        self.code_bytes = code_bytes
        self.codebooks = codebooks
        self.refine = refine
        self.distances = distances
        self.train_per_cell = train_per_cell
        self.shrinkage = shrinkage
        self.seed = seed
        self._cells: Cells | None = None
        self._rotations: Rotations
        self._words: Words
        self._codes: Array
        self._scanner: Scanner

    @property
    def partition(self) -> Cells:
        """The cells themselves."""
        assert self._cells is not None
        return self._cells

    def effort_range(self) -> tuple[int, int]:
        """One cell to all of them."""
        return 1, len(self.partition)

    def with_options(self, **options: Any) -> "LOPQIndex":
        """As of every index; `refine` can be raised above 0 only where the vectors were kept."""
        if options.get("refine") and self._vectors is None:
            raise BadConfig("refine: this index was built with refine=0 and kept no vectors; build it again")
        return super().with_options(**options)

    def _fit(self, vectors: Floats, progress: Progress) -> None:
        n_cells = min(self.cells or cells_for(len(vectors), least_per_cell=16 * self.dim), len(vectors))
        self.cells, self.nprobe = n_cells, self.nprobe or min(n_cells, max(16, n_cells // 16))
        if self.distances is None:
            self.distances = self.metric == "euclidean" or is_unit(vectors)
        cells = Cells.fit(vectors, n_cells, self._compared, per_cell=self.train_per_cell, seed=self.seed)
        parts = parts_of(self.codebooks, self.code_bytes, self.dim)
        means = cell_means(vectors, cells)
        residuals = sampled_residuals(vectors, cells, means, _RESIDUALS, self.seed)
        rotations = Rotations.fit(vectors, cells, means, parts=parts, shrinkage=self.shrinkage, residuals=residuals)
        words: Words = CODEBOOKS[self.codebooks].fit(
            vectors, cells, rotations, residuals, parts, self.seed, self._compared
        )
        codes = []
        for part in encoded(vectors, cells, rotations, words):
            codes.append(part)
            progress(len(part))
        self._cells, self._rotations, self._words = cells, rotations, words
        self._codes = np.concatenate(codes)
        self._scanner = words.scanner(self._codes, cells)

    def _find(self, queries: Floats, k: int) -> TopK:
        candidates = self._by_codes(queries, min(self._count, max(k, self.refine)))
        return self._exact_scores(queries, candidates, k) if self.refine else self._scored(queries, candidates)

    def _by_codes(self, queries: Floats, k: int) -> TopK:
        """The k best items of the nearest cells as their codes tell it. Shape [B, k]."""
        assert self.nprobe is not None
        if self._compared != self.metric:
            queries = unit(queries)
        probed = self.partition.probed(queries, self.nprobe)
        cells, rows = probed.reshape(-1), np.repeat(np.arange(len(queries)), probed.shape[1])
        rotated = self._rotations.of_pairs(self._origins(queries[rows], cells), cells)
        questions = self._words.questions(rotated, cells)

        def scan(pairs: Ids, k: int) -> TopK:
            return self._scanner.best(questions[pairs], cells[pairs], k)

        largest = int(self.partition.members.lengths.max())
        return best_of_cells(scan, self._scores_of_means(queries, probed), k, largest)

    def _scored(self, queries: Floats, candidates: TopK) -> TopK:
        """What codes tell of inner products, or negated squared distances, as scores of the metric."""
        if not self.distances:
            return candidates
        squares = np.maximum(-candidates.scores, 0)
        if self.metric == "euclidean":
            scores = -np.sqrt(squares)
        else:  # |q - x|² = 2 - 2 q·x for unit vectors
            scores = np.linalg.norm(queries, axis=1, keepdims=True) * (1 - squares / 2)
        return TopK(candidates.items, np.where(candidates.items == NO_ITEM, -np.inf, scores).astype(np.float32))

    @property
    def _compared(self) -> Metric:
        """How codes are compared."""
        return "euclidean" if self.distances else self.metric

    def _origins(self, queries: Floats, cells: Ids) -> Floats:
        """Queries as they stand to their cells: distances are counted from the mean, inner products from 0. [P, D]."""
        return queries - self._rotations.means[cells] if self.distances else queries

    def _scores_of_means(self, queries: Floats, probed: Ids) -> Floats:
        """What all items of a cell have in common. Shape [B, P]."""
        if self.distances:
            return np.zeros(probed.shape, np.float32)
        return pair_scores_of(queries, probed, self._rotations.means, self.metric)

    def _kept(self, vectors: Floats) -> Array | None:
        return vectors if self.refine else None

    def _cells_per_query(self, k: int) -> int:
        assert self.nprobe is not None
        return 32 * self.code_bytes * self.nprobe + 4 * self.dim * self.nprobe + 8 * max(k, self.refine)

    def _write(self, directory: Path) -> None:
        self.partition.save(directory)
        self._rotations.save(directory)
        self._words.save(directory)
        np.save(directory / _FILE, self._codes)

    def _read(self, directory: Path, memory_map: bool) -> None:
        self._cells = Cells.load(directory, self._compared, memory_map=memory_map)
        self._rotations = Rotations.load(directory, memory_map=memory_map)
        self._words = CODEBOOKS[self.codebooks].load(directory, self._compared, memory_map=memory_map)
        self._codes = np.load(directory / _FILE, mmap_mode="r" if memory_map else None, allow_pickle=False)
        self._scanner = self._words.scanner(self._codes, self._cells)
