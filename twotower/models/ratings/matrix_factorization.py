"""`RatingMF`: matrix factorisation of values: mean, biases and a product of vectors, by gradient steps."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from twotower.data.split import Split
from twotower.models.matrix import products
from twotower.models.neural import Facts, NeuralModel
from twotower.models.options import count, require
from twotower.models.pairs import PairModel, known_or_last, range_of
from twotower.nn.distributed import Workers
from twotower.training.adagrad import RowAdagrad
from twotower.training.tasks import ValuedPairs
from twotower.types import Floats, Ids, Queries, Times

SPREAD = 0.1
"""Standard deviation of fresh vectors: products begin near 0, so that the biases are learnt first."""


class BiasedProduct(nn.Module):
    """mean + user bias + item bias + user vector · item vector, of rows of two tables whose last row stays 0."""

    mean: Tensor

    def __init__(self, n_users: int, n_items: int, dim: int, mean: float) -> None:
        """Fresh vectors, biases 0.

        Args:
            n_users: users in training; row n_users is an unknown one.
            n_items: items in training; row n_items is an unknown one.
            dim: length D of the vectors; a bias is a table's last column.
            mean: of the training values.
        """
        super().__init__()
        self.users = nn.Embedding(n_users + 1, dim + 1, sparse=True)
        self.items = nn.Embedding(n_items + 1, dim + 1, sparse=True)
        self.register_buffer("mean", torch.tensor(mean))
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=SPREAD)
            table.weight.data[:, -1] = 0
            table.weight.data[-1] = 0

    def forget(self, users: Tensor, items: Tensor) -> None:
        """Makes rows 0: of ids without training values nothing is learnt, and nothing is known."""
        self.users.weight.data[users] = 0
        self.items.weight.data[items] = 0

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Values of pairs [P], and the sums of squares of the weights that made each [P]."""
        of_users, of_items = self.users(users), self.items(items)  # [P, D + 1]
        both = of_users[:, :-1] * of_items[:, :-1]
        values = self.mean + of_users[:, -1] + of_items[:, -1] + both.sum(dim=1)
        return values, of_users.square().sum(dim=1) + of_items.square().sum(dim=1)


@dataclass(kw_only=True, eq=False, repr=False)
class RatingMF(NeuralModel, PairModel):
    """Value = mean + user bias + item bias + user vector · item vector, cut to the range of the training values.

    Minimises the mean over training values of squared error + l2 · (b_u² + b_i² + |p_u|² + |q_i|²), the weights being
    those of the value's own user and item: the rows that a batch reads, each as often as it is read. (Weight decay of
    an optimiser would pull at all rows in every step, most of all at those of rare ids.) Row-wise steps of Adagrad move
    these rows alone.

    Relations: `RatingBiases` without the product; ALS and `MF` rank implicit events with the same product.

    Source: Koren, Bell & Volinsky 2009, "Matrix factorization techniques for recommender systems", equations 4 and 5;
    Adagrad: Duchi, Hazan & Singer 2011.

    Attributes:
        dim: length D of the vectors.
    """

    dim: int = 64
    epochs: int = 100
    batch_size: int = 1024
    lr: float = 0.05
    l2: float = 0.1
    patience: int | None = 5
    metric: str = "rmse"

    def __post_init__(self) -> None:
        """Refuses options out of range.

        Raises:
            BadConfig: it names the option.
        """
        super().__post_init__()
        require(self, dim=count)

    def facts_of(self, split: Split) -> Facts:
        """Sizes of the tables; mean and range of the values."""
        values = split.train.value.astype(np.float64)
        return {**super().facts_of(split), "mean": float(values.mean()), "range": range_of(values)}

    @property
    def value_range(self) -> tuple[float, float]:
        """Lowest and highest training value."""
        low, high = self.facts["range"]
        return low, high

    def build(self, facts: Facts) -> BiasedProduct:
        """Both tables."""
        return BiasedProduct(facts["n_users"], facts["n_items"], self.dim, facts["mean"])

    def task(self, module: nn.Module, split: Split, workers: Workers) -> ValuedPairs:
        """Squared errors of shuffled values."""
        tables, events = cast(BiasedProduct, module), split.train
        unseen = (
            np.bincount(ids, minlength=n) == 0
            for ids, n in ((events.user, events.n_users), (events.item, events.n_items))
        )
        tables.forget(*(self._tensor(np.flatnonzero(ids)) for ids in unseen))

        def loss(users: Tensor, items: Tensor, values: Tensor) -> Tensor:
            predicted, squares = tables(users, items)
            per_pair: Tensor = (predicted - values).square() + self.l2 * squares
            return per_pair.mean()

        return ValuedPairs(
            module=module,
            optimizers=[RowAdagrad(module.parameters(), lr=self.lr)],
            events=events,
            batch_size=self.batch_size,
            seed=self.seed,
            workers=workers,
            loss=loss,
        )

    @torch.inference_mode()
    def raw_values(self, users: Ids, items: Ids, at: Times | None) -> Floats:
        """The sum, of which unknown users and items have no part. Shape [P]."""
        rows = (known_or_last(users, self.facts["n_users"]), known_or_last(items, self.facts["n_items"]))
        values: Floats = self.module(*map(self._tensor, rows))[0].cpu().numpy()
        return values

    @torch.inference_mode()
    def score(self, queries: Queries) -> Floats:
        """As `raw_values` of the whole catalogue up to rounding, by one product. Shape [B, N]."""
        self._check(queries)
        tables = cast(BiasedProduct, self.module)
        rows = self._tensor(known_or_last(queries.users, self.facts["n_users"]))
        of_users, of_items = (t.cpu().numpy() for t in (tables.users.weight[rows], tables.items.weight[:-1]))
        user_part = np.pad(of_users, ((0, 0), (0, 1)), constant_values=1)  # vector, bias, 1
        user_part[:, -2] += float(tables.mean)
        item_part = np.insert(of_items, -1, 1, axis=1)  # vector, 1, bias
        return products(user_part, item_part)
