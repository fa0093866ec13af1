"""Start of wide embedding tables: a truncated SVD of the items' TF-IDF matrix, so that alike values begin alike."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array

from twotower.features.encoded import Bags, EncodedTable, as_matrix
from twotower.models.two_tower.networks import JointModel
from twotower.nn.embeddings import FieldEmbeddings
from twotower.nn.sharded_tables import RowShard
from twotower.types import Floats


def many_valued(items: EncodedTable, svd_from: int | None) -> tuple[str, ...]:
    """Item fields of several values a row that have at least `svd_from` values in all."""
    if svd_from is None:
        return ()
    return tuple(
        name for name, codes in items.codes.items() if isinstance(codes, Bags) and items.sizes[name] > svd_from
    )


def start_from_svd(model: JointModel, items: EncodedTable, fields: Sequence[str]) -> None:
    """Fills the tables of some fields, those of both item towers and of the profile alike, with right singular vectors.

    Items' bags are sums of such rows, so two items begin as near each other as their values are in the SVD. A field
    that lies in fewer dimensions than its table is wide keeps what was drawn for the rest.

    Source: Deerwester et al., Indexing by Latent Semantic Analysis, 1990; Halko, Martinsson, Tropp, 2011, for the SVD.
    """
    for name in fields:
        codes = items.codes[name]
        own = [model.history_net.features] if model.history_net is not None else []
        for part in (model.item_net.features, model.user_net.profile, *own):
            if name in part.names:
                _fill(part, name, value_vectors(as_matrix(codes, items.sizes[name]), _table(part, name).shape[1]))


def value_vectors(weights: csr_array, dim: int) -> Floats:
    """A vector for each value: with them, rows of the matrix have a length of 1 on average. Shape [size, <= dim].

    Args:
        weights: TF-IDF weights, a row for each item. Shape [N, size].
        dim: of the vectors, fewer where the matrix has no more.
    """
    from sklearn.decomposition import TruncatedSVD

    lengths = np.sqrt(weights.multiply(weights).sum(axis=1))
    known = lengths > 0
    unit = weights[known].multiply(1 / lengths[known][:, None]).tocsr()
    dim = min(dim, *(n - 1 for n in unit.shape))
    if dim < 1:
        return np.empty((weights.shape[1], 0), np.float32)
    vectors = TruncatedSVD(dim, random_state=0).fit(unit).components_.T  # [size, dim]
    mean = float(np.linalg.norm(weights[known] @ vectors, axis=1).mean())
    return np.asarray(vectors / mean, np.float32) if mean > 0 else np.zeros_like(vectors, np.float32)


def _table(part: FieldEmbeddings, name: str) -> torch.Tensor:
    table: torch.Tensor = part.tables[part.names.index(name)]
    return table


@torch.no_grad()
def _fill(part: FieldEmbeddings, name: str, vectors: Floats) -> None:
    table = _table(part, name)
    own = slice(table.workers.rank, None, table.workers.size) if isinstance(table, RowShard) else slice(None)
    table[:, : vectors.shape[1]] = torch.from_numpy(np.ascontiguousarray(vectors[own]))
