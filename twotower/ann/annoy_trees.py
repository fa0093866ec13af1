"""`AnnoyIndex`: a forest of random projection trees by Annoy; small queries, little code, memory-mapped as it is."""

from pathlib import Path
from typing import ClassVar

import annoy
import numpy as np

from twotower.ann.base import IndexBase, Progress
from twotower.errors import BundleError
from twotower.types import NO_ITEM, Array, Floats, TopK

_FILE = "trees.annoy"
_HEARD = 10_000


class AnnoyIndex(IndexBase):
    """Random projection trees; what they find is scored exactly with the kept vectors.

    Inner products are reduced to angles with one more dimension (Bachrach et al. 2014): every item gets the
    coordinate that makes all lengths equal, every query a zero there. Where lengths are similar, as those of towers
    are, this finds more than Annoy's own `dot`; where a few items are many times longer than the rest it finds far
    less, since the others then differ in little but the new coordinate: take another index for such vectors.

    Saving moves the trees into the file that was written: no other thread may search meanwhile.
    """

    native: ClassVar[bool] = True
    search_options: ClassVar[tuple[str, ...]] = ("search_k",)

    def __init__(
        self, *, metric: str = "inner_product", n_trees: int = 50, search_k: int | None = None, seed: int = 0
    ) -> None:
        """Makes an empty index.

        Args:
            metric: inner_product, cosine or euclidean.
            n_trees: more trees find more, and cost memory and building time.
            search_k: nodes looked into per query; None: k·n_trees.
            seed: of the trees; the same seed gives the same index.

        Raises:
            BadConfig: the metric is unknown.
        """
        super().__init__(metric=metric)
        self.n_trees = n_trees
        self.search_k = search_k
        self.seed = seed
        self._trees: annoy.AnnoyIndex | None = None

    def effort_range(self) -> tuple[int, int]:
        """A hundred nodes to all items in all trees."""
        return 100, self._count * self.n_trees

    def _fit(self, vectors: Floats, progress: Progress) -> None:
        extra = self._levelling(vectors)
        self._trees = self._new()
        self._trees.set_seed(self.seed + 1)
        for item in range(len(vectors)):
            row = vectors[item].tolist()
            self._trees.add_item(item, row if extra is None else [*row, float(extra[item])])
            if (item + 1) % _HEARD == 0:
                progress(_HEARD)
        progress(len(vectors) % _HEARD)
        self._trees.build(self.n_trees, n_jobs=1)

    def _find(self, queries: Floats, k: int) -> TopK:
        assert self._trees is not None
        search_k = -1 if self.search_k is None else self.search_k
        items = np.full((len(queries), k), NO_ITEM)
        level = [] if self.metric != "inner_product" else [0.0]
        for row, query in enumerate(queries):
            nearest = self._trees.get_nns_by_vector(query.tolist() + level, k, search_k)
            items[row, : len(nearest)] = nearest
        return self._exact_scores(queries, TopK(items, np.zeros(items.shape, np.float32)), k)

    def _levelling(self, vectors: Floats) -> Array | None:
        """The coordinate that makes all lengths equal; None where the metric needs none. Shape [N]."""
        if self.metric != "inner_product":
            return None
        squares = np.einsum("nd,nd->n", vectors, vectors)
        return np.asarray(np.sqrt(np.maximum(squares.max() - squares, 0)))

    def _new(self) -> annoy.AnnoyIndex:
        dim = self.dim + (self.metric == "inner_product")
        return annoy.AnnoyIndex(dim, "euclidean" if self.metric == "euclidean" else "angular")

    def _write(self, directory: Path) -> None:
        assert self._trees is not None
        self._trees.save(str(directory / _FILE))

    def _read(self, directory: Path, memory_map: bool) -> None:
        self._trees = self._new()
        self._trees.load(str(directory / _FILE), prefault=not memory_map)
        if self._trees.get_n_items() != self._count:
            raise BundleError(f"{directory / _FILE} holds {self._trees.get_n_items()} items, saved were {self._count}")
