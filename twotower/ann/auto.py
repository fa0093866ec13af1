"""`AutoIndex`: the index that won on the measured frontier for a catalogue's size (docs/indexes.md)."""

from pathlib import Path
from typing import NoReturn

from twotower.ann.base import IndexBase, Progress
from twotower.ann.exact import ExactIndex
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.vectors import checked_metric
from twotower.errors import BadConfig, NotFitted
from twotower.types import Floats, TopK


class AutoIndex:
    """Makes an `ExactIndex` for small catalogues and a `FaissIndex` for large ones; what `build` returns is that index.

    Exact search loses nothing and answers one query over 100,000 vectors of 64 dimensions in less than a millisecond.
    """

    def __init__(self, *, metric: str = "inner_product", exact_up_to: int = 100_000, seed: int = 0) -> None:
        """Makes a choice to be carried out by `build`.

        Args:
            metric: inner_product, cosine or euclidean.
            exact_up_to: the largest catalogue that is searched exactly.
            seed: of the approximate index.

        Raises:
            BadConfig: the metric is unknown.
        """
        self.metric = checked_metric(metric)
        self.exact_up_to = exact_up_to
        self.seed = seed

    def chosen(self, count: int) -> IndexBase:
        """The empty index that suits a catalogue of `count` items."""
        if count <= self.exact_up_to:
            return ExactIndex(metric=self.metric)
        return FaissIndex(metric=self.metric, seed=self.seed)

    def build(self, vectors: Floats, *, progress: Progress | None = None) -> IndexBase:
        """The chosen index, built. Shape [N, D]."""
        return self.chosen(len(vectors)).build(vectors, progress=progress)

    def search(self, vectors: Floats, k: int) -> TopK:
        """Always refused: `build` returns the index to search.

        Raises:
            NotFitted: always.
        """
        raise NotFitted("AutoIndex: call build or load first; build returns the index to search")

    @classmethod
    def load(cls, directory: Path) -> NoReturn:
        """Always refused: what was saved is the chosen index.

        Raises:
            BadConfig: always.
        """
        raise BadConfig(f"{directory}: load it with the class that AutoIndex chose; the run's manifest names it")
