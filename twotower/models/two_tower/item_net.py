"""`ItemNet`: an item's features, and its identity where it is known well enough, to a unit vector."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.nn.embeddings import FieldEmbeddings, mlp
from twotower.nn.packed import Features
from twotower.nn.sharded_tables import RowShard, fill_table, local_rows, new_table


class ItemNet(nn.Module):
    """The item tower.

    An identity is dropped at random while training, so that the features learn to speak for items without one:
    new items arrive with features only.

    Source: Kurovski (2017), ItemNet; the projection to a shared width and the identities are additions.
    Relations: `UserNet` is its sibling; they share no weights.

    Args:
        sizes: item field name to number of codes.
        n_continuous: continuous columns.
        n_identities: items with an identity of their own, numbered 1..n; 0 stands for "none". 0 builds no table.
        dim: width of the vector.
        hidden: widths of hidden layers between the embedded features and the vector.
        dropout: on hidden layers.
        identity_dropout: share of identities that are hidden while training.
        sparse: give the table of identities a sparse gradient, for an optimiser that moves the rows of a batch only.
        periodic: continuous columns that are read by waves, too.
        widths: of some fields' embeddings.
        vectors: first and past the last continuous column of each vector.
    """

    def __init__(
        self,
        *,
        sizes: Mapping[str, int],
        n_continuous: int,
        n_identities: int,
        dim: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        identity_dropout: float = 0.0,
        sparse: bool = False,
        periodic: Sequence[int] = (),
        widths: Mapping[str, int] | None = None,
        vectors: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.dim = dim
        self.identity_dropout = identity_dropout
        self.features = FieldEmbeddings(sizes, n_continuous, periodic, widths, vectors)
        self.project = mlp([self.features.width, *hidden, dim], dropout) if self.features.width else None
        self.identities = _identities(n_identities + 1, dim, sparse=sparse) if n_identities else None
        self.unnamed = nn.Parameter(torch.full((dim,), dim**-0.5)) if self.project is None else None

    def forward(self, features: Features, identities: Tensor) -> Tensor:
        """Features and identities [n] of n items to unit vectors [n, D]."""
        vectors = self.project(self.features(features)) if self.project is not None else self._unnamed(len(identities))
        if self.identities is not None:
            vectors = vectors + _named(self.identities, self._some(identities))
        return F.normalize(vectors, dim=-1)

    def _unnamed(self, n: int) -> Tensor:
        assert self.unnamed is not None
        return self.unnamed.expand(n, -1)

    def _some(self, identities: Tensor) -> Tensor:
        """Identities, some of them hidden while training."""
        if not self.training or self.identity_dropout == 0:
            return identities
        shown = torch.rand(identities.shape, device=identities.device) >= self.identity_dropout
        return identities * shown


def _identities(n_rows: int, dim: int, *, sparse: bool) -> nn.Embedding:
    """A vector for each identity, drawn at random; none for number 0."""
    # Numbers only: its weight may be too large here.
    table = nn.Embedding(n_rows, dim, padding_idx=0, sparse=sparse, device="meta")
    table.weight = new_table(n_rows, dim)
    fill_table(table.weight, Tensor.normal_)  # what torch draws for any embedding; seeds mean the same weights as ever
    fill_table(table.weight, lambda part: part.normal_(std=dim**-0.5), first=1)
    if not isinstance(table.weight, RowShard) or table.weight.workers.leads:
        with torch.no_grad():
            table.weight[0] = 0.0
    return table


def _named(table: nn.Embedding, identities: Tensor) -> Tensor:
    """Vectors of identities [n]; number 0 has none and learns none. Shape [n, D]."""
    if not isinstance(table.weight, RowShard):
        vectors: Tensor = table(identities)
        return vectors
    return F.embedding(*local_rows(table.weight, identities, sparse=table.sparse)) * (identities > 0)[:, None]
