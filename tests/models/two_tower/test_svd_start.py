"""Tables started from an SVD: against numpy's SVD, in the towers that are fitted, and only where values are many."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from twotower.features.encoded import Bags, EncodedTable, as_matrix
from twotower.models.two_tower.fitting import build_model
from twotower.models.two_tower.inputs import TowerInputs, with_unknown_row
from twotower.models.two_tower.networks import JointModel
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import TowerOptions
from twotower.models.two_tower.svd_start import many_valued, start_from_svd, value_vectors

DIM = 4


@pytest.fixture
def tags() -> EncodedTable:
    """30 items with up to five of eleven tags, and a plain field of as many values."""
    rng = np.random.default_rng(0)
    amounts = rng.random((30, 12)) * (rng.random((30, 12)) < 0.4)
    amounts[:, 0] = 0
    codes = {"tags": Bags.of(csr_array(amounts)), "make": rng.integers(0, 12, 30).astype(np.int32)}
    return EncodedTable({"tags": 12, "make": 12}, codes, np.zeros((30, 0), np.float32), ())


def test_only_bags_of_many_values_are_started(tags):
    assert many_valued(tags, 11) == ("tags",)
    assert many_valued(tags, 12) == many_valued(tags, None) == ()


def test_values_are_the_right_singular_vectors_of_unit_rows():
    matrix = np.random.default_rng(1).random((20, 6)) * (np.random.default_rng(2).random((20, 6)) < 0.7)
    matrix[3] = 0  # an item without values counts for nothing
    vectors = value_vectors(csr_array(matrix), 3)
    known = np.delete(matrix, 3, axis=0)
    right = np.linalg.svd(known / np.linalg.norm(known, axis=1, keepdims=True))[2][:3].T
    # up to sign and one common factor
    ours, theirs = vectors @ vectors.T, right @ right.T
    np.testing.assert_allclose(ours / np.trace(ours), theirs / np.trace(theirs), atol=1e-3)
    assert np.linalg.norm(known @ vectors, axis=1).mean() == pytest.approx(1, abs=1e-5)


def test_fewer_dimensions_than_wanted_or_no_values_at_all():
    assert value_vectors(csr_array(np.eye(3)), 8).shape == (3, 2)
    assert value_vectors(csr_array((4, 5)), 8).shape[1] == 0


def small_model(tags: EncodedTable, **options) -> JointModel:
    profiles = tags.take(np.arange(3))
    inputs = TowerInputs(with_unknown_row(EncodedTable.empty(2)), profiles, tags, np.zeros(30, np.int64), 0)
    return build_model(TowerOptions(history=None, identities=False, **options), Objective(), inputs)


def test_towers_start_with_items_as_near_as_their_tags(tags):
    model = small_model(tags, dim=DIM, svd_from=11)
    before = model.item_net.features.tables[1].detach().clone()
    start_from_svd(model, tags, many_valued(tags, 11))
    expected = value_vectors(as_matrix(tags.codes["tags"], 12), DIM)
    for part in (model.item_net.features, model.user_net.profile):
        np.testing.assert_allclose(part.tables[0].detach(), expected, atol=1e-6)
    assert torch.equal(model.item_net.features.tables[1], before)  # the plain field keeps its draw


def test_only_started_tables_are_as_wide_as_the_vectors(tags):
    def widths(**options) -> list[int]:
        return [table.shape[1] for table in small_model(tags, dim=16, **options).item_net.features.tables]

    assert widths(svd_from=11) == [16, 4]  # ceil(log2 12) for the plain one
    assert widths(svd_from=None) == [4, 4]
