"""`Kernels`: events that are like the candidate in several ways at once, summed over the history."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from twotower.models.second_stage.columns import ItemColumns
from twotower.models.second_stage.moment import Asked
from twotower.models.second_stage.pair_feature import PairFeature
from twotower.models.second_stage.tastes import distances
from twotower.types import Floats, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels(PairFeature):
    """Σ_j w_j · same value in a column · near in all numbers · near in place, for each column; and all columns at once.

    A user with several wishes has events that are near in one way and others that are near in another: a mean over the
    history would mix them, a sum of products over events does not.

    Attributes:
        recent: newest events that are compared.
        half_life: days after which an event counts half.
        reach: kilometres after which nearness falls to 1/e.
        width: mean distance in standard deviations after which nearness falls to 1/e.
        all_width: share of columns that differ after which likeness falls to 1/e.
    """

    name: ClassVar[str] = "kernels"
    recent: int = 40
    half_life: float = 7.0
    reach: float = 50.0
    width: float = 0.3
    all_width: float = 0.25

    def names(self, columns: ItemColumns) -> list[str]:
        """Two a column, and four of all columns."""
        of_columns = [f"{c}: kernel{text}" for c in columns.codes for text in ("", " without place")]
        return [*of_columns, "near in all numbers", "near in numbers and place", "alike: sum", "alike: most"]

    def values(self, asked: Asked, items: Ids, columns: ItemColumns, tables: Any) -> Floats:
        """Weighted sums of kernels. Shape [B, C, F]."""
        part = asked.last(self.recent)
        seen, chosen = np.maximum(part.items, 0), np.maximum(items, 0)
        worth = part.weights(self.half_life)[:, None]  # [B, 1, L]
        in_numbers = worth * self._near_in_numbers(columns, seen, chosen)  # [B, C, L]
        near = in_numbers if columns.places is None else in_numbers * self._near_in_place(columns.places, seen, chosen)
        found, alike = [], np.zeros(in_numbers.shape, np.float32)
        for codes in columns.codes.values():
            own = codes[chosen][:, :, None]
            same = (own == codes[seen][:, None]) & (own >= 0)  # [B, C, L]
            alike += same
            found += [np.einsum("bcl,bcl->bc", same, near), np.einsum("bcl,bcl->bc", same, in_numbers)]
        likeness = np.exp((alike / max(1, len(columns.codes)) - 1) / self.all_width)
        both = likeness * near
        found += [in_numbers.sum(axis=-1), near.sum(axis=-1), both.sum(axis=-1), both.max(axis=-1, initial=0)]
        return np.stack(found, axis=-1).astype(np.float32)

    def _near_in_numbers(self, columns: ItemColumns, seen: Ids, chosen: Ids) -> Floats:
        """1 where all numbers agree; columns that either item lacks are left out. Shape [B, C, L]."""
        total = np.zeros((*chosen.shape, seen.shape[1]), np.float32)
        n = np.zeros_like(total)
        for numbers in columns.numbers.values():
            gap = np.abs(numbers[chosen][:, :, None] - numbers[seen][:, None])
            known = np.isfinite(gap)
            total += np.where(known, gap, 0)
            n += known
        return np.exp(-total / np.maximum(n, 1) / self.width)

    def _near_in_place(self, places: Floats, seen: Ids, chosen: Ids) -> Floats:
        km = distances(places[chosen][:, :, None], places[seen][:, None])
        return np.where(np.isfinite(km), np.exp(-km / self.reach), 0).astype(np.float32)
