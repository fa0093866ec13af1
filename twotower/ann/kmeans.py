"""`KMeansIndex`: k-means cells; the nearest cells of a query are compared exactly."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from twotower.ann.base import IndexBase, Progress
from twotower.ann.cells import Cells, cells_for
from twotower.ann.faiss_products import pair_scores_of
from twotower.topk import best_of
from twotower.types import Floats, TopK


class KMeansIndex(IndexBase):
    """Looks into the `nprobe` cells nearest to the query and compares their items exactly.

    Cost: C·D + nprobe·N/C·D multiplications a query; 4 bytes an item beside the vectors, which are the caller's own.
    """

    search_options: ClassVar[tuple[str, ...]] = ("nprobe",)

    def __init__(
        self,
        *,
        metric: str = "inner_product",
        cells: int | None = None,
        nprobe: int | None = None,
        train_per_cell: int = 64,
        seed: int = 0,
    ) -> None:
        """Makes an empty index.

        Args:
            metric: inner_product, cosine or euclidean.
            cells: number of cells; None: about 4·√N.
            nprobe: cells looked into; None: a sixteenth of them, at least 16.
            train_per_cell: sampled vectors per cell for k-means.
            seed: of sampling and k-means; the same seed gives the same index.

        Raises:
            BadConfig: the metric is unknown.
        """
        super().__init__(metric=metric)
        self.cells = cells
        self.nprobe = nprobe
        self.train_per_cell = train_per_cell
        self.seed = seed
        self._cells: Cells | None = None

    @property
    def partition(self) -> Cells:
        """The cells themselves."""
        assert self._cells is not None
        return self._cells

    def effort_range(self) -> tuple[int, int]:
        """One cell to all of them."""
        return 1, len(self.partition)

    def _fit(self, vectors: Floats, progress: Progress) -> None:
        n_cells = min(self.cells or cells_for(len(vectors), least_per_cell=8), len(vectors))
        self._cells = Cells.fit(vectors, n_cells, self.metric, per_cell=self.train_per_cell, seed=self.seed)
        self.cells = n_cells
        self.nprobe = self.nprobe or min(n_cells, max(16, n_cells // 16))
        progress(len(vectors))

    def _find(self, queries: Floats, k: int) -> TopK:
        assert self.nprobe is not None
        candidates = self.partition.candidates(queries, self.nprobe)
        items = candidates.padded(max(1, int(candidates.lengths.max(initial=0)))).astype(np.int64)
        scores = pair_scores_of(queries, items, np.asarray(self._vectors), self.metric)
        return best_of(items, scores, k)

    def _cells_per_query(self, k: int) -> int:
        nprobe = self.nprobe or 1
        return max(k, 2 * nprobe * self._count // max(1, len(self.partition)))

    def _write(self, directory: Path) -> None:
        self.partition.save(directory)

    def _read(self, directory: Path, memory_map: bool) -> None:
        self._cells = Cells.load(directory, self.metric, memory_map=memory_map)
