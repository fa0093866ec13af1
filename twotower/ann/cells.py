"""`Cells`: a catalogue cut into k-means cells, and which cells a query should look into."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import faiss
import numpy as np

from twotower.ann.faiss_products import nearest
from twotower.errors import BadInput
from twotower.protocols import Metric
from twotower.types import Array, Floats, Ids, Ragged

_FILES = {"centroids": "centroids.npy", "members": "members.npy", "offsets": "offsets.npy"}
_ASSIGNED = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Centroids and the items of each cell.

    Attributes:
        centroids: unit length where the metric is an inner product, since the items' lengths do not help to find a
            cell. Shape [C, D].
        members: item ids by cell, rising within a cell. C rows.
        metric: how queries and centroids are compared.
    """

    centroids: Floats
    members: Ragged
    metric: Metric

    @classmethod
    def fit(cls, vectors: Floats, n_cells: int, metric: Metric, *, per_cell: int, seed: int) -> Self:
        """k-means on a sample, then every vector joins its nearest centroid.

        Args:
            vectors: what to cut up. Shape [N, D].
            n_cells: wanted cells, at most N.
            metric: inner products use spherical k-means.
            per_cell: sampled vectors per cell.
            seed: of the sample and of the first centroids; the same seed gives the same cells.
        """
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            n_cells,
            niter=10,
            seed=seed + 1,
            spherical=metric != "euclidean",
            min_points_per_centroid=1,
            max_points_per_centroid=per_cell,
        )
        kmeans.train(sample(vectors, n_cells * per_cell, seed))
        owner = _nearest_cells(vectors, kmeans.centroids, metric)
        members = np.argsort(owner, kind="stable")
        return cls(kmeans.centroids, Ragged.from_lengths(members, np.bincount(owner, minlength=n_cells)), metric)

    def __len__(self) -> int:
        return len(self.centroids)

    def owners(self) -> Ids:
        """The cell of every item. Shape [N]."""
        owners = np.empty(len(self.members.values), np.int64)
        owners[self.members.values] = self.members.row_ids()
        return owners

    def probed(self, queries: Floats, nprobe: int) -> Ids:
        """The cells nearest to each query, nearest first. Shape [B, min(nprobe, C)]."""
        return nearest(queries, self.centroids, min(nprobe, len(self)), self.metric).items

    def candidates(self, queries: Floats, nprobe: int) -> Ragged:
        """The items of the nearest cells of each query. B rows."""
        probed = self.probed(queries, nprobe)
        items, lengths = self.members.positions(probed.reshape(-1))
        return Ragged.from_lengths(self.members.values[items], lengths.reshape(probed.shape).sum(axis=1))

    def save(self, directory: Path) -> None:
        """Writes three files."""
        arrays: dict[str, Array] = {
            "centroids": self.centroids,
            "members": self.members.values.astype(np.int32),
            "offsets": self.members.offsets,
        }
        for name, array in arrays.items():
            np.save(directory / _FILES[name], array)

    @classmethod
    def load(cls, directory: Path, metric: Metric, *, memory_map: bool) -> Self:
        """Opens what `save` wrote; the members stay on the disk if memory-mapped.

        Raises:
            BadInput: members are no rows of the vectors.
        """
        path = directory / _FILES["members"]
        members = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
        centroids, offsets = (
            np.load(directory / _FILES[name], allow_pickle=False) for name in ("centroids", "offsets")
        )  # fmt: skip
        if len(members) and not 0 <= members.min() <= members.max() < len(members):
            raise BadInput(f"{path} names vectors that are not there; build the index again")
        return cls(centroids, Ragged(members, offsets), metric)


def sample(vectors: Floats, n: int, seed: int) -> Floats:
    """At most n of the vectors, drawn without replacement, in their order. Shape [min(n, N), D]."""
    if n >= len(vectors):
        return np.ascontiguousarray(vectors)
    drawn = np.random.default_rng(seed).choice(len(vectors), n, replace=False)
    return np.ascontiguousarray(vectors[np.sort(drawn)])


def cells_for(count: int, *, least_per_cell: int = 39) -> int:
    """How many cells suit a catalogue: the power of two nearest to 4·√N, with some `least_per_cell` items in each."""
    power_of_two = 2 ** round(np.log2(4 * np.sqrt(count)))
    return int(max(1, min(power_of_two, count // least_per_cell)))


def _nearest_cells(vectors: Floats, centroids: Floats, metric: Metric) -> Ids:
    owner = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), _ASSIGNED):
        block = np.ascontiguousarray(vectors[start : start + _ASSIGNED])
        owner[start : start + len(block)] = nearest(block, centroids, 1, metric).items[:, 0]
    return owner
