"""LightFM: scores are the library's, features are those of our hybrid, ids that nobody touched have none."""

import numpy as np
import pytest

pytest.importorskip("lightfm", reason="the extra `peers` is not installed")

from lightfm import LightFM

from twotower.data.splitters import LeaveLast
from twotower.errors import BadConfig
from twotower.models.factorization.hybrid import HybridMF
from twotower.models.matrix import pair_matrix
from twotower.models.peers.lightfm_models import LightFMHybrid, LightFMWarp
from twotower.types import UNKNOWN_USER, Queries, Ragged

QUICK = {"dim": 6, "epochs": 3, "threads": 1, "seed": 5}
N_COLD = 4  # the last items of `two_tastes` have no events


@pytest.mark.parametrize("kind", [LightFMWarp, LightFMHybrid])
def test_scores_are_those_of_the_library_but_for_the_users_bias(two_tastes, kind):
    final = two_tastes.refit()
    model = kind(**QUICK, n_negatives=4, l2=1e-5).fit(final)
    events = final.train.unique_pairs()
    given = model._design(final, events)
    library = LightFM(
        6, loss="warp", learning_rate=0.05, max_sampled=4, item_alpha=1e-5, user_alpha=1e-5, random_state=5
    )
    for _ in range(3):
        library.fit_partial(given.events, given.learning, given.items)
    n = given.items.shape[0] - N_COLD
    users, items = np.repeat([0, 9], n), np.tile(np.arange(n), 2)
    said = library.predict(users, items, given.items, given.serving).reshape(2, n)
    bias = library.get_user_representations(given.serving)[0][[0, 9]]
    scores = model.score(Queries.of(np.array([0, 9]), Ragged.empty(2)))[:, :n]
    np.testing.assert_allclose(scores, said - bias[:, None], atol=1e-5)


def test_the_library_is_given_one_interaction_for_every_training_pair(two_tastes):
    events = two_tastes.train.unique_pairs()
    given = LightFMHybrid(**QUICK)._design(two_tastes, events)
    assert abs(given.events - pair_matrix(events)).sum() == 0


def dense(table) -> np.ndarray:
    """The features of one of our entity tables. Shape [n, F]."""
    return table.features.toarray()


@pytest.mark.parametrize("profile_days", [None, 30])
def test_features_are_those_of_our_hybrid(two_tastes, profile_days):
    events = two_tastes.train.unique_pairs()
    ours = HybridMF(profile_days=profile_days)._network(two_tastes, events)
    theirs = LightFMHybrid(profile_days=profile_days)._design(two_tastes, events)
    np.testing.assert_array_equal(theirs.items.toarray(), dense(ours.scorer.items))
    users = dense(ours.scorer.users)
    if profile_days is None:
        np.testing.assert_array_equal(theirs.serving.toarray(), users)
        return
    profiles = dense(ours.scorer.profiles)
    np.testing.assert_array_equal(theirs.serving.toarray(), np.hstack([users, profiles[ours.serving_rows]]))
    learning = np.hstack([users[events.user], profiles[ours.training_rows]])  # [E, F]
    learnt = theirs.learning.toarray()[theirs.events.row]
    pairs = zip(map(bytes, learnt), theirs.events.col.tolist(), strict=True)
    assert sorted(pairs) == sorted(zip(map(bytes, learning), events.item.tolist(), strict=True))


def test_with_profiles_a_user_learns_once_for_every_week(two_tastes):
    events = two_tastes.train.unique_pairs()
    given = LightFMHybrid(profile_days=30)._design(two_tastes, events)
    assert given.learning.shape[0] > given.serving.shape[0] == events.n_users
    assert given.events.nnz == len(events)


def test_items_without_events_have_no_id_and_come_last_without_features(two_tastes, two_tastes_bare):
    events = two_tastes.train.unique_pairs()
    given = LightFMWarp(**QUICK)._design(two_tastes, events)
    assert given.items[-N_COLD:].nnz == 0
    scores = LightFMWarp(**QUICK).fit(two_tastes_bare).score(two_tastes_bare.test.queries())
    model = LightFMWarp(**QUICK).fit(two_tastes_bare)
    items = model.state()["item_vectors"]
    assert not items[-N_COLD:, :-1].any()
    assert (items[-N_COLD:, -1] == items[:, -1].min()).all()
    assert np.isfinite(scores).all()


def test_the_hybrid_knows_items_without_events_by_their_features(two_tastes):
    items = LightFMHybrid(**QUICK).fit(two_tastes).state()["item_vectors"]
    assert items[-N_COLD:, :-1].any(axis=1).all()


def test_without_events_of_their_own_users_have_the_scaled_mean_of_the_items(two_tastes):
    model = LightFMWarp(**QUICK).fit(two_tastes)
    vectors = model.query_vectors(Queries.of(np.array([UNKNOWN_USER]), Ragged.from_lists([[0, 4]])))
    state = model.state()
    mean = state["item_vectors"][[0, 4], :-1].mean(axis=0)
    np.testing.assert_allclose(vectors[0], state["fold_scale"][0] * mean, rtol=1e-5)


def test_the_last_fit_takes_profiles_at_the_moment_of_the_test(two_tastes):
    final = LeaveLast(n=1).split(two_tastes.dataset).refit()
    model = LightFMHybrid(**QUICK, profile_days=30).fit(final)
    assert np.isfinite(model.score(final.test.queries())).all()


@pytest.mark.parametrize(("options", "says"), [({"n_bins": 1}, "n_bins"), ({"n_negatives": 0}, "n_negatives")])
def test_options_out_of_range_are_refused(options, says):
    with pytest.raises(BadConfig, match=f"{says} must be at least"):
        LightFMHybrid(**options)
