"""`KernelWeights`: the numbers of a content kernel, the kernel itself, and how the numbers are learnt."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from twotower.data.split import Split
from twotower.models.second_stage.exposure import Exposure
from twotower.models.second_stage.kernel_parts import EARTH, NEAR, KernelParts, Looked
from twotower.models.second_stage.moment import Asked, Moment
from twotower.types import Array, Floats, Ids, Queries

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32
_ZERO_FIRST = ("same", "linear", "square", "far", "active", "exposed", "decay", "usual", "home")
LARGE = 5_000
"""Codes of a column from which comparing all is faster than a table of them."""


@dataclass(frozen=True, eq=False)
class KernelWeights:
    """Weights of the kernel, see `ContentKernel`.

    Attributes:
        same: θ of C categorical columns and M columns of sets. Shape [C + M].
        linear, square: a and b of the numbers, not negative. Shapes [G].
        far: γ of the distance. Shape [1].
        active: β of the forecast inside the kernel. Shape [1].
        exposed: its power in b. Shape [1].
        decay: power of the age with which an event's worth falls. Shape [1].
        usual: μ of categorical columns: power of the share of the user's events with the item's value. Shape [C].
        home: δ of the distance from the user's median place. Shape [1].
        background: π. Shape [1].
    """

    same: Floats
    linear: Floats
    square: Floats
    far: Floats
    active: Floats
    exposed: Floats
    decay: Floats
    usual: Floats
    home: Floats
    background: Floats

    @classmethod
    def none(cls, n_columns: int, n_numbers: int, n_codes: int) -> Self:
        """Everything alike, before learning."""
        sizes = (n_columns, n_numbers, n_numbers, 1, 1, 1, 1, n_codes, 1)
        zeros = dict(zip(_ZERO_FIRST, (np.zeros(n, np.float32) for n in sizes), strict=True))
        return cls(**zeros, background=np.full(1, 0.1, np.float32))

    def to_arrays(self) -> dict[str, Array]:
        """All weights by their names."""
        return asdict(self)

    def log_kernel(self, items: Looked, history: Looked) -> Floats:
        """Log of K of every item and event. Shape [n, L]."""
        n_codes, length = items.codes.shape[1], len(history.codes)
        total = np.repeat((items.exposure * self.active)[:, None], length, axis=1)
        for c in range(n_codes):
            total += alike(items.codes[:, c], history.codes[:, c], self.same[c])
        for m in range(items.sets.shape[1]):
            total += self.same[n_codes + m] * (items.sets[:, m] @ history.sets[:, m].T)
        for g in range(items.numbers.shape[1]):
            gap = np.abs(items.numbers[:, g, None] - history.numbers[:, g])
            if np.isnan(gap[:, -1]).any() or np.isnan(gap[-1]).any() or np.isnan(gap).any():
                np.nan_to_num(gap, copy=False, nan=0.0)
            total -= gap * (self.linear[g] + self.square[g] * gap)
        if items.places.shape[1]:
            total -= self.far * log_distance(items.places, history.places)
        return np.asarray(total, np.float32)

    def log_probability(
        self, items: Looked, history: Looked, age: Floats, sample: Looked, usual: Floats, from_home: Floats
    ) -> Floats:
        """Log of P of each item, up to a number that all share. Shape [n].

        Args:
            items: n of them.
            history: the newest events. L of them.
            age: of the events in days. Shape [L].
            sample: items over which kernels are normalised.
            usual: log of the share of all the user's events with the item's value, by column. Shape [n, C].
            from_home: log distance from the user's median place. Shape [n].
        """
        worth = -self.decay * np.log1p(age)
        normal = log_sum(self.log_kernel(sample, history).T)  # [L]
        by_taste = log_sum(self.log_kernel(items, history) + (worth - log_sum(worth) - normal))
        exposure = items.exposure * self.exposed - log_sum(sample.exposure * self.exposed)
        share = float(self.background[0])
        joined = np.logaddexp(np.log1p(-share) + by_taste, np.log(share) + exposure)
        joined = joined + usual @ self.usual - self.home * from_home
        return np.asarray(joined, np.float32)


def log_sum(values: Floats) -> Floats:
    """Log of Σ exp over the last axis."""
    most = values.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(values - most).sum(axis=-1)) + most[..., 0])


def alike(codes: Ids, wanted: Ids, worth: float) -> Floats:
    """`worth` where an item's code is that of an event, by a look into a table of all codes. [n], [L] → [n, L]."""
    n_codes = int(max(codes.max(initial=-1), wanted.max(initial=-1))) + 1
    if n_codes > LARGE:
        return np.where((codes[:, None] == wanted) & (wanted >= 0), np.float32(worth), np.float32(0))
    table = np.zeros((n_codes + 1, len(wanted)), np.float32)  # the first row stands for a missing value
    known = np.flatnonzero(wanted >= 0)
    table[wanted[known] + 1, known] = worth
    return table[codes + 1]


def log_distance(a: Floats, b: Floats) -> Floats:
    """Log of 1 + km / 50 of points on the sphere, 0 where one is missing. [n, 3], [L, 3] → [n, L]."""
    squared = np.clip(2 - 2 * (a @ b.T), 0, 4)
    return np.asarray(np.nan_to_num(np.log1p(np.sqrt(squared) * np.float32(EARTH / NEAR))), np.float32)


@dataclass(frozen=True, eq=False)
class Questions:
    """Pairs that came true after an earlier moment, and what was known at it.

    Attributes:
        parts: the catalogue as of the moment.
        asked: newest distinct events of B users.
        known: many events of them.
        row: whose each target is, a row of `asked`. Shape [T].
        item: the targets. Shape [T].
        there: items that could be had. Shape [n].
    """

    parts: KernelParts
    asked: Asked
    known: Asked
    row: Ids
    item: Ids
    there: Ids

    @classmethod
    def of(cls, cut: Split, recent: int, exposure: Exposure, *, by_moment: bool) -> Self:
        """Those of one earlier moment; users of whom nothing is known teach nothing."""
        moment, queries = Moment(cut.dataset, cut.test.history, cut.test.at), cut.test.queries()
        at = moment.at if by_moment else None
        asked, known_events = newest(queries, at, recent), Asked.of(queries, at)
        relevant = cut.test.relevant()
        known = (queries.histories.lengths > 0)[relevant.row_ids()]
        there = np.arange(cut.dataset.n_items) if cut.test.available is None else np.flatnonzero(cut.test.available)
        parts = KernelParts.of(moment, exposure, cut.test.available)
        return cls(parts, asked, known_events, relevant.row_ids()[known], relevant.values[known], there)

    def batches(self, competitors: int, share: float, rng: np.random.Generator) -> Iterator[tuple[Asked, Asked, Ids]]:
        """Users, newest and many events, with a target and its competitors, drawn evenly. Shapes [b, L], [b, 1 + S]."""
        order = rng.permutation(len(self.row))[: max(1, round(share * len(self.row)))]
        for rows in np.array_split(order, -(-len(order) // BATCH)) if len(self.row) else ():
            drawn = rng.choice(self.there, (len(rows), competitors))
            users = self.row[rows]
            yield (
                self.asked.at_rows(users),
                self.known.at_rows(users),
                np.concatenate([self.item[rows, None], drawn], axis=1),
            )


def newest(queries: Queries, at: int | None, recent: int) -> Asked:
    """The newest events, each item once at its newest place."""
    return Asked.of(queries, at).last(2 * recent).distinct().last(recent)


def fit_weights(
    questions: Sequence[Questions], *, targets: int, competitors: int, epochs: int, lr: float, seed: int
) -> KernelWeights:
    """Weights of the largest likelihood of what came true among competitors, by Adam.

    Args:
        questions: of earlier moments.
        targets: so many of them an epoch, drawn anew.
        competitors: items that each is told from.
        epochs: passes.
        lr: of Adam.
        seed: of draws.
    """
    import torch

    rng, total = np.random.default_rng(seed), sum(len(q.row) for q in questions)
    start = KernelWeights.none(*questions[0].parts.sizes)
    first = {name: np.log(np.expm1(0.3)) + 0 * a if name in _POSITIVE else a for name, a in start.to_arrays().items()}
    first |= {
        "same": start.same + 0.3,
        "active": start.active + 0.5,
        "exposed": start.exposed + 1,
        "background": np.full(1, -2.0),
    }
    raw = {name: torch.tensor(np.asarray(a, np.float32), requires_grad=True) for name, a in first.items()}
    optimizer = torch.optim.Adam(list(raw.values()), lr=lr)
    for _ in range(epochs):
        for q in questions:
            for asked, known, items in q.batches(competitors, min(1.0, targets / max(1, total)), rng):
                looked = q.parts.take(items.ravel()), q.parts.take(np.maximum(asked.items, 0).ravel())
                loss = _surprise(raw, *looked, asked, *q.parts.of_user(known, items))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    return KernelWeights(**{name: _meant(name, tensor).detach().numpy() for name, tensor in raw.items()})


_POSITIVE = ("linear", "square", "far", "decay", "home")


def _meant(name: str, raw: "Tensor") -> "Tensor":
    """What a free number stands for: distances and decay are positive, π is a share."""
    from torch.nn import functional as F

    return F.softplus(raw) if name in _POSITIVE else raw.sigmoid() if name == "background" else raw


def _surprise(
    raw: dict[str, Any], items: Looked, history: Looked, asked: Asked, usual: Floats, from_home: Floats
) -> "Tensor":
    """Mean −log P of the first of each row of items, normalised over the row."""
    import torch

    w = {name: _meant(name, tensor) for name, tensor in raw.items()}
    (b, s), length = from_home.shape, asked.items.shape[1]
    real = torch.from_numpy(asked.items >= 0)  # [b, L]
    exposed = torch.from_numpy(items.exposure).view(b, s)
    log_k = _log_kernels(w, items, history, (b, s, length)) + (exposed * w["active"])[:, :, None]
    worth = (-w["decay"] * torch.from_numpy(asked.age).log1p()).masked_fill(~real, -torch.inf).log_softmax(1)
    by_taste = (log_k.log_softmax(1) + worth[:, None]).logsumexp(2)  # [b, S]
    exposure = (exposed * w["exposed"]).log_softmax(1)
    share = w["background"].clamp(1e-4, 1 - 1e-4)
    joined = torch.logaddexp((1 - share).log() + by_taste, share.log() + exposure)
    joined = joined + torch.from_numpy(usual) @ w["usual"] - w["home"] * torch.from_numpy(from_home)
    return -joined.log_softmax(1)[:, 0].mean()


def _log_kernels(w: dict[str, Any], items: Looked, history: Looked, shape: tuple[int, int, int]) -> "Tensor":
    """Kernels in logarithms, without exposure. Shape [b, S, L]."""
    import torch

    b, s, length = shape
    total = torch.zeros(shape)
    n_codes = items.codes.shape[1]
    for c in range(n_codes):
        own, theirs = items.codes[:, c].reshape(b, s, 1), history.codes[:, c].reshape(b, 1, length)
        total = total + w["same"][c] * torch.from_numpy((own == theirs) & (own >= 0)).float()
    for m in range(items.sets.shape[1]):
        own_set, their_set = items.sets[:, m].reshape(b, s, -1), history.sets[:, m].reshape(b, length, -1)
        total = total + w["same"][n_codes + m] * torch.from_numpy(own_set @ their_set.transpose(0, 2, 1))
    for g in range(items.numbers.shape[1]):
        gap = np.abs(items.numbers[:, g].reshape(b, s, 1) - history.numbers[:, g].reshape(b, 1, length))
        known = torch.from_numpy(np.nan_to_num(gap))
        total = total - known * (w["linear"][g] + w["square"][g] * known)
    if items.places.shape[1]:
        own_place, their_place = items.places.reshape(b, s, 3), history.places.reshape(b, length, 3)
        squared = np.clip(2 - 2 * (own_place @ their_place.transpose(0, 2, 1)), 0, 4)
        total = total - w["far"] * torch.from_numpy(
            np.nan_to_num(np.log1p(np.sqrt(squared) * EARTH / NEAR)).astype(np.float32)
        )
    return total
