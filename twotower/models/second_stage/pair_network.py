"""`PairNetwork`: RankNet at the moment of asking: a wide and a deep part over pair features and the towers' product."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.models.second_stage.examples import Examples
from twotower.models.second_stage.scorer import Scorer
from twotower.nn.embeddings import mlp
from twotower.training.context import FitContext
from twotower.training.loop import Trainer
from twotower.types import Array, Floats, Ids, runs

Loss = Literal["binary", "pairwise", "listwise"]
N_KNOTS = 33
"""Quantiles between which a feature enters on a straight line."""
BLOCK = 1 << 16
"""Pairs scored at once."""


class Scales(nn.Module):
    """Features on the scale of their quantiles, -1..1; a missing one is 0 and has a column of its own that says so.

    Source: Gorishniy, Rubachev & Babenko 2022, "On embeddings for numerical features in tabular deep learning" (the
    quantile transform that all their networks read).
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("knots", torch.zeros(n_features, N_KNOTS))

    def learn(self, features: Floats) -> Self:
        """Takes the quantiles of some pairs. Shape [P, F]."""
        at = np.linspace(0, 1, N_KNOTS)
        columns = [_quantiles(column, at) for column in features.T]
        self.get_buffer("knots").copy_(torch.from_numpy(np.stack(columns).astype(np.float32)))
        return self

    def forward(self, features: Tensor) -> Tensor:
        """[P, F] → [P, 2F]."""
        knots, missing = self.get_buffer("knots"), features.isnan()
        columns = features.nan_to_num().T.contiguous()  # [F, P]
        right = torch.searchsorted(knots, columns).clamp(1, N_KNOTS - 1)
        low, high = knots.gather(1, right - 1), knots.gather(1, right)
        inside = ((columns - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        scaled = ((right - 1 + inside) * (2 / (N_KNOTS - 1)) - 1).T
        return torch.cat([scaled.masked_fill(missing, 0), missing.float()], dim=1)


def _quantiles(column: Array, at: Array) -> Array:
    known = column[np.isfinite(column)]
    return np.quantile(known, at) if len(known) else np.zeros(len(at))


class WideAndDeep(nn.Module):
    """Linear part + layers; the layers start silent, so that training begins with the linear order.

    Args:
        n_features: pair features F.
        hidden: widths of the layers.
        dropout: on them.
    """

    def __init__(self, n_features: int, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.scales = Scales(n_features)
        self.wide = nn.Linear(2 * n_features, 1)
        self.deep = mlp([2 * n_features, *hidden], dropout)
        self.last = nn.Linear(hidden[-1], 1, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Logits. [P, F] → [P]."""
        scaled = self.scales(features)
        logits: Tensor = self.wide(scaled) + self.last(self.deep(scaled))
        return logits[:, 0]


def binary_loss(logits: Tensor, positive: Tensor, real: Tensor) -> Tensor:
    """Mean binary cross-entropy of all candidates. Shapes [Q, C]."""
    return F.binary_cross_entropy_with_logits(logits[real], positive[real].float())


def pairwise_loss(logits: Tensor, positive: Tensor, real: Tensor) -> Tensor:
    """Mean of log(1 + exp(negative − positive)) over the pairs of each query (Burges et al. 2005). Shapes [Q, C]."""
    gap = logits[:, None] - logits[:, :, None]  # [Q, positive, negative]
    counts = (positive & real)[:, :, None] & (~positive & real)[:, None]
    per_query = (F.softplus(gap) * counts).sum((1, 2)) / counts.sum((1, 2)).clamp_min(1)
    return per_query.mean()


def listwise_loss(logits: Tensor, positive: Tensor, real: Tensor) -> Tensor:
    """Mean −log share of a positive among the candidates of its query (Cao et al. 2007, top one). Shapes [Q, C]."""
    share = logits.masked_fill(~real, -torch.inf).log_softmax(dim=1)
    hits = positive & real
    return -(share.masked_fill(~hits, 0).sum(1) / hits.sum(1).clamp_min(1)).mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "binary": binary_loss,
    "pairwise": pairwise_loss,
    "listwise": listwise_loss,
}


@dataclass(eq=False)
class ListsTask:
    """A `Task` whose batches are whole queries with their candidates, in a new order in each epoch."""

    module: nn.Module
    optimizers: list[torch.optim.Optimizer]
    examples: Examples
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    queries_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        changes = np.flatnonzero(np.diff(self.examples.query)) + 1
        self._starts = np.concatenate([[0], changes]).astype(np.int64)
        self._lengths = np.diff(np.append(self._starts, len(self.examples)))

    def n_batches(self, epoch: int) -> int:
        """Batches of an epoch."""
        return -(-len(self._starts) // self.queries_per_batch)

    def start_epoch(self, epoch: int, kept: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing to prepare."""
        return {}

    def batches(self, epoch: int, start: int) -> Iterator[tuple[int, Callable[[], tuple[Tensor, dict[str, float]]]]]:
        """Queries from batch number `start` on."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self._starts))
        for batch in range(start, self.n_batches(epoch)):
            chosen = order[batch * self.queries_per_batch : (batch + 1) * self.queries_per_batch]
            yield len(chosen), partial(self._step, chosen)

    def _step(self, chosen: Ids) -> tuple[Tensor, dict[str, float]]:
        lengths = self._lengths[chosen]
        rows = runs(self._starts[chosen], lengths)
        real = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None])  # [Q, C]
        flat = self.module(torch.from_numpy(self.examples.features[rows]))
        logits = torch.zeros(real.shape).masked_scatter(real, flat)
        hits = torch.zeros(real.shape, dtype=torch.bool).masked_scatter(
            real, torch.from_numpy(self.examples.positive[rows])
        )
        return self.loss(logits, hits, real), {}


@dataclass(kw_only=True, eq=False)
class PairNetwork(Scorer):
    """A wide and a deep part over everything that is known of a pair.

    Relations: RankNet of `TwoTower` sees the towers' vectors alone, and is trained with them; its logit is one of the
    features here where the towers are a source.

    Attributes:
        hidden: widths of the deep part.
        dropout: on it.
        loss: binary, pairwise or listwise.
        epochs: passes over the examples.
        lr: of AdamW; falls to zero.
        l2: its weight decay.
        queries_per_batch: whole queries of a step.
        seed: of weights, order and dropout.
    """

    hidden: tuple[int, ...] = (128, 64)
    dropout: float = 0.1
    loss: Loss = "binary"
    epochs: int = 10
    lr: float = 2e-3
    l2: float = 1e-4
    queries_per_batch: int = 16
    seed: int = 0
    _module: WideAndDeep | None = field(default=None, init=False)

    def fit(self, examples: Examples, context: FitContext) -> None:
        """Minimises the loss over all queries."""
        torch.manual_seed(self.seed)
        module = WideAndDeep(examples.features.shape[1], self.hidden, self.dropout)
        module.scales.learn(examples.features)
        optimizer = torch.optim.AdamW(module.parameters(), lr=self.lr, weight_decay=self.l2)
        task = ListsTask(module, [optimizer], examples, LOSSES[self.loss], self.queries_per_batch, self.seed)
        Trainer(epochs=self.epochs, seed=self.seed, patience=None, schedule="linear").fit(task, context.unshared())
        self._module = module.eval()

    @torch.inference_mode()
    def scores(self, features: Floats) -> Floats:
        """Logits. [P, F] → [P]."""
        assert self._module is not None
        blocks = [
            self._module(torch.from_numpy(features[i : i + BLOCK])).numpy() for i in range(0, len(features), BLOCK)
        ]
        return np.concatenate(blocks) if blocks else np.empty(0, np.float32)

    def state(self) -> dict[str, Array]:
        """Weights and knots by their names."""
        return {} if self._module is None else {n: t.numpy() for n, t in self._module.state_dict().items()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Takes back what `state` gave."""
        module = WideAndDeep(len(state["scales.knots"]), self.hidden, self.dropout)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        self._module = module.eval()
