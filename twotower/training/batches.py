"""Training batches: per-user windows of consecutive events, shuffled, packed by length, the same for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from twotower.data.interactions import Interactions
from twotower.errors import BadConfig
from twotower.types import NO_ITEM, Bools, Ids, Times


@dataclass(frozen=True, slots=True, eq=False)
class WindowBatch:
    """Windows of W users, T positions each; position t asks for `targets[:, t]` and may see `targets[:, :t]`.

    Attributes:
        users: internal user ids. Shape [W].
        targets: internal item ids, oldest first, padded on the right with `NO_ITEM`. Shape [W, T].
        times: times of the targets, 0 where padded. Shape [W, T].
        rows: numbers of the targets' events, 0 where padded. Shape [W, T].
    """

    users: Ids
    targets: Ids
    times: Times
    rows: Ids

    @property
    def mask(self) -> Bools:
        """True where a position is a training example. Shape [W, T]."""
        inside: Bools = self.targets != NO_ITEM
        return inside

    def take(self, windows: Ids) -> "WindowBatch":
        """Some of the windows, padded as all of them are."""
        return WindowBatch(self.users[windows], self.targets[windows], self.times[windows], self.rows[windows])


_Epoch = tuple[Ids, Ids, list[Ids]]


class WindowBatches:
    """Cuts every user's events into windows and packs windows of similar length into batches.

    The cuts move from epoch to epoch, so that every event comes to stand early and late in a window.

    Args:
        events: training events, at most one per user-item pair is sensible.
        window: longest window, in events. 1 makes every event an example of its own.
        batch_size: wanted events per batch; a batch may hold up to one window more or less.
        seed: with the epoch number, decides cuts and order.
    """

    def __init__(self, events: Interactions, *, window: int, batch_size: int, seed: int) -> None:
        if window < 1 or batch_size < 1:
            raise BadConfig(f"window={window} and batch_size={batch_size} must be at least 1")
        self.events = events
        self.window = window
        self.batch_size = batch_size
        self.seed = seed
        self._position = np.arange(len(events)) - events.offsets[:-1][events.user]
        self._newest: tuple[int, _Epoch] | None = None

    def epoch(self, number: int, start: int = 0) -> Iterator[WindowBatch]:
        """The batches of one epoch, from batch `start` on."""
        starts, lengths, packs = self._windows(number)
        for windows in packs[start:]:
            yield self._batch(starts[windows], lengths[windows])

    def n_batches(self, number: int) -> int:
        """How many batches `epoch(number)` gives."""
        return len(self._windows(number)[2])

    def _windows(self, number: int) -> "_Epoch":
        """First events and lengths of an epoch's windows, and the windows of each batch; the newest epoch is kept."""
        if self._newest is None or self._newest[0] != number:
            rng = np.random.default_rng((self.seed, number))
            starts, lengths = self._cut(rng)
            self._newest = number, (starts, lengths, self._pack(rng, lengths))
        return self._newest[1]

    def _cut(self, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """First event and length of every window."""
        if self.window == 1:
            return np.arange(len(self.events)), np.ones(len(self.events), np.int64)
        shift = rng.integers(0, self.window, self.events.n_users)
        chunk = (self._position + shift[self.events.user]) // self.window
        key = self.events.user.astype(np.int64) * (1 + int(chunk.max())) + chunk
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        return starts, np.diff(starts, append=len(key))

    def _pack(self, rng: np.random.Generator, lengths: Ids) -> list[Ids]:
        """Window numbers of each batch: equal-length neighbours share a batch, ties and batches in random order."""
        shuffled = rng.permutation(len(lengths))
        by_length = shuffled if self.window == 1 else shuffled[np.argsort(lengths[shuffled], kind="stable")]
        batch = (np.cumsum(lengths[by_length]) - 1) // self.batch_size
        batches = np.split(by_length, np.flatnonzero(np.diff(batch)) + 1)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _batch(self, starts: Ids, lengths: Ids) -> WindowBatch:
        columns = np.arange(int(lengths.max()))
        inside = columns < lengths[:, None]
        rows = np.where(inside, starts[:, None] + columns, 0)
        targets = np.where(inside, self.events.item[rows], NO_ITEM).astype(np.int64)
        times = np.where(inside, self.events.time[rows], 0)
        return WindowBatch(self.events.user[starts].astype(np.int64), targets, times, rows)
