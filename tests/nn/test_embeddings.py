"""Field embeddings: widths, weighted sums, names that would clash inside a module."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twotower.features.encoded import Bags, EncodedTable
from twotower.nn.embeddings import VECTOR_WIDTH, WAVE_WIDTH, FieldEmbeddings, LinearFields, Waves, field_dim, mlp
from twotower.nn.tensors import FeatureTensors
from twotower.types import Ragged

SIZES = {"forward": 4, "type": 5, "tables": 3}
CPU = torch.device("cpu")


@pytest.fixture
def table() -> EncodedTable:
    """Three rows: two plain fields, one of weighted bags (two values, none, one), two numbers."""
    bags = Bags(
        Ragged.from_lists([[1, 2], [], [2]], np.int32),
        np.array([0.25, 0.75, 1.0], np.float32),
    )
    codes = {"forward": np.array([0, 3, 1], np.int32), "type": np.array([4, 4, 0], np.int32), "tables": bags}
    numbers = np.array([[0.5, -1], [2, 0], [0, 0]], np.float32)
    return EncodedTable(SIZES, codes, numbers, ("a", "b"))


@pytest.mark.parametrize(
    ("n_values", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (3271, 12)]
)
def test_width_of_a_field_is_the_rounded_up_binary_logarithm(n_values, width):
    assert field_dim(n_values) == width


def test_fields_may_be_called_like_parts_of_a_module(table):
    layer = FieldEmbeddings(SIZES, n_continuous=2)
    assert layer.width == 2 + 3 + 2 + 2  # ⌈log2 4⌉ + ⌈log2 5⌉ + ⌈log2 3⌉ + two numbers
    assert layer(FeatureTensors.of(table, CPU)).shape == (3, layer.width)


def test_each_field_is_the_weighted_sum_of_its_values(table):
    layer = FieldEmbeddings(SIZES, n_continuous=2)
    forward, kind, bag = (t.detach().numpy() for t in layer.tables)
    weight, bias = layer.block.weight.detach().numpy(), layer.block.bias.detach().numpy()
    rows = [
        np.concatenate([forward[0], kind[4], 0.25 * bag[1] + 0.75 * bag[2], weight @ [0.5, -1] + bias]),
        np.concatenate([forward[3], kind[4], 0 * bag[0], weight @ [2, 0] + bias]),
        np.concatenate([forward[1], kind[0], bag[2], bias]),
    ]
    expected = F.elu(torch.tensor(np.array(rows), dtype=torch.float32))
    torch.testing.assert_close(layer(FeatureTensors.of(table, CPU)), expected)


def test_linear_fields_add_one_weight_per_value(table):
    layer = LinearFields(SIZES)
    for table_weights, first in zip(layer.tables, (0.0, 10.0, 100.0), strict=True):
        table_weights.data[:, 0] = first + torch.arange(len(table_weights))
    sums = layer(FeatureTensors.of(table, CPU))
    # 0 + (10 + 4) + .25 · 101 + .75 · 102 | 3 + 14 + nothing | 1 + 10 + 102
    assert sums.tolist() == pytest.approx([0 + 14 + 101.75, 3 + 14, 1 + 10 + 102])


def test_an_untrained_linear_part_says_nothing(table):
    assert LinearFields(SIZES)(FeatureTensors.of(table, CPU)).tolist() == [0, 0, 0]


def test_rows_are_gathered_as_the_table_gathers_them(table):
    rows = np.array([2, 0, 0, 1])
    ours = FeatureTensors.of(table, CPU).take(torch.as_tensor(rows))
    theirs = FeatureTensors.of(table.take(rows), CPU)
    assert len(ours) == 4
    torch.testing.assert_close(ours.continuous, theirs.continuous)
    for name in ("forward", "type"):
        torch.testing.assert_close(ours.codes[name], theirs.codes[name])
    for part in ("codes", "weights", "offsets"):
        torch.testing.assert_close(getattr(ours.codes["tables"], part), getattr(theirs.codes["tables"], part))


def test_no_rows_are_gathered_too(table):
    none = FeatureTensors.of(table, CPU).take(torch.empty(0, dtype=torch.long))
    assert FieldEmbeddings(SIZES, n_continuous=2)(none).shape == (0, 9)


def test_without_fields_and_numbers_nothing_is_left():
    layer = FieldEmbeddings({}, n_continuous=0)
    assert layer.width == 0
    assert layer(FeatureTensors.of(EncodedTable.empty(3), CPU)).shape == (3, 0)


def test_mlp_puts_elu_and_dropout_between_layers_only():
    names = [type(layer).__name__ for layer in mlp([4, 8, 8, 2], dropout=0.3)]
    assert names == ["Linear", "ELU", "Dropout", "Linear", "ELU", "Dropout", "Linear"]
    assert [type(layer).__name__ for layer in mlp([4, 2])] == ["Linear"]


def test_waves_are_sines_and_cosines_of_the_chosen_columns_through_a_layer_each():
    waves = Waves([2, 0])
    continuous = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    out = waves(continuous)
    frequencies, weights = waves.frequencies.detach().numpy(), waves.weights.detach().numpy()
    for place, column in enumerate((2, 0)):
        angle = 2 * np.pi * continuous[:, column].numpy()[:, None] * frequencies[place]
        expected = np.concatenate([np.sin(angle), np.cos(angle)], axis=1) @ weights[place]
        np.testing.assert_allclose(out[:, place * WAVE_WIDTH : (place + 1) * WAVE_WIDTH].detach(), expected, atol=1e-5)


def test_frequencies_learn():
    layer = FieldEmbeddings({}, n_continuous=2, periodic=[1])
    assert layer.width == 2 + WAVE_WIDTH
    features = FeatureTensors({}, torch.randn(4, 2))
    layer(features).square().sum().backward()
    assert layer.waves.frequencies.grad.abs().sum() > 0


def test_vectors_are_projected_and_other_columns_are_not_mixed_with_them():
    layer = FieldEmbeddings({}, n_continuous=7, vectors=[(2, 4), (4, 7)])
    assert layer.width == 2 + 2 * VECTOR_WIDTH
    continuous = torch.randn(3, 7)
    out = layer(FeatureTensors({}, continuous))
    first = F.elu(layer.projections[0](continuous[:, 2:4]))
    torch.testing.assert_close(out[:, 2 : 2 + VECTOR_WIDTH], first)
    torch.testing.assert_close(out[:, :2], F.elu(layer.block(continuous[:, :2])))
