"""The content of items as weighted tokens: a value of a column, a word of a text, a bin of a number is one each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from twotower.data.tables import MISSING, MISSING_TIME, Categories, Column, ColumnValues, FeatureTable, MultiCategories
from twotower.models.matrix import Sparse
from twotower.types import Array, Bools, Floats

WORD = r"(?u)\w+"


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """Items as unit vectors of tokens.

    Attributes:
        items: TF-IDF rows of length 1; an item of which nothing is known is empty. float32. Shape [N, T].
        lengths: of the rows before they were made unit vectors: how much is known of an item. Shape [N].
    """

    items: Sparse
    lengths: Floats


def token_counts(table: FeatureTable, seen: Bools, *, n_bins: int, min_count: int, exclude: Sequence[str]) -> Sparse:
    """How often each item has each token, e.g. `genres=Comedy`; what items without events alone have is left out.

    Args:
        table: the catalogue. N rows.
        seen: items with training events, whose numbers are cut into bins and whose tokens count. Shape [N].
        n_bins: bins of equal count of a number or moment.
        min_count: tokens of fewer seen items are left out.
        exclude: columns to leave out.

    Returns:
        float32. Shape [N, T].

    Raises:
        BadInput: `exclude` names a column that is not there.
    """
    left_out = {table.schema[name].name for name in exclude}
    columns = [column for column in table.schema.columns if column.name not in left_out]
    parts = [_column_tokens(column, table[column.name], seen, n_bins) for column in columns]
    counts: Sparse = sparse.hstack([_none(len(table)), *parts], format="csr")
    counts.sum_duplicates()
    counts.eliminate_zeros()
    frequent = np.flatnonzero(np.bincount(counts[seen].indices, minlength=counts.shape[1]) >= min_count)
    frequent_counts: Sparse = counts[:, frequent]
    return frequent_counts


def tf_idf(counts: Sparse, seen: Bools, *, tf_power: float, idf_power: float) -> Content:
    """Unit rows of count^tf_power · idf^idf_power, where idf = 1 + ln((1 + n) / (1 + items with the token)).

    Args:
        counts: tokens of all items. Shape [N, T].
        seen: items that document frequencies are counted over. Shape [N].
        tf_power: 0: having a token is all that counts; 1: so many times is so much more.
        idf_power: how much more rare tokens say; 0: all alike.

    Source: Salton & Buckley 1988, "Term-weighting approaches in automatic text retrieval".
    """
    if not counts.shape[1]:
        return Content(counts, np.zeros(counts.shape[0], np.float32))
    idf = TfidfTransformer(norm=None).fit(counts[seen]).idf_
    values = counts.data.astype(np.float64) ** tf_power * idf[counts.indices] ** idf_power
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(row, values**2, minlength=counts.shape[0]))
    unit = (values / lengths[row]).astype(np.float32)
    return Content(sparse.csr_array((unit, counts.indices, counts.indptr), counts.shape), lengths.astype(np.float32))


def _column_tokens(column: Column, values: ColumnValues, seen: Bools, n_bins: int) -> Sparse:
    """Tokens of one column; kinds that are neither values, nor words, nor numbers have none. Shape [N, t]."""
    n = len(values)
    if isinstance(values, Categories):
        return _one_each(values.codes, values.codes != MISSING, len(values.values))
    if isinstance(values, MultiCategories):
        weights = np.maximum(values.weights, 0).astype(np.float32)
        return sparse.csr_array((weights, values.codes.values, values.codes.offsets), shape=(n, len(values.values)))
    if isinstance(values, np.ndarray) and values.dtype == object:
        return _words(values)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return _bins(column, values, seen, n_bins)
    return _none(n)


def _words(texts: Array) -> Sparse:
    """Runs of letters and digits in lower case. Shape [N, words]."""
    if not any(texts):
        return _none(len(texts))
    return sparse.csr_array(CountVectorizer(token_pattern=WORD, dtype=np.float32).fit_transform(texts))


def _bins(column: Column, values: Array, seen: Bools, n_bins: int) -> Sparse:
    """One token a bin of equal count among the seen items; none where the value is missing or out of limits."""
    numbers = values.astype(np.float64)
    known = ~np.isnan(numbers) if values.dtype.kind == "f" else values != MISSING_TIME
    known &= numbers >= (-np.inf if column.low is None else column.low)
    known &= numbers <= (np.inf if column.high is None else column.high)
    if not (known & seen).any():
        return _none(len(values))
    edges = np.unique(np.quantile(numbers[known & seen], np.arange(1, n_bins) / n_bins))
    return _one_each(np.searchsorted(edges, numbers), known, len(edges) + 1)


def _one_each(codes: Array, known: Bools, size: int) -> Sparse:
    """One token for every known row. Shape [N, size]."""
    offsets = np.concatenate([[0], np.cumsum(known)])
    return sparse.csr_array((np.ones(offsets[-1], np.float32), codes[known], offsets), shape=(len(codes), size))


def _none(n: int) -> Sparse:
    """No tokens. Shape [n, 0]."""
    return sparse.csr_array(np.zeros((n, 0), np.float32))
