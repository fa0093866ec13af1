"""`ItemStates`: the encoded features of every state that items have been in, so that no event sees a later one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.data.dataset import ItemVersions
from twotower.data.tables import ColumnValues, FeatureTable
from twotower.errors import BadInput
from twotower.features.encoded import Bags, Codes, take_codes
from twotower.features.encoders import FeatureEncoder
from twotower.types import Array, Floats, Ids, Times


@dataclass(frozen=True, slots=True, eq=False)
class ItemStates:
    """States 0..N-1 are the items as first published, the states after them the changes, in `versions`' order.

    Attributes:
        sizes: coded field name to number of codes.
        codes: coded field name to `Codes` of every state. S rows.
        z: z-values of every state, NaN where missing. Shape [S, F].
        z_names: a name for each column of `z`.
        n_items: N.
        versions: which item each change belongs to and since when; None where items never change.
    """

    sizes: Mapping[str, int]
    codes: Mapping[str, Codes]
    z: Floats
    z_names: tuple[str, ...]
    n_items: int
    versions: ItemVersions | None = None

    @classmethod
    def of(cls, encoder: FeatureEncoder, items: FeatureTable, versions: ItemVersions | None = None) -> Self:
        """Encodes the catalogue and its changes; a column that does not change is copied from the item.

        Ages are no part of a state: they are told as of a moment.
        """
        names = tuple(field.name for field in encoder.numbers)
        changed = versions.features if versions else FeatureTable.empty(0)
        item = versions.item if versions else np.empty(0, np.int64)
        codes: dict[str, Codes] = {}
        for field in encoder.coded:
            base = field.encode(*(items[column] for column in field.columns))
            later = take_codes(base, item)
            if changed.values.keys() & set(field.columns):
                later = field.encode(*(_since(items, changed, column, item) for column in field.columns))
            codes[field.name] = _joined(base, later)
        z = encoder.z_values(items)
        later_z = z[item]
        for column, number in enumerate(encoder.numbers):
            if number.name in changed.values:
                later_z[:, column] = number.encode(changed[number.name])
        return cls(
            {field.name: field.size for field in encoder.coded},
            codes,
            np.concatenate([z, later_z]),
            names,
            len(items),
            versions,
        )

    def __len__(self) -> int:
        return len(self.z)

    def rows(self, items: Array, times: Times | int | None = None) -> Ids:
        """The state of each item at a moment.

        Args:
            items: internal item ids. Shape [n].
            times: seconds since the epoch, one for each item or one for all; None: the newest state known. Shape [n].

        Raises:
            BadInput: an item is not in the catalogue.
        """
        items = np.asarray(items, np.int64)
        outside = (items < 0) | (items >= self.n_items)
        if outside.any():
            raise BadInput(f"item {items[outside.argmax()]} is not in the catalogue of {self.n_items} items")
        if self.versions is None:
            return items
        moments = np.asarray(np.iinfo(np.int64).max if times is None else times, np.int64)
        change = self.versions.latest(items, moments)
        return np.where(change < 0, items, self.n_items + change)

    def take(self, rows: Array) -> "ItemStates":
        """The given states, numbered anew; which item they belong to is forgotten."""
        taken = {name: take_codes(codes, rows) for name, codes in self.codes.items()}
        return ItemStates(self.sizes, taken, self.z[rows], self.z_names, len(rows))


def _since(items: FeatureTable, changed: FeatureTable, column: str, item: Ids) -> ColumnValues:
    """A column as it is after each change."""
    if column in changed.values:
        return changed[column]
    values = items[column]
    return values[item] if isinstance(values, np.ndarray) else values.take(item)


def _joined(base: Codes, later: Codes) -> Codes:
    if isinstance(base, Bags) and isinstance(later, Bags):
        return Bags.concatenate([base, later])
    return np.concatenate([np.asarray(base), np.asarray(later)])
