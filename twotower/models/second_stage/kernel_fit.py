"""`fit_weights`: weights of a content kernel by likelihood of what came true after earlier moments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from twotower.data.split import Split
from twotower.models.second_stage.exposure import Exposure
from twotower.models.second_stage.kernel_parts import KernelParts, Looked
from twotower.models.second_stage.kernel_weights import KernelWeights, likeness, n_free, n_ways
from twotower.models.second_stage.moment import Asked, Moment
from twotower.types import NO_ITEM, Floats, Ids, Queries

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 4
"""Users of a step."""
MOST_TARGETS = 20
"""Targets of a user that a step looks at."""
LAST_LR = 0.05
"""Learning rate of the last step, of that of the first."""


@dataclass(frozen=True, eq=False)
class Questions:
    """Pairs that came true after an earlier moment, and what was known at it.

    Attributes:
        parts: the catalogue as of the moment.
        asked: newest distinct events of B users.
        known: many events of them.
        row: whose each target is, a row of `asked`, rising. Shape [T].
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

    def draw(self, competitors: int, rng: np.random.Generator) -> "Told":
        """A user by chance, in proportion to its targets, and items that these are told from."""
        row = self.row[rng.integers(len(self.row))]
        item = self.item[np.searchsorted(self.row, row) : np.searchsorted(self.row, row, side="right")]
        targets = item if len(item) <= MOST_TARGETS else rng.choice(item, MOST_TARGETS, replace=False)
        asked = self.asked.at_rows(np.array([row]))
        history = asked.items[0][asked.items[0] != NO_ITEM]
        few = competitors < len(self.there)
        others = rng.choice(self.there, competitors, replace=False) if few else self.there
        others = others[~np.isin(others, np.concatenate([item, history]))]
        items = np.concatenate([targets, others])
        usual, from_home = self.parts.of_user(self.known.at_rows(np.array([row])), items[None])
        counted = np.zeros(len(items), np.float32)
        counted[len(targets) :] = np.log(len(self.there) / max(1, min(competitors, len(self.there))))
        return Told(
            len(targets), self.parts.take(items), self.parts.take(history), asked.age[0, : len(history)], usual[0],
            from_home[0], counted, self.parts.exposure[self.there],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """One user's targets and the items that they are told from. T targets, n items, L events.

    Attributes:
        n_targets: the first so many items are those that came true.
        items: targets and others.
        history: the newest events.
        age: of the events in days. Shape [L].
        usual, from_home: see `KernelParts.of_user`. Shapes [n, C], [n].
        counted: log of how many items of the catalogue each stands for. Shape [n].
        exposure: forecast of all items that could be had. Shape [N].
    """

    n_targets: int
    items: Looked
    history: Looked
    age: Floats
    usual: Floats
    from_home: Floats
    counted: Floats
    exposure: Floats


def newest(queries: Queries, at: int | None, recent: int) -> Asked:
    """The newest events, each item once at its newest place."""
    return Asked.of(queries, at).last(2 * recent).distinct().last(recent)


def fit_weights(
    questions: Sequence[Questions], *, heads: int, users: int, competitors: int, lr: float, seed: int,
    start: KernelWeights | None = None,
) -> KernelWeights:  # fmt: skip
    """Weights of the largest likelihood of what came true, by Adam with a falling learning rate.

    Sums over the catalogue are taken over all of it, or over so many items drawn evenly that they hardly differ: with a
    few hundred, a kernel that is too narrow to meet any of them would seem to be the best.

    Args:
        questions: of earlier moments.
        heads: kernels that are mixed.
        users: drawn one by one, with all their targets.
        competitors: items that the targets are told from.
        lr: of the first step.
        seed: of draws and of what makes the heads differ at first.
        start: weights to go on from.
    """
    import torch

    rng, asked = np.random.default_rng(seed), [q for q in questions if len(q.row)]
    parts = questions[0].parts
    raw = {name: torch.tensor(a, requires_grad=True) for name, a in (_free(start, parts) if start else
           _first(parts, heads, rng)).items()}  # fmt: skip
    optimizer, steps = torch.optim.Adam(list(raw.values()), lr=lr), max(1, users // BATCH)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, lr * LAST_LR)
    for _ in range(steps if asked else 0):
        drawn = [asked[rng.integers(len(asked))].draw(competitors, rng) for _ in range(BATCH)]
        loss = torch.stack([_surprise(_meant(raw, parts), told) for told in drawn]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        falling.step()
    return KernelWeights(**{name: tensor.detach().numpy() for name, tensor in _meant(raw, parts).items()})


def _first(parts: Looked, heads: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Free numbers to begin with: agreement is good, distance is bad, and heads differ by chance."""
    ways, free = n_ways(parts), n_free(parts)
    alike = np.where(np.arange(ways) < free, 0.3, -1.0) + 0.3 * (heads > 1) * rng.standard_normal((heads, ways))
    ones, zeros = np.ones(heads), np.zeros(heads)
    numbers = {"alike": alike, "active": ones, "decay": zeros, "share": zeros, "exposed": [1.0], "background": [-2.0],
               "usual": np.zeros(parts.codes.shape[1]), "home": [0.0]}  # fmt: skip
    return {name: np.asarray(a, np.float32) for name, a in numbers.items()}


def _free(weights: KernelWeights, parts: Looked) -> dict[str, Floats]:
    """The free numbers behind weights: what `_meant` turns into them."""
    free, arrays = n_free(parts), weights.to_arrays()
    arrays["alike"] = np.concatenate([weights.alike[:, :free], _inverse_softplus(weights.alike[:, free:])], axis=1)
    arrays |= {name: _inverse_softplus(arrays[name]) for name in ("decay", "home")}
    arrays["share"] = np.log(np.maximum(weights.share, 1e-6))
    share = np.clip(weights.background, 1e-4, 1 - 1e-4)
    return {**arrays, "background": np.log(share / (1 - share))}


def _inverse_softplus(values: Floats) -> Floats:
    return np.asarray(np.log(np.expm1(np.maximum(values, 1e-3))), np.float32)


def _meant(raw: dict[str, Any], parts: Looked) -> dict[str, Any]:
    """What free numbers stand for: distances and decay are positive, the heads' shares add up to 1, π is a share."""
    import torch
    from torch.nn import functional as F

    free, alike = n_free(parts), raw["alike"]
    return {
        **raw,
        "alike": torch.cat([alike[:, :free], F.softplus(alike[:, free:])], dim=1),
        "decay": F.softplus(raw["decay"]),
        "home": F.softplus(raw["home"]),
        "share": raw["share"].softmax(0),
        "background": raw["background"].sigmoid(),
    }


def _surprise(w: dict[str, Any], told: Told) -> "Tensor":
    """Mean −log P of the targets, normalised over the catalogue."""
    import torch

    ways = torch.from_numpy(likeness(told.items, told.history))  # [F, n, L]
    exposure, counted = torch.from_numpy(told.items.exposure), torch.from_numpy(told.counted)
    kernels = (w["alike"] @ ways.flatten(1)).unflatten(1, ways.shape[1:]) + w["active"][:, None, None] * exposure[
        :, None
    ]
    normal = (kernels + counted[:, None]).logsumexp(1, keepdim=True)  # [H, 1, L]
    worth = (-w["decay"][:, None] * torch.from_numpy(told.age).log1p()).log_softmax(1) + w["share"].log()[:, None]
    by_taste = (kernels - normal + worth[:, None]).transpose(0, 1).flatten(1).logsumexp(1)  # [n]
    background = exposure * w["exposed"] - (torch.from_numpy(told.exposure) * w["exposed"]).logsumexp(0)
    share = w["background"].clamp(1e-4, 1 - 1e-4)
    joined = torch.logaddexp((1 - share).log() + by_taste, share.log() + background)
    joined = joined + torch.from_numpy(told.usual) @ w["usual"] - w["home"] * torch.from_numpy(told.from_home)
    surprise: Tensor = (joined + counted).logsumexp(0) - joined[: told.n_targets].mean()
    return surprise
