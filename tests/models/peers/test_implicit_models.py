"""Models of the library implicit: fold-in by the normal equations, training pairs, the best epoch, silence."""

import warnings

import numpy as np
import pytest

pytest.importorskip("implicit", reason="the extra `peers` is not installed")

from twotower.errors import BadConfig
from twotower.metrics.ranking import average_precision
from twotower.models.matrix import pair_matrix
from twotower.models.peers import implicit_models
from twotower.models.peers.implicit_models import ImplicitALS, ImplicitBPR
from twotower.models.peers.library import as_csr
from twotower.types import UNKNOWN_USER, Queries, Ragged

QUICK = {"dim": 6, "epochs": 40, "lr": 0.2, "patience": 40, "threads": 1}


def test_a_history_is_folded_in_by_the_normal_equations_of_the_library(two_tastes):
    """X = (YᵀY + l2·I + Σ (c - 1) y yᵀ)⁻¹ Σ c y with c = alpha · events."""
    model = ImplicitALS(dim=5, epochs=4, alpha=3.0, l2=0.7, threads=1).fit(two_tastes)
    y = model.state()["item_vectors"].astype(np.float64)
    items, confidence = [2, 8, 11], np.array([6.0, 3.0, 3.0])  # item 2 twice
    near = y[items]
    system = y.T @ y + 0.7 * np.eye(5) + (near.T * (confidence - 1)) @ near
    expected = np.linalg.solve(system, near.T @ confidence)
    asked = Queries.of(np.array([UNKNOWN_USER]), Ragged.from_lists([[2, 8, 2, 11]]))
    np.testing.assert_allclose(model.query_vectors(asked)[0], expected, rtol=1e-3, atol=1e-4)


def test_events_newer_than_training_change_the_vector(two_tastes):
    model = ImplicitALS(dim=5, epochs=4, threads=1).fit(two_tastes)
    asked = two_tastes.test.queries()  # histories with the validation event
    stored = model.state()["user_vectors"][asked.users]
    assert not np.allclose(model.query_vectors(asked), stored, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "repeats"), [(ImplicitALS(dim=5, epochs=1, threads=1), True), (ImplicitBPR(**QUICK), False)]
)
def test_the_library_is_given_the_training_part_and_nothing_else(two_tastes, monkeypatch, model, repeats):
    given = []

    def noted(matrix):
        given.append(matrix)
        return as_csr(matrix)

    monkeypatch.setattr(implicit_models, "as_csr", noted)
    model.fit(two_tastes.refit())
    events = two_tastes.refit().train
    assert len(given) == 1
    assert abs(given[0] - pair_matrix(events if repeats else events.unique_pairs())).sum() == 0


def test_the_best_epoch_is_kept_and_the_last_fit_runs_as_long(two_tastes):
    figures = []
    model = ImplicitBPR(**QUICK)
    model.on_validation = figures.append
    model.fit(two_tastes)
    assert len(figures) == 40
    assert model.found_options() == {"epochs": int(np.argmax(figures)) + 1}
    queries, relevant = two_tastes.validation.queries(), two_tastes.validation.relevant()
    assert average_precision(model.recommend(queries, 10), relevant, 10).mean() == max(figures)
    final = ImplicitBPR(**QUICK | model.found_options()).fit(two_tastes.refit())
    assert final.found_options() == model.found_options()


def test_training_stops_when_nothing_better_comes(two_tastes):
    figures = []
    model = ImplicitBPR(**QUICK | {"epochs": 500, "patience": 3})
    model.on_validation = figures.append
    model.fit(two_tastes)
    assert len(figures) == model.found_options()["epochs"] + 3 < 500


def test_what_the_callback_raises_ends_the_training(two_tastes):
    class Stop(Exception):
        pass

    def stop(figure: float) -> None:
        raise Stop

    model = ImplicitBPR(**QUICK)
    model.on_validation = stop
    with pytest.raises(Stop):
        model.fit(two_tastes)


def test_the_library_has_nothing_to_warn_of(two_tastes, monkeypatch):
    """Implicit warns, once a process, when BLAS has threads of its own, and whenever a matrix is of a newer class."""
    monkeypatch.setattr("implicit.utils._checked_blas_config", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImplicitALS(dim=5, epochs=1, threads=1).fit(two_tastes).recommend(two_tastes.test.queries(), 5)
        ImplicitBPR(**QUICK | {"epochs": 1}).fit(two_tastes)


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        (ImplicitALS, {"alpha": 0}, "alpha and l2 must be positive"),
        (ImplicitALS, {"epochs": 0}, "epochs must be at least 1"),
        (ImplicitBPR, {"lr": 0}, "need lr > 0"),
        (ImplicitBPR, {"patience": 0}, "patience must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(model, options, says):
    with pytest.raises(BadConfig, match=says):
        model(**options)
