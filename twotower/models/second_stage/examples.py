"""Examples for a second stage: what sources proposed at earlier moments, and what was touched soon after."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from twotower.data.interactions import Interactions
from twotower.data.split import FinalSplit, Holdout, Split
from twotower.data.splitters.parts import available_at, distinct_ranks
from twotower.features.windows import DAY
from twotower.types import NO_ITEM, Bools, Floats, Ids, Queries, Ragged, TopK


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Candidates of many queries with their features.

    Attributes:
        features: float32. Shape [P, F].
        positive: whether the pair came true. Shape [P].
        query: of each pair, rising; the pairs of a query lie side by side. Shape [P].
    """

    features: Floats
    positive: Bools
    query: Ids

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def concatenate(cls, parts: "list[Examples]") -> Self:
        """Parts one after the other, their queries numbered through."""
        parts, first, numbered = [part for part in parts if len(part)], 0, []
        for part in parts:
            numbered.append(part.query + first)
            first += int(part.query[-1]) + 1 if len(part) else 0
        return cls(
            np.concatenate([p.features for p in parts]),
            np.concatenate([p.positive for p in parts]),
            np.concatenate(numbered),
        )

    @classmethod
    def none(cls) -> Self:
        """No candidate at all."""
        return cls(np.empty((0, 0), np.float32), np.empty(0, np.bool_), np.empty(0, np.int64))

    @property
    def queries(self) -> int:
        """How many queries there are."""
        return len(np.unique(self.query))


def earlier_moments(split: Split, n: int, days: float | None, overlap: int = 1) -> list[Split]:
    """Splits that ask like `split` does, but earlier: all that they learn from and ask for lies in `split.train`.

    Where one moment of asking cuts all users' events, moments follow each other by `days` before `split.asked_at`, and
    what is touched within `days` after a moment is asked for. Else the newest distinct items of each user are.

    Args:
        split: its training events are cut.
        n: moments.
        days: length of what is asked for; None takes the length of the validation, or what leaves half of the time.
        overlap: moments in the time of one, where one moment of asking cuts all users' events: what is asked for at
            them overlaps, and more is learnt from the newest events.

    Returns:
        The oldest first; fewer where the events do not reach back.
    """
    if not is_cut_by_time(split):
        return [cut for rank in range(n, 0, -1) if (cut := _before_the_last(split, rank)) is not None]
    events = split.train
    first, last = int(events.time.min()), split.asked_at
    step = int(days * DAY) if days is not None else min(_validation_length(split), (last - first) // (2 * n))
    moments = [last - step - m * step // overlap for m in range(n * overlap - overlap, -1, -1)] if step > 0 else []
    cuts = [_at(split, moment, moment + step) for moment in moments]
    return [cut for cut in cuts if cut is not None]


def _validation_length(split: Split) -> int:
    """Seconds of whole days."""
    target = split.validation.target
    spent = int(target.time.max()) - split.validation.at if len(target) else 0
    return DAY * max(1, -(-spent // DAY))


def is_cut_by_time(split: Split) -> bool:
    """Whether one moment of asking lies between what is learnt and what is asked for, of all users."""
    target = split.validation.target
    return split.ordered_by_time and split.train.time.max() < split.asked_at and (
        not len(target) or target.time.min() >= split.validation.at
    )  # fmt: skip


def _at(split: Split, moment: int, until: int) -> Split | None:
    events = split.train
    known = events.where(events.time < moment)
    asked = events.where((events.time >= moment) & (events.time < until))
    return _cut(split, known, asked, moment, f"at {moment}")


def _before_the_last(split: Split, rank: int) -> Split | None:
    """The rank-th newest distinct item of each user is asked for, of what is older is learnt."""
    ranks, n_distinct = distinct_ranks(split.train)
    place = n_distinct[split.train.user] - ranks  # 0: the newest
    known, asked = split.train.where(place >= rank), split.train.where(place == rank - 1)
    return _cut(split, known, asked, int(known.time.max()) if len(known) else 0, f"without the last {rank}")


def _cut(split: Split, known: Interactions, asked: Interactions, at: int, name: str) -> Split | None:
    """A split that shows `known` and asks for `asked`; None where either is empty."""
    data = split.dataset.with_interactions(known)
    available = available_at(split.dataset, at) if split.ready_for.available is not None else None
    test = Holdout.of(known, asked, at, available)
    if not len(known) or not len(test.target):
        return None
    nothing = Holdout(known, test.target.where(np.empty(0, np.int64)), at, available=available)
    return FinalSplit(data, known, nothing, test, f"{split.name}, {name}", split.ordered_by_time)


Described = Callable[[Queries, TopK], Floats]
"""Features of candidates. [B, C, F]."""


def examples_of(
    holdout: Holdout,
    candidates: Callable[[Queries], TopK],
    described: Described,
    *,
    users: int | None,
    negatives: int | None,
    rng: np.random.Generator,
    block: int = 64,
) -> Examples:
    """Candidates of some users, those that came true and some of the others.

    Args:
        holdout: what was asked and what came true.
        candidates: what the sources propose; what they do not cannot be ranked, so it teaches nothing.
        described: features of candidates.
        users: most users; None takes all.
        negatives: candidates kept for each positive of a query beside it; None keeps all. They are drawn evenly, which
            leaves the order that a scorer learns as it is.
        rng: draws both.
        block: queries at once.
    """
    queries, relevant = holdout.queries(), holdout.relevant()
    if users is not None and users < len(queries):
        rows = np.sort(rng.choice(len(queries), users, replace=False))
        queries, relevant = queries.take(rows), relevant.take(rows)
    parts = list(_blocks(queries, relevant, candidates, described, negatives, rng, block))
    return Examples.concatenate(parts) if parts else Examples.none()


def _blocks(
    queries: Queries, relevant: Ragged, candidates: Callable[[Queries], TopK], described: Described,
    negatives: int | None, rng: np.random.Generator, block: int,
) -> Iterator[Examples]:  # fmt: skip
    start = 0
    for asked in queries.blocks(block):
        wanted = relevant.take(np.arange(start, start + len(asked)))
        start += len(asked)
        top = candidates(asked)
        hit = is_in(top.items, wanted)
        useful = hit.any(axis=1)  # a list without a hit cannot be ordered better
        rows = np.flatnonzero(useful)
        if not len(rows):
            continue
        asked, top, hit = asked.take(rows), TopK(top.items[rows], top.scores[rows]), hit[rows]
        kept = _kept(top.items != NO_ITEM, hit, negatives, rng)
        features = described(asked, top)
        row, column = np.nonzero(kept)
        yield Examples(features[row, column], hit[row, column], row)


def is_in(items: Ids, wanted: Ragged) -> Bools:
    """Which items are among the wanted ones of their row. Shape [B, C]."""
    n = int(max(items.max(initial=0), wanted.values.max(initial=0))) + 1
    keys = np.arange(len(items))[:, None] * n + items
    return np.asarray(np.isin(keys, wanted.row_ids() * n + wanted.values) & (items != NO_ITEM))


def _kept(real: Bools, hit: Bools, negatives: int | None, rng: np.random.Generator) -> Bools:
    """The positives and so many of the others for each of them. Shape [B, C]."""
    if negatives is None:
        return real
    lot = np.where(real & ~hit, rng.random(real.shape), np.inf)
    most = np.minimum((negatives * hit.sum(axis=1)).astype(np.int64), real.shape[1] - 1)
    border = np.take_along_axis(np.sort(lot, axis=1), most[:, None], axis=1)
    return np.asarray(hit | ((lot < border) & np.isfinite(lot)))
