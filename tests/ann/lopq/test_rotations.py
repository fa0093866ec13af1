"""Parts of `Rotations` against their definitions: dealing out axes, narrow matrices, means, samples, files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.ann.cells import Cells
from twotower.ann.lopq.rotations import Rotations, allocated, cell_means, narrowed, sampled_residuals
from twotower.types import Ragged

VARIANCES = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12).map(lambda values: sorted(values, reverse=True))


def dealt(variances, parts):
    """The rule as the paper words it: the next largest to the part with the least product that has room."""
    size = -(-len(variances) // parts)
    logs = [np.log(v / variances[-1]) for v in variances] + [0.0] * (size * parts - len(variances))
    given_to, products = [[] for _ in range(parts)], [0.0] * parts
    for axis, log in enumerate(logs):
        part = min((p for p in range(parts) if len(given_to[p]) < size), key=lambda p: products[p])
        given_to[part].append(axis)
        products[part] += log
    return given_to


@given(variances=VARIANCES, parts=st.integers(1, 6))
def test_axes_are_dealt_out_by_the_rule_of_the_paper(variances, parts):
    assert allocated(np.array([variances]), parts)[0].tolist() == dealt(variances, parts)


@given(st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6), min_size=1, max_size=4))
def test_a_narrowed_block_is_off_by_half_a_step_at_most(rows):
    blocks = np.array(rows).reshape(-1, 2, 3)
    whole, steps = narrowed(blocks)
    assert whole.dtype == np.int8
    np.testing.assert_allclose(steps, np.abs(blocks).max(axis=(1, 2)) / 127, rtol=1e-6, atol=1e-37)
    assert (np.abs(whole * steps[:, None, None].astype(float) - blocks) <= 0.501 * steps[:, None, None] + 1e-37).all()


@pytest.fixture
def cells():
    """Three cells of seven vectors; the second is empty."""
    return Cells(np.zeros((3, 4), np.float32), Ragged.from_lists([[0, 3, 5], [], [1, 2, 4, 6]]), "inner_product")


@pytest.fixture
def vectors():
    return np.random.default_rng(3).normal(size=(7, 4)).astype(np.float32)


def test_a_mean_is_that_of_the_cells_own_vectors_and_0_where_there_are_none(vectors, cells):
    means = cell_means(vectors, cells)
    np.testing.assert_allclose(means[0], vectors[[0, 3, 5]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(means[2], vectors[[1, 2, 4, 6]].mean(axis=0), rtol=1e-6)
    assert means[1].tolist() == [0, 0, 0, 0]


def test_sampled_residuals_are_differences_from_the_own_mean_each_at_most_once(vectors, cells):
    means = cell_means(vectors, cells)
    every = {tuple(row) for row in vectors - means[[0, 2, 2, 0, 2, 0, 2]]}
    for n in (3, 7, 100):
        drawn = sampled_residuals(vectors, cells, means, n, seed=1)
        assert len(drawn) == len({tuple(row) for row in drawn}) == min(n, 7)
        assert {tuple(row) for row in drawn} <= every


@pytest.mark.parametrize("memory_map", [True, False])
def test_saved_rotations_rotate_the_same(vectors, cells, tmp_path, memory_map):
    means = cell_means(vectors, cells)
    rotations = Rotations.fit(vectors, cells, means, parts=3, shrinkage=2, residuals=vectors)
    rotations.save(tmp_path)
    loaded = Rotations.load(tmp_path, memory_map=memory_map)
    assert isinstance(loaded.matrices, np.memmap) == memory_map
    assert rotations.of_cell(vectors, 2).shape == (7, 6)  # three parts of two axes, where there are four dimensions
    for cell in range(3):
        np.testing.assert_array_equal(loaded.of_cell(vectors, cell), rotations.of_cell(vectors, cell))


def test_residuals_of_a_cell_are_its_rotated_differences_from_its_mean(vectors, cells):
    means = cell_means(vectors, cells)
    rotations = Rotations.fit(vectors, cells, means, parts=2, shrinkage=2, residuals=vectors)
    axes = rotations.matrices[0] * rotations.steps[0].astype(float)
    np.testing.assert_allclose(rotations.residuals_of_cell(vectors, 0), (vectors - means[0]) @ axes.T, atol=1e-4)
