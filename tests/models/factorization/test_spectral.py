"""`Spectral` against the dense singular vectors of the normalised matrix."""

import numpy as np
import pytest

from twotower.models.factorization.spectral import Spectral, normalised
from twotower.models.matrix import pair_matrix
from twotower.testing.data import N_COLD, N_ITEMS, queries_of


def dense_parts(split):
    pairs = pair_matrix(split.train.unique_pairs()).toarray().astype(np.float64)
    per_user, per_item = pairs.sum(axis=1), pairs.sum(axis=0)
    n = pairs / np.sqrt(np.maximum(per_user, 1))[:, None] / np.sqrt(np.maximum(per_item, 1))
    return n, per_item


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_scores_are_those_of_the_filter(two_tastes, power):
    n, per_item = dense_parts(two_tastes)
    np.testing.assert_allclose(normalised(pair_matrix(two_tastes.train.unique_pairs())).toarray(), n, rtol=1e-6)
    _, s, v = np.linalg.svd(n)
    low = (v[:6].T * s[:6] ** power) @ v[:6]  # [N, N]
    history = [0, 2, 5]
    expected = (low[history] / np.sqrt(per_item[history])[:, None]).sum(axis=0) * np.sqrt(per_item)
    scores = Spectral(dim=6, power=power, n_iter=20).fit(two_tastes).score(queries_of([history]))[0]
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)


def test_all_singular_vectors_with_power_two_are_the_one_hop_filter(two_tastes):
    n, per_item = dense_parts(two_tastes)
    model = Spectral(dim=1000, power=2.0).fit(two_tastes)
    assert model.item_vectors.shape == (N_ITEMS, N_ITEMS)  # no more values than the smaller side has
    expected = (n.T @ n)[4] / np.sqrt(per_item[4]) * np.sqrt(per_item)
    np.testing.assert_allclose(model.score(queries_of([[4]]))[0], expected, rtol=1e-3, atol=1e-4)


def test_items_without_events_have_no_vector(two_tastes):
    assert not Spectral(dim=8).fit(two_tastes).item_vectors[-N_COLD:].any()
