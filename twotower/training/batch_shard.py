"""`BatchShard`: the examples of a batch that one of several processes computes, and its draws."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from twotower.nn.distributed import Workers
from twotower.training.batches import WindowBatch
from twotower.types import Array, Ids, Times


@dataclass(frozen=True, slots=True, eq=False)
class BatchShard:
    """The part of a batch's examples that this process computes; one that trains alone computes all of them.

    Every process knows the whole batch, so what is drawn at random is drawn for all of it, and each takes its own: the
    draws do not depend on how many processes there are. A process for which nothing is left computes an example of
    another one with weight 0, since all must take part in every step of a message.

    Attributes:
        users, items, times: of all examples of the batch. Shape [P].
        rows: those of this process, rising, never none. Shape [p].
        weight: of the mean over `rows` in the mean over the batch.
    """

    users: Ids
    items: Ids
    times: Times
    rows: Ids
    weight: float

    @classmethod
    def of(cls, batch: WindowBatch, workers: Workers) -> tuple["BatchShard", Ids]:
        """The share, and the windows that it consists of: every `workers.size`-th: neighbours are alike in length."""
        mask = batch.mask
        n = len(mask)
        windows = np.arange(workers.rank % n, n, workers.size)
        window = np.broadcast_to(np.arange(n)[:, None], mask.shape)[mask]
        rows = np.flatnonzero(np.isin(window, windows)) if workers.size > 1 else np.arange(len(window))
        users = np.broadcast_to(batch.users[:, None], mask.shape)
        weight = len(rows) / len(window) if workers.rank < n else 0.0
        return cls(users[mask], batch.targets[mask], batch.times[mask], rows, weight), windows

    def __len__(self) -> int:
        return len(self.users)

    def some(self, chosen: Ids) -> tuple["BatchShard", Ids]:
        """The share of some rising rows of the batch, and where those of this process stand among its own."""
        whole = self.users[chosen], self.items[chosen], self.times[chosen]
        mine = np.flatnonzero(np.isin(chosen, self.rows))
        if not len(mine):
            return BatchShard(*whole, np.zeros(1, np.int64), 0.0), np.zeros(1, np.int64)
        weight = len(mine) / len(chosen) if self.weight else 0.0
        return BatchShard(*whole, mine, weight), np.searchsorted(self.rows, chosen[mine])

    def draws(self, rng: np.random.Generator) -> np.random.Generator:
        """The generator, but what it draws for each of this share's rows is what it would draw for it in the batch."""
        return rng if len(self.rows) == len(self) else _Draws(rng, self.rows, len(self))


class _Draws(np.random.Generator):
    """Draws for all rows of a batch, of which it gives some; draws of other sizes are those of any generator."""

    def __init__(self, rng: np.random.Generator, rows: Ids, total: int) -> None:
        super().__init__(rng.bit_generator)
        self._rows, self._total = rows, total

    def random(self, size: Any = None, *arguments: Any, **options: Any) -> Any:
        return self._own(super().random(self._whole(size), *arguments, **options), size)

    def integers(  # type: ignore[override]
        self, low: Any, high: Any = None, size: Any = None, **options: Any
    ) -> Any:
        return self._own(super().integers(low, high, self._whole(size), **options), size)

    def _by_row(self, size: Any) -> bool:
        return isinstance(size, tuple) and size[0] == len(self._rows)

    def _whole(self, size: Any) -> Any:
        return (self._total, *size[1:]) if self._by_row(size) else size

    def _own(self, drawn: Any, size: Any) -> Any:
        own: Array = drawn[self._rows] if self._by_row(size) else drawn
        return own
