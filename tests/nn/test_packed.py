"""PackedTable: one gather and one product give the sums and the gradients of one embedding per field."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twotower.features.encoded import Bags, EncodedTable
from twotower.nn.embeddings import FieldEmbeddings, LinearFields
from twotower.nn.packed import PackedTable
from twotower.nn.tensors import FeatureTensors
from twotower.types import Ragged

CPU = torch.device("cpu")


def table_of(rng: np.random.Generator, n: int, sizes: dict[str, int], bags: set[str], n_numbers: int = 2):
    """Random codes: fields named in `bags` hold 0 to 4 weighted values a row, the others one."""
    codes = {}
    for name, size in sizes.items():
        if name in bags:
            lengths = rng.integers(0, 5, n)
            values = rng.integers(0, size, lengths.sum()).astype(np.int32)
            codes[name] = Bags(Ragged.from_lengths(values, lengths), rng.random(len(values)).astype(np.float32))
        else:
            codes[name] = rng.integers(0, size, n).astype(np.int32)
    numbers = rng.standard_normal((n, n_numbers)).astype(np.float32)
    return EncodedTable(sizes, codes, numbers, tuple(f"x{i}" for i in range(n_numbers)))


def results(made, rows, sizes, n_numbers):
    """Embeddings and linear sums of some rows, and the gradients of every weight."""
    torch.manual_seed(0)
    embed, linear = FieldEmbeddings(sizes, n_numbers), LinearFields(sizes)
    for weight in linear.parameters():
        weight.data.normal_()
    features = made.take(torch.as_tensor(rows))
    vectors, sums = embed(features), linear(features)
    if vectors.requires_grad:
        (vectors * torch.linspace(-1, 1, vectors.numel()).view_as(vectors)).sum().backward()
    if sums.requires_grad:
        (sums * torch.linspace(1, 2, len(sums))).sum().backward()
    gradients = [p.grad for p in (*embed.parameters(), *linear.parameters()) if p.grad is not None]
    return [vectors.detach(), sums.detach(), *gradients]


@given(
    st.lists(st.integers(1, 40), max_size=4),
    st.sets(st.integers(0, 3)),
    st.lists(st.integers(0, 11), max_size=9),
    st.integers(0, 2),
    st.integers(0, 9),
)
def test_values_and_gradients_are_those_of_one_embedding_per_field(sizes, bags, rows, n_numbers, seed):
    named = {f"f{i}": size for i, size in enumerate(sizes)}
    table = table_of(np.random.default_rng(seed), 12, named, {f"f{i}" for i in bags}, n_numbers)
    ours = results(PackedTable.of(table), np.array(rows, np.int64), named, n_numbers)
    plain = results(FeatureTensors.of(table, CPU), np.array(rows, np.int64), named, n_numbers)
    assert len(ours) == len(plain)
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bags", [set(), {"colour"}])
def test_one_row_by_hand(bags):
    """Codes 2 of 3 and 1 of 2: the second field begins at column 3, so columns 2 and 4."""
    colour = Bags(Ragged.from_lengths(np.array([2], np.int32), np.array([1])), np.ones(1, np.float32))
    codes = {"colour": colour if bags else np.array([2], np.int32), "fuel": np.array([1], np.int32)}
    table = EncodedTable({"colour": 3, "fuel": 2}, codes, np.zeros((1, 0), np.float32), ())
    features = PackedTable.of(table).take(torch.tensor([0]))
    assert features.matrix.indices.tolist() == [2, 4]
    colours, fuels = torch.tensor([[0.0, 0], [1, 1], [5, 6]]), torch.tensor([[7.0], [8]])
    assert features.embedded([colours, fuels]).tolist() == [[5, 6, 8]]


def test_a_row_asked_for_twice_counts_twice():
    rng, sizes = np.random.default_rng(1), {"a": 5, "b": 7}
    packed = PackedTable.of(table_of(rng, 6, sizes, {"b"}))
    once, twice = (results(packed, rows, sizes, 2) for rows in ([3], [3, 3]))
    torch.testing.assert_close(twice[0][0], once[0][0])
    torch.testing.assert_close(twice[0][1], once[0][0])
