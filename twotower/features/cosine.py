"""`RawCosine`: how alike user profiles and items are before any training, on the features that they share."""

import numpy as np

from twotower.errors import BadInput
from twotower.features.encoded import UNKNOWN, Bags, Codes, EncodedTable, as_matrix, take_codes
from twotower.types import Array, Floats

MEAN = ":mean"
"""A profile column `x:mean` matches the items' column `x`."""


class RawCosine:
    """Cosine of the raw encoded vectors of profiles and items.

    The shared part is: each coded field that both tables have (one-many on either side, the unknown code left out), and
    each number `x` of the items of which the profiles have the mean `x:mean`. Standard deviations, counts and
    missing-value indicators have no counterpart and are left out. Only lengths are computed ahead, no table is copied.

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
        self._profiles, self._items = profiles, items
        self._profile_numbers = self._numbers(profiles, MEAN)
        self._item_numbers = self._numbers(items, "")
        self._profile_lengths = self._lengths(profiles, self._profile_numbers)
        self._item_lengths = self._lengths(items, self._item_numbers)

    def __call__(self, profile_rows: Array, item_rows: Array) -> Floats:
        """Cosine of each pair, 0 where either side is empty. Shapes [P], [P] -> [P]."""
        products = np.einsum("pf,pf->p", self._profile_numbers[profile_rows], self._item_numbers[item_rows])
        for name in self.fields:
            ours = take_codes(self._profiles.codes[name], profile_rows)
            theirs = take_codes(self._items.codes[name], item_rows)
            products += _dot(ours, theirs, self._items.sizes[name])
        lengths = self._profile_lengths[profile_rows] * self._item_lengths[item_rows]
        cosines: Floats = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        return cosines

    def _numbers(self, table: EncodedTable, suffix: str) -> Floats:
        """The shared numbers. Shape [n, F]."""
        columns = [table.continuous_names.index(name + suffix) for name in self.numbers]
        numbers: Floats = table.continuous[:, columns]
        return numbers

    def _lengths(self, table: EncodedTable, numbers: Floats) -> Floats:
        """Euclidean length of the shared part of every row. Shape [n]."""
        squares = np.einsum("nf,nf->n", numbers, numbers)
        for name in self.fields:
            squares += _squares(table.codes[name])
        lengths: Floats = np.sqrt(squares)
        return lengths


def _squares(codes: Codes) -> Floats:
    """Squared length of every row. Shape [n]."""
    if not isinstance(codes, Bags):
        known: Floats = (codes != UNKNOWN).astype(np.float32)
        return known
    codes = codes.known()
    return np.bincount(codes.codes.row_ids(), codes.weights**2, minlength=len(codes)).astype(np.float32)


def _dot(ours: Codes, theirs: Codes, size: int) -> Floats:
    """Product of each row with the row opposite. Shapes [P], [P] -> [P]."""
    if not isinstance(ours, Bags) or isinstance(theirs, Bags):
        products: Floats = as_matrix(ours, size).multiply(as_matrix(theirs, size)).sum(axis=1)
        return products
    # The common case, a distribution opposite a single code, needs no sparse matrices.
    rows = ours.codes.row_ids()
    same = ours.codes.values == theirs[rows]
    return np.bincount(rows[same], ours.weights[same], minlength=len(ours)).astype(np.float32)
