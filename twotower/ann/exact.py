"""`ExactIndex`: every vector is compared; the ground_truth of all other indexes, and right for small catalogues."""

from pathlib import Path

import numpy as np

from twotower.ann.base import IndexBase, Progress
from twotower.ann.scan import scan
from twotower.types import Floats, TopK


class ExactIndex(IndexBase):
    """Brute-force search by blocked matrix products; ties by item id, equal answers for every batch size.

    Cost: N·D multiplications a query; no memory beside the vectors, which are the caller's own.
    """

    exact = True

    def __init__(self, *, metric: str = "inner_product") -> None:
        """Makes an empty index.

        Args:
            metric: inner_product, cosine or euclidean (scored as the negated distance).

        Raises:
            BadConfig: the metric is unknown.
        """
        super().__init__(metric=metric)

    def _fit(self, vectors: Floats, progress: Progress) -> None:
        progress(len(vectors))

    def _find(self, queries: Floats, k: int) -> TopK:
        return scan(queries, np.asarray(self._vectors), k, self.metric)

    def _write(self, directory: Path) -> None:
        pass

    def _read(self, directory: Path, memory_map: bool) -> None:
        pass
