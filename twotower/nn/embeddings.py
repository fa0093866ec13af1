"""Sparse features to dense vectors: one embedding per field, a linear block for the continuous columns."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twotower.nn.dropout import dropout as dropout_layer
from twotower.nn.packed import Features, PackedFeatures
from twotower.nn.sharded_tables import fill_table, local_rows, new_table
from twotower.nn.tensors import FeatureTensors, PaddedBags

N_FREQUENCIES, WAVE_WIDTH = 8, 8
"""Waves of a column, and the width of what is made of them."""
VECTOR_WIDTH = 64
"""Width to which a vector, an embedding of a text or an image, is projected."""
WAVE_SCALE = 0.5
"""Standard deviation of the frequencies at the start, in cycles a standard deviation of the column."""


def field_dim(n_values: int) -> int:
    """Width of a field's embedding: ⌈log2 n_values⌉, at least 1.

    Source: Kurovski (2017), the network's input layer.
    """
    return max(1, math.ceil(math.log2(max(2, n_values))))


class FieldEmbeddings(nn.Module):
    """Per field the weighted sum of its values' embeddings, ELU; beside them the continuous block, ELU.

    Fields are numbered, not named, inside the module: a user's column may be called `forward` or `type`.

    Source: Kurovski (2017), the network's input layer; weights Xavier, as there.

    Args:
        sizes: field name to number of codes.
        n_continuous: columns of the continuous block.
        periodic: columns of it that are read by waves, too.
        widths: of some fields' embeddings; the others' are `field_dim`.
        vectors: first and past the last column of each vector; they stand last and are projected to `VECTOR_WIDTH`.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        n_continuous: int,
        periodic: Sequence[int] = (),
        widths: Mapping[str, int] | None = None,
        vectors: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__()
        self.names = tuple(sizes)
        dims = [(widths or {}).get(name, field_dim(n)) for name, n in sizes.items()]
        self.tables = nn.ParameterList(new_table(n, dim) for n, dim in zip(sizes.values(), dims, strict=True))
        self.n_plain = vectors[0][0] if vectors else n_continuous
        self.block = nn.Linear(self.n_plain, self.n_plain) if self.n_plain else None
        self.waves = Waves(periodic) if periodic else None
        self.spans = tuple(vectors)
        self.projections = nn.ModuleList(nn.Linear(stop - start, VECTOR_WIDTH) for start, stop in vectors)
        self.width = sum(dims) + self.n_plain + len(periodic) * WAVE_WIDTH + len(vectors) * VECTOR_WIDTH
        for n, dim, table in zip(sizes.values(), dims, self.tables, strict=True):
            bound = math.sqrt(3) * math.sqrt(2 / (n + dim))  # Xavier's, rounded as torch rounds it
            fill_table(table, lambda part, bound=bound: part.uniform_(-bound, bound))  # type: ignore[misc]
        if self.block is not None:
            nn.init.xavier_uniform_(self.block.weight)

    def forward(self, features: Features) -> Tensor:
        """Features of n rows to [n, width]."""
        if isinstance(features, PackedFeatures):
            parts = [features.embedded(list(self.tables))] if self.names else []
        else:
            parts = [_embed(features, name, table) for name, table in zip(self.names, self.tables, strict=True)]
        if self.block is not None:
            parts.append(self.block(features.continuous[:, : self.n_plain]))
        if self.waves is not None:
            parts.append(self.waves(features.continuous))
        for (start, stop), project in zip(self.spans, self.projections, strict=True):
            parts.append(project(features.continuous[:, start:stop]))
        return F.elu(torch.cat(parts, dim=1)) if parts else features.continuous


class Waves(nn.Module):
    """Sine and cosine of some columns at learnt frequencies, then a linear layer for each column.

    Source: Gorishniy, Rubachev, Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, NeurIPS 2022,
    section 3.3 ("PL"); the non-linearity is that of `FieldEmbeddings`.

    Args:
        columns: of the continuous block, z-values.
    """

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        self.columns = list(columns)
        self.frequencies = nn.Parameter(torch.randn(len(columns), N_FREQUENCIES) * WAVE_SCALE)
        bound = math.sqrt(3 / N_FREQUENCIES)  # keeps the variance of 2 · N_FREQUENCIES inputs of variance 1/2
        weights = torch.empty(len(columns), 2 * N_FREQUENCIES, WAVE_WIDTH).uniform_(-bound, bound)
        self.weights = nn.Parameter(weights)

    def forward(self, continuous: Tensor) -> Tensor:
        """Continuous columns [n, C] to [n, columns · WAVE_WIDTH]."""
        angles = 2 * math.pi * continuous[:, self.columns, None] * self.frequencies  # [n, columns, frequencies]
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return torch.einsum("nci,cio->nco", waves, self.weights).flatten(1)


class LinearFields(nn.Module):
    """One weight per value of every field: the wide part's linear model.

    Source: Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016, without crossed features.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.tables = nn.ParameterList(new_table(n, 1) for n in sizes.values())
        for table in self.tables:
            nn.init.zeros_(table)

    def forward(self, features: Features) -> Tensor:
        """Features of n rows to [n]."""
        total = features.continuous.new_zeros(len(features))
        if isinstance(features, PackedFeatures):
            return features.weighed(list(self.tables)) if self.names else total
        for name, table in zip(self.names, self.tables, strict=True):
            total = total + _embed(features, name, table)[:, 0]
        return total


def _embed(features: FeatureTensors, name: str, table: Tensor) -> Tensor:
    """Embedding of one field, [n, width of the field]."""
    codes = features.codes[name]
    if isinstance(codes, Tensor):
        return F.embedding(*local_rows(table, codes))
    if isinstance(codes, PaddedBags):
        return (F.embedding(codes.codes, table) * codes.weights[:, :, None]).sum(1)
    ids, rows = local_rows(table, codes.codes)
    return F.embedding_bag(
        ids, rows, codes.offsets, mode="sum", per_sample_weights=codes.weights, include_last_offset=True
    )


def mlp(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of the given widths with ELU and dropout between them (none after the last)."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        linear = nn.Linear(n_in, n_out)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers.append(linear)
        if i < len(widths) - 2:
            layers += [nn.ELU(), dropout_layer(dropout)]
    return nn.Sequential(*layers)
