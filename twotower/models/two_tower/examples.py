"""`Examples`, `Candidates`: the training examples of a step, and the items that RankNet scores for them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from twotower.nn.packed import Features
from twotower.types import Ids, Times


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Training examples of a batch: at `times`, `users` (then known as `vectors`) chose `items`.

    Shapes: users, items, times, windows, profile_rows [P]; vectors [P, D]. Own features and profiles of the users are
    there where they were taken position by position, P rows each.
    """

    users: Ids
    items: Ids
    times: Times
    windows: Ids
    profile_rows: Ids
    vectors: Tensor
    features: tuple[Features, Features] | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Ids) -> "Examples":
        """Some of them."""
        chosen = torch.as_tensor(rows, device=self.vectors.device)
        return Examples(
            self.users[rows], self.items[rows], self.times[rows], self.windows[rows],
            self.profile_rows[rows], self.vectors[chosen],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The positive (column 0) and the negatives of P positions.

    Attributes:
        items: internal item ids. Shape [P, 1 + n].
        vectors: their unit vectors. Shape [P, 1 + n, D].
        distinct: features of the distinct items among them.
        where: row of `distinct` for each. Shape [P, 1 + n].
    """

    items: Ids
    vectors: Tensor
    distinct: Features
    where: Tensor
