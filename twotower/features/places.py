"""Places on the globe: kilometres between them, the cell of a grid that each lies in, and the field of such cells."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from twotower.data.tables import Column, ColumnValues, Kind
from twotower.features.encoded import UNKNOWN, Codes
from twotower.features.number_fields import numbers_of
from twotower.types import Array, Float64s, Ids

EARTH_RADIUS = 6371.0088
"""Mean radius in kilometres (IUGG)."""
KILOMETRES_A_DEGREE = np.pi * EARTH_RADIUS / 180
"""Kilometres from one degree of latitude to the next: 111.2."""
NOWHERE = -1
"""The cell of a place that is not known."""


def kilometres(lat1: Array | float, lon1: Array | float, lat2: Array | float, lon2: Array | float) -> Float64s:
    """Great-circle distance of places given in degrees; shapes broadcast, NaN where a coordinate is missing.

    Source: Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984.
    """
    phi1, phi2 = np.radians(np.asarray(lat1, np.float64)), np.radians(np.asarray(lat2, np.float64))
    d_phi = phi2 - phi1
    d_lambda = np.radians(np.asarray(lon2, np.float64) - np.asarray(lon1, np.float64))
    chord = np.sin(d_phi / 2) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin(d_lambda / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0))), np.float64)


def cells(lat: Array, lon: Array, size: float) -> Ids:
    """The number of each place's cell, `NOWHERE` where a coordinate is missing or outside. Shape [n].

    The globe is cut into rows about `size` kilometres high and each row into cells about as wide as high, so a cell
    of the north is as large as one at the equator.

    Args:
        lat: degrees, -90 to 90. Shape [n].
        lon: degrees, -180 to 180 (180 is -180). Shape [n].
        size: side of a cell in kilometres.
    """
    lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    known = (np.abs(lat) <= 90) & (np.abs(lon) <= 180)
    lat, lon = np.where(known, lat, 0.0), np.where(known, lon, 0.0)
    n_rows = max(1, round(180 * KILOMETRES_A_DEGREE / size))
    row = np.minimum(((lat + 90) / 180 * n_rows).astype(np.int64), n_rows - 1)
    middle = np.cos(np.radians((row + 0.5) * 180 / n_rows - 90))
    in_row = np.maximum(1, np.rint(360 * KILOMETRES_A_DEGREE * middle / size).astype(np.int64))
    column = ((lon + 180) / 360 * in_row).astype(np.int64) % in_row
    return np.where(known, row * (2 * n_rows + 1) + column, NOWHERE)


@dataclass(frozen=True, slots=True, eq=False)
class CellField:
    """A place to the code of its cell; places that are missing or in a cell without training rows become `UNKNOWN`.

    Attributes:
        name: of the field, `<latitude>,<longitude>@<size>km`.
        latitude, longitude: the columns that it reads, with their limits.
        side: of a cell, kilometres.
        known: numbers of the cells with a code of their own, rising. Shape [n_cells].
    """

    name: str
    latitude: Column
    longitude: Column
    side: float
    known: Ids

    @classmethod
    def fit(
        cls,
        latitude: Column,
        longitude: Column,
        values: tuple[ColumnValues, ColumnValues],
        *,
        side: float,
        min_count: int,
    ) -> Self:
        """Keeps the cells that hold at least `min_count` of the given rows."""
        name = f"{latitude.name},{longitude.name}@{side:g}km"
        field = cls(name, latitude, longitude, side, np.empty(0, np.int64))
        found, counts = np.unique(field.cells_of(*values), return_counts=True)
        return cls(name, latitude, longitude, side, found[(counts >= min_count) & (found != NOWHERE)])

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.latitude.name, self.longitude.name)

    @property
    def size(self) -> int:
        """Number of codes: the known cells and `UNKNOWN`."""
        return len(self.known) + 1

    def cells_of(self, latitude: ColumnValues, longitude: ColumnValues) -> Ids:
        """Numbers of the cells, `NOWHERE` without a place. Shape [n]."""
        lat = numbers_of(self.latitude.name, latitude, self.latitude.low, self.latitude.high)
        lon = numbers_of(self.longitude.name, longitude, self.longitude.low, self.longitude.high)
        return cells(lat, lon, self.side)

    def encode(self, latitude: ColumnValues, longitude: ColumnValues) -> Codes:
        """int32 codes. Shape [n]."""
        found = self.cells_of(latitude, longitude)
        if not len(self.known):
            return np.full(len(found), UNKNOWN, np.int32)
        place = np.minimum(np.searchsorted(self.known, found), len(self.known) - 1)
        return np.where(self.known[place] == found, place + 1, UNKNOWN).astype(np.int32)

    def facts(self) -> dict[str, Any]:
        """What `of` makes it of again."""
        read = {what: [c.name, c.low, c.high] for what, c in (("lat", self.latitude), ("lon", self.longitude))}
        return {"name": self.name, "side": self.side, "known": self.known.tolist(), **read}

    @classmethod
    def of(cls, name: str, side: float, known: list[int], lat: list[Any], lon: list[Any]) -> Self:
        """A field of known cells."""
        latitude, longitude = (Column(c[0], Kind.PLACE, *c[1:]) for c in (lat, lon))
        return cls(name, latitude, longitude, side, np.asarray(known, np.int64))
