"""`ALS` and its row solver, against dense normal equations and the objective of the paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from twotower.errors import BadConfig
from twotower.models.factorization import least_squares
from twotower.models.factorization.als import ALS
from twotower.models.factorization.least_squares import RowSolver
from twotower.models.matrix import pair_matrix
from twotower.types import UNKNOWN_USER, Queries, Ragged


def normal_equations(rows: np.ndarray, y: np.ndarray, alpha: float, ridge: np.ndarray) -> np.ndarray:
    """Hu, Koren & Volinsky's equation 4, one dense system per row, float64."""
    solved = []
    for r, l2 in zip(rows, ridge, strict=True):
        c = np.diag(1 + alpha * r)
        solved.append(np.linalg.solve(y.T @ c @ y + l2 * np.eye(y.shape[1]), y.T @ c @ (r > 0)))
    return np.array(solved)


@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.5, 40.0))
def test_rows_solve_the_normal_equations(seed, dim, alpha):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3, (9, 12)) * (rng.random((9, 12)) < rng.random((9, 1)))  # 0 to 12 entries, both sides of D
    y = rng.standard_normal((12, dim)).astype(np.float32)
    ridge = rng.uniform(0.5, 3.0, 9)
    solved = RowSolver(y).solve(sparse.csr_array(rows.astype(np.float32)), alpha, ridge)
    np.testing.assert_allclose(solved, normal_equations(rows, y.astype(np.float64), alpha, ridge), rtol=2e-3, atol=2e-4)


def test_short_rows_are_exact_where_the_factors_leave_directions_empty():
    y = np.zeros((20, 8), np.float32)
    y[:, :2] = np.random.default_rng(0).standard_normal((20, 2))  # six directions hold nothing but the ridge
    rows = np.zeros((1, 20))
    rows[0, :3] = 1
    solved = RowSolver(y).solve(sparse.csr_array(rows.astype(np.float32)), 40.0, np.array([0.01]))
    expected = normal_equations(rows, y.astype(np.float64), 40.0, np.array([0.01]))
    np.testing.assert_allclose(solved, expected, rtol=1e-3, atol=1e-4)


def test_batches_do_not_change_the_solution(monkeypatch):
    rng = np.random.default_rng(0)
    rows = sparse.random_array((50, 30), density=0.3, rng=rng, format="csr", dtype=np.float32)
    solver = RowSolver(rng.standard_normal((30, 4)).astype(np.float32))
    whole = solver.solve(rows, 5.0, np.ones(50))
    monkeypatch.setattr(least_squares, "CELLS_PER_BATCH", 100)
    np.testing.assert_allclose(solver.solve(rows, 5.0, np.ones(50)), whole, rtol=1e-4, atol=1e-5)


def test_rows_without_entries_stay_zero():
    rows = sparse.csr_array(np.zeros((3, 5), np.float32))
    np.testing.assert_array_equal(RowSolver(np.ones((5, 2), np.float32)).solve(rows, 1.0, np.ones(3)), 0)


def objective(model: ALS, counts: np.ndarray) -> float:
    """What `ALS` says it minimises, with l2_power 0, over all pairs."""
    users, items = model.state()["user_vectors"], model.state()["item_vectors"]
    errors = (1 + model.alpha * counts) * ((counts > 0) - users @ items.T) ** 2
    return float(errors.sum() + model.l2 * ((users**2).sum() + (items**2).sum()))


def test_every_epoch_lowers_the_objective(two_tastes):
    counts = pair_matrix(two_tastes.train).toarray()
    values = [objective(ALS(dim=4, epochs=n, l2=2.0, l2_power=0.0).fit(two_tastes), counts) for n in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)


def test_a_training_history_folds_in_to_the_trained_vector(two_tastes):
    model = ALS(dim=4, epochs=3, l2=2.0).fit(two_tastes)
    histories = two_tastes.train.by_user()
    folded = model.query_vectors(Queries.of(np.full(len(histories), UNKNOWN_USER), histories))
    np.testing.assert_allclose(folded, model.state()["user_vectors"], rtol=1e-4, atol=1e-5)


def test_a_newer_event_moves_a_known_user(two_tastes):
    model = ALS(dim=4, epochs=3, l2=2.0).fit(two_tastes)
    old = two_tastes.train.by_user()[0]
    queries = Queries.of(np.array([0, 0]), Ragged.from_lists([old, [*old, 43]]))
    before, after = model.score(queries)[:, 43]
    assert after > before


def test_ridge_terms_grow_with_confidence_around_the_same_mean_row():
    ridge = ALS(l2=10.0, l2_power=0.5)._ridge(np.array([25.0, 100.0, 400.0]), 100.0)
    np.testing.assert_allclose(ridge, [10 * 0.5, 10, 10 * 2])


def test_items_without_events_have_no_vector(two_tastes):
    vectors = ALS(dim=4, epochs=2, l2=2.0).fit(two_tastes).state()["item_vectors"]
    np.testing.assert_array_equal(~vectors.any(axis=1), two_tastes.train.item_counts() == 0)


@pytest.mark.parametrize("options", [{"dim": 0}, {"epochs": 0}, {"alpha": 0}, {"l2": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(BadConfig, match=next(iter(options))):
        ALS(**options)
