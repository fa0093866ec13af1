"""`RawCosine`: how alike user profiles and items are before any training, on the features that they share."""

import numpy as np
from scipy.sparse import csr_array, diags_array, hstack

from twotower.errors import BadInput
from twotower.features.encoded import EncodedTable, as_matrix
from twotower.types import Array, Floats

MEAN = ":mean"
"""A profile column `x:mean` matches the items' column `x`."""


class RawCosine:
    """Cosine of the raw encoded vectors of profiles and items.

    The shared part is: each coded field that both tables have (one-many on either side, the unknown code left out), and
    each number `x` of the items of which the profiles have the mean `x:mean`. Standard deviations, counts and
    missing-value indicators have no counterpart and are left out. Vectors are kept sparse and of unit length.

    Source: Kurovski, Deep Learning for Recommender Systems, 2017: cos(u, v) of the similarity regulariser.

    Attributes:
        fields: shared coded fields.
        numbers: shared numbers.
    """

    def __init__(self, profiles: EncodedTable, items: EncodedTable) -> None:
        """Finds the shared part and normalises both sides.

        Raises:
            BadInput: a shared field has another number of codes on either side.
        """
        self.fields = tuple(name for name in items.sizes if name in profiles.sizes)
        self.numbers = tuple(name for name in items.continuous_names if name + MEAN in profiles.continuous_names)
        for name in self.fields:
            if profiles.sizes[name] != items.sizes[name]:
                raise BadInput(
                    f"RawCosine: field {name!r} has {profiles.sizes[name]} codes in the profiles but "
                    f"{items.sizes[name]} in the items; encode both with one encoder"
                )
        self._profiles = self._unit_rows(profiles, MEAN)
        self._items = self._unit_rows(items, "")

    def __call__(self, profile_rows: Array, item_rows: Array) -> Floats:
        """Cosine of each pair, 0 where either side is empty. Shapes [P], [P] -> [P]."""
        products = self._profiles[profile_rows].multiply(self._items[item_rows])
        cosines: Floats = np.asarray(products.sum(axis=1), np.float32)
        return cosines

    def _unit_rows(self, table: EncodedTable, suffix: str) -> csr_array:
        """The shared part of every row, scaled to unit length; empty rows stay 0. Shape [n, D]."""
        columns = [table.continuous_names.index(name + suffix) for name in self.numbers]
        parts = [as_matrix(table.codes[name], table.sizes[name]) for name in self.fields]
        rows = csr_array(hstack([*parts, csr_array(table.continuous[:, columns])], format="csr"), dtype=np.float32)
        lengths = np.sqrt(rows.power(2).sum(axis=1))
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        unit = csr_array(diags_array(scale) @ rows)
        unit.sort_indices()
        return unit
