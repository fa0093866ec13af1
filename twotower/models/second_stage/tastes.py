"""`Shares` and `Distances`: how far a candidate is like what its user touched, column by column."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from twotower.features.places import kilometres
from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.moment import Asked
from twotower.models.second_stage.pair_feature import PairFeature
from twotower.types import Floats, Ids, Ragged

LARGEST_TABLE = 1 << 20
"""Queries times values of a column up to which each value has a place of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares(PairFeature):
    """Which share of the user's events shares the candidate's value, for each categorical column.

    Attributes:
        recent: newest events that the first share looks at.
        half_life: days after which an event counts half in it.
        long: newest events that the second share looks at, all alike.
    """

    name: ClassVar[str] = "shares"
    recent: int = 80
    half_life: float = 7.0
    long: int = 300

    def names(self, columns: ItemColumns) -> list[str]:
        """Two shares a column."""
        every = [*columns.codes, *columns.sets]
        return [f"{column}: share of {when}" for column in every for when in ("recent", "all")]

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """Shares in 0..1; 0 where the candidate's value is missing. Shape [B, C, F]."""
        spans = [(part, part.weights(h)) for part, h in ((asked.last(self.recent), self.half_life),
                                                         (asked.last(self.long), None))]  # fmt: skip
        found = [
            share_of_code(codes, part.items, worth, items) for codes in columns.codes.values() for part, worth in spans
        ]
        found += [
            share_of_set(rows, part.items, worth, items) for rows in columns.sets.values() for part, worth in spans
        ]
        return np.stack(found, axis=-1) if found else np.empty((*items.shape, 0), np.float32)


def share_of_code(codes: Ids, seen: Ids, worth: Floats, items: Ids) -> Floats:
    """Worth of the events whose item has the candidate's code.

    Args:
        codes: of every item, -1 where missing. Shape [N].
        seen: items of the events. Shape [B, L].
        worth: of the events. Shape [B, L].
        items: candidates. Shape [B, C].
    """
    touched, wanted = np.where(seen >= 0, codes[seen], -1), codes[np.maximum(items, 0)]
    width = int(max(touched.max(initial=-1), wanted.max(initial=-1))) + 2  # the first column stands for a missing value
    if len(seen) * width > LARGEST_TABLE:  # only values that were touched need a column
        known, touched = np.unique(touched, return_inverse=True)
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        wanted = np.where((known[place] == wanted) & (wanted >= 0), place, -1)
        touched, width = touched.reshape(seen.shape), len(known) + 1
    table = _table(touched + 1, worth, width)
    return np.where(wanted >= 0, np.take_along_axis(table, wanted + 1, axis=1), 0).astype(np.float32)


def share_of_set(rows: Ragged, seen: Ids, worth: Floats, items: Ids) -> Floats:
    """The same for items of several values: the mean over the candidate's values. Shape [B, C]."""
    flat = np.maximum(seen, 0).ravel()
    of_events = rows.take(flat)
    event = of_events.row_ids()
    query = event // max(1, seen.shape[1])
    amount = np.where(seen >= 0, worth, 0).ravel()[event]
    known, place = np.unique(of_events.values, return_inverse=True)
    if not len(known):
        return np.zeros(items.shape, np.float32)
    table = np.bincount(query * len(known) + place, amount, len(seen) * len(known)).reshape(len(seen), len(known))
    wanted = rows.take(np.maximum(items, 0).ravel())
    pair = wanted.row_ids()
    column = np.minimum(np.searchsorted(known, wanted.values), len(known) - 1)
    hit = np.where(known[column] == wanted.values, table[pair // items.shape[1], column], 0)
    total = np.bincount(pair, hit, len(wanted))
    return (total / np.maximum(wanted.lengths, 1)).reshape(items.shape).astype(np.float32)


def _table(place: Ids, worth: Floats, width: int) -> Floats:
    """Sums of worth by query and value. Shape [B, width]."""
    keys = np.arange(len(place))[:, None] * width + place
    return np.bincount(keys.ravel(), worth.ravel(), len(place) * width).reshape(len(place), width).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances(PairFeature):
    """How far the candidate's numbers and place are from what the user touched.

    Attributes:
        recent: newest events that are compared.
        half_life: days after which an event counts half in the mean.
        reach: kilometres after which nearness falls to 1/e.
    """

    name: ClassVar[str] = "distances"
    recent: int = 40
    half_life: float = 7.0
    reach: float = 30.0

    def names(self, columns: ItemColumns) -> list[str]:
        """The number itself and four comparisons a column; three for places."""
        what = ("", ": over the mean", ": from the mean", ": from the last", ": from the nearest")
        places = [] if columns.places is None else ["km from home", "km from the nearest", "nearness to the history"]
        return [column + text for column in columns.numbers for text in what] + places

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """Distances in standard deviations, or kilometres. Shape [B, C, F]."""
        part = asked.last(self.recent)
        worth, chosen = part.weights(self.half_life), np.maximum(items, 0)
        found = [
            f for numbers in columns.numbers.values() for f in self._of_numbers(numbers, part.items, worth, chosen)
        ]
        if columns.places is not None:
            found += self._of_places(columns.places, part.items, worth, chosen)
        return np.stack(found, axis=-1) if found else np.empty((*items.shape, 0), np.float32)

    def _of_numbers(self, numbers: Floats, seen: Ids, worth: Floats, chosen: Ids) -> list[Floats]:
        own, theirs = numbers[chosen], np.where(seen >= 0, numbers[seen], np.nan)  # [B, C], [B, L]
        known = np.where(np.isfinite(theirs), worth, 0)
        total = known.sum(axis=1)
        mean = np.where(total > 0, (known * np.nan_to_num(theirs)).sum(axis=1) / np.where(total > 0, total, 1), np.nan)
        last = theirs[:, 0] if seen.shape[1] else np.full(len(seen), np.nan, np.float32)
        over = own - mean[:, None]
        nearest = nearest_number(own, theirs)
        return [own, *(f.astype(np.float32) for f in (over, np.abs(over), np.abs(own - last[:, None]), nearest))]

    def _of_places(self, places: Floats, seen: Ids, worth: Floats, chosen: Ids) -> list[Floats]:
        theirs = np.where((seen >= 0)[..., None], places[seen], np.nan)  # [B, L, 2]
        own = places[chosen]  # [B, C, 2]
        km = distances(own[:, :, None], theirs[:, None])  # [B, C, L]
        far = np.where(np.isfinite(km), km, np.float32(1e5))
        near = (np.exp(-far / self.reach) * worth[:, None]).sum(axis=-1)
        nearest = far.min(axis=-1, initial=np.float32(1e5))
        home = median_place(theirs)
        return [distances(own, home[:, None]), nearest, near.astype(np.float32)]


def distances(a: Floats, b: Floats) -> Floats:
    """Kilometres between places in degrees. Shapes [..., 2], broadcast to [...]."""
    return kilometres(a[..., 0], a[..., 1], b[..., 0], b[..., 1]).astype(np.float32)


def nearest_number(own: Floats, theirs: Floats) -> Floats:
    """Distance of each number to the nearest of its row's others, NaN where there are none. [B, C], [B, L] → [B, C]."""
    ordered = np.sort(theirs, axis=1)  # NaN last
    n = np.isfinite(ordered).sum(axis=1)
    padded = np.where(np.isfinite(ordered), ordered, np.inf)
    shift = 1e6  # rows are laid one after the other, so that one binary search serves all
    limited = np.clip(padded, -1e5, 1e5)
    keys = (limited + np.arange(len(theirs))[:, None] * shift).ravel()
    wanted = np.nan_to_num(own) + np.arange(len(own))[:, None] * shift
    place = np.searchsorted(keys, wanted) - np.arange(len(own))[:, None] * theirs.shape[1]
    gaps = []
    for side in (place - 1, place):
        inside = (side >= 0) & (side < n[:, None])
        value = (
            np.take_along_axis(ordered, np.clip(side, 0, max(0, theirs.shape[1] - 1)), axis=1)
            if theirs.shape[1]
            else own
        )
        gaps.append(np.where(inside, np.abs(own - value), np.inf))
    nearest = np.minimum(*gaps)
    return np.where(np.isfinite(nearest), nearest, np.nan).astype(np.float32)


def median_place(places: Floats) -> Floats:
    """Median latitude and longitude of each row's places, NaN where there are none. [B, L, 2] → [B, 2]."""
    ordered = np.sort(places, axis=1)
    n = np.isfinite(ordered[..., 0]).sum(axis=1)
    if not places.shape[1]:
        return np.full((len(places), 2), np.nan, np.float32)
    middle = np.maximum(n - 1, 0) // 2
    return np.asarray(ordered[np.arange(len(places)), middle], np.float32)
