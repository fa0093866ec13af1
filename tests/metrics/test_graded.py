"""Graded NDCG: scikit-learn (linear), its exponential twin, and binary NDCG as the special case."""

import ir_measures
import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from twotower.errors import BadConfig, BadInput
from twotower.metrics.graded import graded_ndcg
from twotower.metrics.ranking import as_topk, ndcg
from twotower.types import Ragged

RNG = np.random.default_rng(8)
N_ITEMS, N_USERS = 20, 200
GRADES = RNG.integers(0, 4, (N_USERS, N_ITEMS))
GRADES[:, 0] = 3  # everybody likes something
LISTS = np.array([RNG.permutation(N_ITEMS) for _ in range(N_USERS)])
RELEVANT = Ragged.from_lists([np.flatnonzero(row)[::-1] for row in GRADES])
OWN = Ragged.from_lists([row[np.flatnonzero(row)[::-1]] for row in GRADES])


@pytest.mark.parametrize("k", [1, 4, 20, 30])
@pytest.mark.parametrize(("gain", "worth"), [("linear", GRADES), ("exponential", 2**GRADES - 1)])
def test_graded_ndcg_is_that_of_scikit_learn(k, gain, worth):
    score = np.empty((N_USERS, N_ITEMS))
    np.put_along_axis(score, LISTS, -np.arange(N_ITEMS, dtype=float)[None, :], axis=1)
    expected = [ndcg_score(worth[[u]], score[[u]], k=k) for u in range(N_USERS)]
    found = graded_ndcg(as_topk(LISTS.tolist()), RELEVANT, OWN, k, gain)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_linear_gains_are_those_of_trec_eval_on_short_lists():
    lists = [row[: n % 9].tolist() for n, row in enumerate(LISTS)]
    truth = {str(u): {str(i): int(g) for i, g in enumerate(row) if g} for u, row in enumerate(GRADES)}
    run = {str(u): {str(i): -float(rank) for rank, i in enumerate(items)} for u, items in enumerate(lists)}
    expected = np.zeros(N_USERS)
    for value in ir_measures.iter_calc([ir_measures.nDCG @ 5], truth, run):
        expected[int(value.query_id)] = value.value
    np.testing.assert_allclose(graded_ndcg(as_topk(lists), RELEVANT, OWN, 5), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_with_all_grades_1_it_is_binary_ndcg(gain):
    topk, ones = as_topk(LISTS[:, :8].tolist()), Ragged(np.ones_like(OWN.values), OWN.offsets)
    np.testing.assert_allclose(graded_ndcg(topk, RELEVANT, ones, 5, gain), ndcg(topk, RELEVANT, 5), atol=1e-12)


def test_a_user_without_a_positive_grade_has_no_value():
    found = graded_ndcg(
        as_topk([[1], [1], [1]]), Ragged.from_lists([[], [1], [1]]), Ragged.from_lists([[], [0], [2]]), 3
    )
    assert found.tolist()[2] == 1.0
    assert np.isnan(found[:2]).all()
    assert np.isnan(graded_ndcg(as_topk([[1]]), Ragged.empty(1), Ragged.empty(1), 3)).all()


def test_grades_that_do_not_fit_are_refused():
    topk, one = as_topk([[1]]), Ragged.from_lists([[1]])
    with pytest.raises(BadInput, match="2 grades of 1 relevant"):
        graded_ndcg(topk, one, Ragged.from_lists([[1, 2]]), 3)
    with pytest.raises(BadInput, match="must not be negative"):
        graded_ndcg(topk, one, Ragged.from_lists([[-1]]), 3)
    with pytest.raises(BadConfig, match="k=0"):
        graded_ndcg(topk, one, one, 0)
    with pytest.raises(BadConfig, match="gain='cubic'"):
        graded_ndcg(topk, one, one, 1, "cubic")
