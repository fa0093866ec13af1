"""`IndexBase`: what every index shares: checks, metrics, added and removed items, saving; a backend adds the search."""

import copy
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from twotower.ann.changes import Changes, find_remaining, with_added
from twotower.ann.faiss_products import pair_scores_of
from twotower.ann.files import check_files, checked_shared, read_facts, write_facts
from twotower.ann.vectors import checked_catalogue, checked_metric, checked_queries, is_unit, same_rows, unit, unit_rows
from twotower.errors import BadConfig, BadInput, NotFitted
from twotower.protocols import Metric
from twotower.topk import rescore
from twotower.types import Array, Bools, Floats, Ids, TopK

VECTORS = "vectors.npy"
_BLOCK_CELLS = 1 << 22
Progress = Callable[[int], None]
"""Hears how many vectors were taken in since it last heard."""


class IndexBase(ABC):
    """An index over vectors: build, search, change, save, load.

    Threads: any number may search one index, also while another thread calls `add`, `remove` or `update`: a search
    sees the index as it was before or after such a call. Cosine is inner product of unit vectors inside.

    A backend gives `_fit`, `_find`, `_write` and `_read`; its constructor keeps each argument under its own name.
    """

    exact = False
    native: ClassVar[bool] = False
    """Whether files are read by a native library, which a damaged file may crash."""
    search_options: ClassVar[tuple[str, ...]] = ()
    """Options that hold for searching alone, so that `with_options` can change them."""

    def __init__(self, *, metric: str) -> None:
        self.metric: Metric = checked_metric(metric)
        self.dim = 0
        self._count = 0
        self._vectors: Array | None = None
        self._changes = Changes.none(0, 0)
        self._writing = threading.Lock()

    def __len__(self) -> int:
        """Items that can be found."""
        return self._changes.capacity - self._changes.n_dead

    @property
    def alive(self) -> Bools | None:
        """Which ids can be found, None if all of 0..len-1. Shape [capacity]."""
        return self._changes.alive

    @property
    def changed(self) -> int:
        """Items added, updated or removed since the index was built; at some percent of its size, build it again."""
        return len(self._changes.items) + self._changes.n_dead

    @property
    def needs_vectors(self) -> bool:
        """Whether searching needs vectors beside the backend's own files."""
        return self._vectors is not None

    def build(self, vectors: Floats, *, progress: Progress | None = None) -> Self:
        """Takes all vectors in; row i is item i. Where they are needed later they are kept, not copied. Shape [N, D].

        Raises:
            BadInput: no vectors, wrong dtype or shape, or a value is not finite.
        """
        vectors = self._comparable(checked_catalogue(vectors))
        self._count, self.dim = vectors.shape
        self._changes = Changes.none(self._count, self.dim)
        self._vectors = self._kept(vectors)
        self._fit(vectors, progress or (lambda _: None))
        return self

    def search(self, vectors: Floats, k: int) -> TopK:
        """The k best items of each query vector.

        Args:
            vectors: query vectors. Shape [B, D].
            k: wanted items; rows are padded where fewer are found.

        Returns:
            `TopK` [B, k].

        Raises:
            NotFitted: nothing was built or loaded.
            BadInput: wrong shape, a value is not finite, or k < 1.
        """
        if not self._count:
            raise NotFitted(f"{type(self).__name__}: call build or load first")
        if k < 1:
            raise BadInput(f"k must be at least 1, got {k}")
        queries = checked_queries(vectors, self.dim)
        if self.metric == "cosine":
            queries = unit(queries)
        changes = self._changes
        size = max(1, _BLOCK_CELLS // self._cells_per_query(min(k, self._count)))
        blocks = [self._search_block(queries[i : i + size], k, changes) for i in range(0, len(queries), size)]
        return TopK.concatenate(blocks) if blocks else TopK.nothing(0, k)

    def add(self, vectors: Floats) -> Ids:
        """Makes new items searchable at once; they are compared exactly, beside what was built.

        Args:
            vectors: their vectors. Shape [M, D].

        Returns:
            Their ids, which no item had before. Shape [M].
        """
        fresh = self._new_vectors(vectors)
        with self._writing:
            first = self._changes.capacity
            self._changes = self._changes.added(fresh)
        return np.arange(first, first + len(fresh))

    def remove(self, items: Ids) -> None:
        """Takes items out for ever: no search finds them, no later item gets their id.

        Raises:
            BadInput: an id is unknown, already removed, or named twice.
        """
        with self._writing:
            self._changes = self._changes.removed(self._changes.checked(items))

    def update(self, items: Ids, vectors: Floats) -> None:
        """Gives items [M] other vectors [M, D], compared exactly, beside what was built.

        Raises:
            BadInput: as `remove`, or not one vector for each item.
        """
        fresh = self._new_vectors(vectors)
        if len(fresh) != len(items):
            raise BadInput(f"update: {len(items)} items but {len(fresh)} vectors; give one vector for each item")
        with self._writing:
            self._changes = self._changes.updated(self._changes.checked(items), fresh)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments, as they are now."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def with_options(self, **options: Any) -> Self:
        """The same index, searched with other `search_options`; both share all memory and can be used side by side.

        Raises:
            BadConfig: an option that needs building again.
        """
        for name in options:
            if name not in self.search_options:
                raise BadConfig(
                    f"{type(self).__name__}: {name!r} cannot be changed after building, "
                    f"only {', '.join(self.search_options) or 'nothing'}"
                )
        other = copy.copy(self)
        for name, value in options.items():
            setattr(other, name, value)
        return other

    @property
    def effort(self) -> str | None:
        """The one of `search_options` that trades time for recall; None if there is none."""
        return self.search_options[0] if self.search_options else None

    def effort_range(self) -> tuple[int, int]:
        """Least and greatest sensible value of `effort`, for this built index."""
        raise BadConfig(f"{type(self).__name__} has no option that trades time for recall")

    def refinements(self) -> Sequence[dict[str, Any]]:
        """Options of searching, each finer than the one before, to be tried where effort alone finds too little."""
        return [{}]

    def save(self, directory: Path, *, shared: Floats | None = None) -> None:
        """Writes everything that `load` needs into an existing directory.

        Args:
            directory: where to.
            shared: vectors that the caller keeps and will give to `load`; if they are the ones that searching needs,
                they are not written again. Shape [N, D].
        """
        self._write(directory)
        vectors = self._vectors
        borrowed = vectors is not None and shared is not None and same_rows(vectors, shared)
        if vectors is not None and not borrowed:
            np.save(directory / VECTORS, vectors)
        self._changes.save(directory)
        facts = {"count": self._count, "dim": self.dim, "needs_vectors": self.needs_vectors}
        write_facts(directory, type(self), {"options": self.options(), **facts}, vectors if borrowed else None)

    @classmethod
    def load(
        cls, directory: Path, *, shared: Floats | None = None, memory_map: bool = True, check: bool = True
    ) -> Self:
        """Opens what `save` wrote, after comparing every file with its digest.

        Args:
            directory: where it lies.
            shared: the vectors that `save` did not write because the caller keeps them. Shape [N, D].
            memory_map: read files when first needed and share their pages with other processes, where the backend can.
            check: compare digests; a caller that has just done so passes False.

        Raises:
            BundleError: a file is missing or damaged; no native loader has seen it then.
            IndexMismatch: another class saved it, or the vectors are not those that the index was built from.
        """
        facts = read_facts(directory, cls)
        if check:
            check_files(directory, facts)
        index = cls(**facts["options"])
        index._count, index.dim = int(facts["count"]), int(facts["dim"])
        index._changes = Changes.load(directory)
        if facts["needs_vectors"]:
            if VECTORS in facts["files"]:
                index._vectors = np.load(directory / VECTORS, mmap_mode="r" if memory_map else None, allow_pickle=False)
            else:
                index._vectors = checked_shared(directory, facts, shared, by_digest=check)
        index._read(directory, memory_map)
        return index

    @abstractmethod
    def _fit(self, vectors: Floats, progress: Progress) -> None:
        """Builds over vectors that are checked and comparable; tells `progress` of every one. Shape [N, D]."""

    @abstractmethod
    def _find(self, queries: Floats, k: int) -> TopK:
        """The k <= N best built items, ties by id, padded where fewer are reached. Shape [B, k]."""

    @abstractmethod
    def _write(self, directory: Path) -> None:
        """Writes the backend's own files."""

    @abstractmethod
    def _read(self, directory: Path, memory_map: bool) -> None:
        """Opens the backend's own files; options, `_count`, `dim` and kept vectors are already there."""

    def _cells_per_query(self, k: int) -> int:
        """Numbers held at once for one query, which bounds how many queries are answered together."""
        return k

    def _kept(self, vectors: Floats) -> Array | None:
        """What searching needs of the vectors: themselves, a narrower copy, or nothing."""
        return vectors

    def _exact_scores(self, queries: Floats, candidates: TopK, k: int) -> TopK:
        """The k best of the found items by the kept vectors."""
        assert self._vectors is not None
        return rescore(candidates, pair_scores_of(queries, candidates.items, self._vectors, self.metric), k)

    def _search_block(self, queries: Floats, k: int, changes: Changes) -> TopK:
        if not changes.any:
            return self._find(queries, min(k, self._count)).padded(k)
        remaining = find_remaining(self._find, queries, k, changes.gone[: self._count])
        return with_added(remaining, queries, changes, self.metric)

    def _comparable(self, vectors: Floats) -> Floats:
        return vectors if self.metric != "cosine" or is_unit(vectors) else unit_rows(vectors)

    def _new_vectors(self, vectors: Floats) -> Floats:
        if not self._count:
            raise NotFitted(f"{type(self).__name__}: call build or load first")
        fresh = checked_catalogue(np.asarray(vectors, np.float32))
        if fresh.shape[1] != self.dim:
            raise BadInput(f"new vectors must have shape [M, {self.dim}], got {fresh.shape}")
        return self._comparable(fresh)
