"""`KernelParts`: a catalogue as kernels compare it: codes, unit vectors of sets, numbers, places, exposure."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from twotower.models.second_stage.columns import ItemColumns, with_nan, without_nan
from twotower.models.second_stage.exposure import Exposure
from twotower.models.second_stage.moment import Asked, Moment
from twotower.models.second_stage.tastes import share_of_code
from twotower.types import Array, Bools, Floats, Ids, Ragged

SCARCE = 0.02
"""Added to shares before their logarithm: a value never touched is not out of the question."""
EARTH, NEAR = 6371.0, 50.0
"""Kilometres of the earth's radius, and beyond which another kilometre counts ever less."""
MEDIAN_STEPS = 5
SAMPLE = 20_000
"""Items over which sums over the catalogue are taken: all of a small one, since the like of an event may be few."""
SET_DIM = 64
"""Length of the vectors that stand for columns of several values."""


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Some items as a kernel sees them.

    Attributes:
        codes: of C categorical columns, -1 where missing. Shape [n, C].
        sets: unit vectors of M columns of several values, 0 without any. Shape [n, M, d].
        numbers: NaN where missing. Shape [n, G].
        places: on the unit sphere, NaN where missing; no columns where there are none. Shape [n, 3] or [n, 0].
        exposure: log of the users who will touch it soon, as forecast. Shape [n].
    """

    codes: Ids
    sets: Floats
    numbers: Floats
    places: Floats
    exposure: Floats


@dataclass(frozen=True, slots=True, eq=False)
class KernelParts(Looked):
    """The same for a whole catalogue as of a moment. N items.

    Attributes:
        sample: items over which kernels are normalised. Shape [S].
        there: how many items can be had. Shape [1].
    """

    sample: Ids
    there: Ids

    @classmethod
    def of(cls, moment: Moment, exposure: Exposure | None, available: Bools | None = None) -> Self:
        """Reads the catalogue and the events of a moment; without a forecast all items are exposed alike."""
        columns, n = ItemColumns.of(moment.catalogue), moment.dataset.n_items
        codes = np.stack(list(columns.codes.values()), axis=1) if columns.codes else np.zeros((n, 0))
        sets, numbers = [unit_sets(rows) for rows in columns.sets.values()], list(columns.numbers.values())
        there = np.arange(n) if available is None or not available.any() else np.flatnonzero(available)
        drawn = np.random.default_rng(0).choice(there, min(SAMPLE, len(there)), replace=False)
        return cls(
            codes.astype(np.int32),
            np.stack(sets, axis=1) if sets else np.zeros((n, 0, SET_DIM), np.float32),
            np.stack(numbers, axis=1) if numbers else np.zeros((n, 0), np.float32),
            np.zeros((n, 0), np.float32) if columns.places is None else on_sphere(columns.places),
            np.zeros(n, np.float32) if exposure is None else exposure.forecast(moment),
            np.sort(drawn),
            np.array([len(there)]),
        )

    def of_user(self, known: Asked, items: Ids) -> tuple[Floats, Floats]:
        """How usual each item is for its user, whatever the newest events were.

        Args:
            known: many events of the users. B of them.
            items: Shape [B, n].

        Returns:
            Log of the share of events with the item's value, by column, and log distance from the median place.
            Shapes [B, n, C], [B, n].
        """
        worth = known.weights(None)
        shares = [share_of_code(column, known.items, worth, items) for column in self.codes.T]
        usual = np.log(np.stack(shares, axis=-1) + SCARCE) if shares else np.zeros((*items.shape, 0), np.float32)
        far = np.zeros(items.shape, np.float32)
        if self.places.shape[1]:
            seen = np.where((known.items >= 0)[..., None], self.places[known.items], np.nan)
            home = middle_place(seen)
            squared = np.clip(2 - 2 * np.einsum("bnd,bd->bn", self.places[items], home), 0, 4)
            far = np.nan_to_num(np.log1p(np.sqrt(squared) * np.float32(EARTH / NEAR)))
        return usual.astype(np.float32), far.astype(np.float32)

    def take(self, items: Ids) -> Looked:
        """Some items."""
        return Looked(
            self.codes[items], self.sets[items], self.numbers[items], self.places[items], self.exposure[items]
        )

    def to_arrays(self) -> dict[str, Array]:
        """All arrays by their names."""
        arrays = {
            name: getattr(self, name) for name in ("codes", "sets", "numbers", "places", "exposure", "sample", "there")
        }
        return arrays | {name: without_nan(arrays[name]) for name in ("numbers", "places")}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Self:
        """Takes back what `to_arrays` gave."""
        return cls(**{**arrays, **{name: with_nan(arrays[name]) for name in ("numbers", "places")}})


def middle_place(places: Floats) -> Floats:
    """The place of each row that is nearest to all others on average, NaN where there are none. [B, L, 3] → [B, 3]."""
    total = np.nansum(places, axis=1)
    norm = np.linalg.norm(total, axis=-1, keepdims=True)
    mean = total / np.where(norm > 0, norm, np.nan)
    for _ in range(MEDIAN_STEPS):  # Weiszfeld: far places count less
        gap = np.linalg.norm(places - mean[:, None], axis=-1, keepdims=True) + 1e-4
        moved = np.nansum(places / gap, axis=1)
        length = np.linalg.norm(moved, axis=-1, keepdims=True)
        mean = moved / np.where(length > 0, length, np.nan)
    return np.asarray(mean, np.float32)


def unit_sets(rows: Ragged) -> Floats:
    """Unit vectors of rows of values, rare values weighing more; their products are about cosines. [N, SET_DIM]."""
    n_values = int(rows.values.max(initial=-1)) + 1
    vectors = np.zeros((len(rows), SET_DIM), np.float32)
    if not n_values:
        return vectors
    ones = (np.ones(len(rows.values), np.float32), rows.values, rows.offsets)
    weighted = TfidfTransformer().fit_transform(sparse.csr_matrix(ones, shape=(len(rows), n_values)))
    if n_values <= SET_DIM:
        vectors[:, :n_values] = weighted.toarray()
        return vectors
    found = TruncatedSVD(min(SET_DIM, len(rows) - 1, n_values - 1), random_state=0).fit_transform(weighted)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    vectors[:, : found.shape[1]] = found / np.where(norms > 0, norms, 1)
    return vectors


def on_sphere(places: Floats) -> Floats:
    """Points on the unit sphere of latitudes and longitudes in degrees. [n, 2] → [n, 3]."""
    lat, lon = np.radians(places[:, 0]), np.radians(places[:, 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1).astype(np.float32)
