"""`FaissIndex`: any faiss index by its factory string, with candidates compared exactly where codes are coarse."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from twotower.ann.base import IndexBase, Progress
from twotower.ann.cells import cells_for, sample
from twotower.ann.changes import Changes
from twotower.ann.disk_lists import read_native, save_disk_lists, write_native
from twotower.ann.faiss_products import FAISS_METRICS, higher_is_better
from twotower.errors import BadConfig, BadInput, BundleError
from twotower.topk import rescore
from twotower.types import Array, Floats, TopK

_FILE = "index.faiss"
ADDED = 1 << 16
"""Vectors added at once; shards of a multiple of it hold the same bits as an index in one piece."""
_LEAST_REFINED = 200
_LEAST_TRAINED = 2048
_STORES = ("float32", "float16")


class FaissIndex(IndexBase):
    """A faiss index; `k_factor` candidates per wanted item are compared again with the vectors themselves.

    The default is the one that won on the measured frontier of large catalogues (docs/indexes.md): inverted lists of
    4-bit codes with one code per dimension, scanned in registers, then compared exactly. Its codes cost D/2 + 11
    bytes an item; the vectors are the caller's own and cost nothing more, unless `store` narrows them.

    The same seed gives the same bytes for any number of threads; with a rotation (OPQ, PCA) one is used for that.
    """

    native: ClassVar[bool] = True
    search_options: ClassVar[tuple[str, ...]] = ("nprobe", "ef_search", "k_factor")

    def __init__(
        self,
        *,
        metric: str = "inner_product",
        factory: str = "IVF{cells},PQ{dim}x4fsr",
        cells: int | None = None,
        nprobe: int | None = None,
        ef_search: int = 64,
        k_factor: int = 3,
        store: str = "float32",
        train_per_cell: int = 40,
        seed: int = 0,
    ) -> None:
        """Makes an empty index.

        Args:
            metric: inner_product, cosine or euclidean.
            factory: faiss's factory string; `{cells}` and `{dim}` are filled in, e.g. `Flat`, `IVF{cells},SQfp16`,
                `OPQ16,IVF{cells},PQ16x4fs`, `HNSW32`. Say `k_factor` instead of `,RFlat`.
            cells: inverted lists; None: about 4·√N.
            nprobe: inverted lists looked into; None: a twentieth of them, at least 16.
            ef_search: breadth of the search, for HNSW.
            k_factor: candidates per wanted item that are compared exactly, at least 200 in all; 0 believes the codes.
            store: what they are compared with: the vectors (float32) or a copy of half the size (float16).
            train_per_cell: sampled vectors per inverted list for k-means.
            seed: of sampling and k-means.

        Raises:
            BadConfig: an option is unknown or out of range.
        """
        super().__init__(metric=metric)
        if store not in _STORES:
            raise BadConfig(f"store {store!r}: choose one of {', '.join(_STORES)}")
        if k_factor < 0:
            raise BadConfig(f"k_factor must be at least 0, got {k_factor}")
        if "Refine" in factory or "RFlat" in factory:
            raise BadConfig(f"factory {factory!r}: leave the refinement out and say k_factor, which reuses the vectors")
        self.factory = factory
        self.cells = cells
        self.nprobe = nprobe
        self.ef_search = ef_search
        self.k_factor = k_factor
        self.store = store
        self.train_per_cell = train_per_cell
        self.seed = seed
        self._index: Any = None

    @property
    def effort(self) -> str | None:
        """`nprobe` for inverted lists, `ef_search` for graphs."""
        if faiss.try_extract_index_ivf(self._index) is not None:
            return "nprobe"
        return "ef_search" if "HNSW" in self.factory else None

    def effort_range(self) -> tuple[int, int]:
        """One inverted list to all of them, or 16 to 2,048 nodes."""
        return (1, int(self.cells or 1)) if self.effort == "nprobe" else (16, 2048)

    def refinements(self) -> Sequence[dict[str, Any]]:
        """More and more candidates that are compared exactly."""
        return [{"k_factor": factor * self.k_factor} for factor in ((1, 2, 4, 8) if self.k_factor else (1,))]

    def with_options(self, **options: Any) -> "FaissIndex":
        """As of every index; `k_factor` can be raised above 0 only where the vectors were kept."""
        if options.get("k_factor") and self._vectors is None:
            raise BadConfig("k_factor: this index was built with k_factor=0 and kept no vectors; build it again")
        return super().with_options(**options)

    def train(self, vectors: Floats) -> Any:
        """Cells and codes learnt from a sample, with nothing in them yet: a faiss index to be filled. Shape [N, D].

        Shards that are filled from one trained index can be merged (`twotower/ann/shards.py`).
        """
        self.dim = vectors.shape[1]
        native = self._sized(len(vectors))._empty()
        with threadpool_limits(_threads_for(native), user_api="openmp"), _naming(self.factory, len(vectors)):
            native.train(sample(vectors, max(self.cells or 1, _LEAST_TRAINED) * self.train_per_cell, self.seed))
        return native

    def over(self, native: Any, vectors: Floats) -> "FaissIndex":
        """Takes a faiss index in which all of the vectors [N, D] are already, instead of building one.

        Raises:
            BadInput: it holds others, by their number or dimensions.
        """
        if (native.ntotal, native.d) != vectors.shape:
            raise BadInput(f"the faiss index holds {(native.ntotal, native.d)} vectors, given are {vectors.shape}")
        self._index = native
        self._sized(len(vectors))
        self._count, self.dim = vectors.shape
        self._changes = Changes.none(self._count, self.dim)
        self._vectors = self._kept(vectors)
        return self

    def _sized(self, count: int) -> "FaissIndex":
        """Cells and effort that suit so many vectors, where the options leave them open."""
        self.cells = min(self.cells or cells_for(count), count)
        self.nprobe = self.nprobe or min(self.cells, max(16, self.cells // 20))
        return self

    def _fit(self, vectors: Floats, progress: Progress) -> None:
        self._index = self.train(vectors)
        add_in_blocks(self._index, vectors, slice(0, len(vectors)), progress)

    def _find(self, queries: Floats, k: int) -> TopK:
        fetch = min(self._count, max(k * self.k_factor, _LEAST_REFINED) if self.k_factor else k)
        raw, items = self._index.search(queries, fetch, params=self._parameters())
        candidates = TopK(items, higher_is_better(raw, self.metric))
        return (
            self._exact_scores(queries, candidates, k) if self.k_factor else rescore(candidates, candidates.scores, k)
        )

    def _kept(self, vectors: Floats) -> Array | None:
        if not self.k_factor:
            return None
        return vectors if self.store == "float32" else vectors.astype(np.float16)

    def _cells_per_query(self, k: int) -> int:
        return max(k * self.k_factor, _LEAST_REFINED)

    def _empty(self) -> Any:
        factory = self.factory.format(cells=self.cells, dim=self.dim)
        try:
            index = faiss.index_factory(self.dim, factory, FAISS_METRICS[self.metric])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BadConfig(
                f"factory {factory!r} is not one that faiss knows for {self.dim} dimensions: {reason}"
            ) from error
        ivf = faiss.try_extract_index_ivf(index)
        if ivf is not None:
            ivf.cp.seed = self.seed + 1
            ivf.cp.niter = 10
            ivf.cp.min_points_per_centroid = 1
            ivf.cp.max_points_per_centroid = self.train_per_cell
        return index

    def _parameters(self) -> Any:
        """Parameters of one call: nothing of the shared index is changed, so that threads do not meet."""
        if self.effort == "nprobe":
            inner = faiss.SearchParametersIVF(nprobe=self.nprobe)
        elif self.effort == "ef_search":
            inner = faiss.SearchParametersHNSW(efSearch=self.ef_search)
        else:
            return None
        if isinstance(faiss.downcast_index(self._index), faiss.IndexPreTransform):
            return faiss.SearchParametersPreTransform(index_params=inner)
        return inner

    def _write(self, directory: Path) -> None:
        write_native(self._index, directory / _FILE)
        save_disk_lists(self._index, directory)

    def _read(self, directory: Path, memory_map: bool) -> None:
        self._index = read_native(directory / _FILE, memory_map=memory_map)
        held, saved = (self._index.ntotal, self._index.d), (self._count, self.dim)
        if held != saved:
            raise BundleError(f"{directory / _FILE} holds vectors of shape {held}, saved were {saved}; build it again")


def add_in_blocks(native: Any, vectors: Floats, rows: slice, progress: Progress = lambda _: None) -> None:
    """Adds rows of a catalogue [N, D] to a trained faiss index, without copying more of a memory map than a block.

    Ids are row numbers. Indexes without lists number by themselves, so that all their rows must come from 0 on.
    """
    with threadpool_limits(_threads_for(native), user_api="openmp"):
        for start in range(rows.start, rows.stop, ADDED):
            block = np.ascontiguousarray(vectors[start : min(rows.stop, start + ADDED)])
            if rows.start:
                native.add_with_ids(block, np.arange(start, start + len(block)))
            else:
                native.add(block)
            progress(len(block))


def _threads_for(index: Any) -> int | None:
    """One for rotations, whose matrix products add up in another order on several; None leaves the number alone."""
    return 1 if isinstance(faiss.downcast_index(index), faiss.IndexPreTransform) else None


@contextmanager
def _naming(factory: str, count: int) -> Iterator[None]:
    """Says faiss's complaints about too few vectors in our words."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise BadInput(f"{count} vectors cannot train {factory!r}: {reason}; take index=exact") from error
