"""Pairwise training: WARP and BPR by hand, entity tables against dense sums, early stop and last fit."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twotower.data.interactions import Interactions
from twotower.data.split import Split
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind, MultiCategories
from twotower.errors import BadConfig
from twotower.features.encoded import Bags, EncodedTable
from twotower.features.encoders import FeatureEncoder
from twotower.metrics.ranking import average_precision
from twotower.models.factorization.entities import EntityFeatures, EntityTable, distinct_of, quantile_edges
from twotower.models.factorization.hybrid import HybridMF
from twotower.models.factorization.mf import MF
from twotower.models.factorization.pairwise import Compare, SharedDraws, bpr, own_first, warp
from twotower.models.popular import Popular
from twotower.nn.losses import ranknet_loss
from twotower.training import early_stopping
from twotower.tuning.tune import fit_final, tune
from twotower.types import UNKNOWN_USER, Queries, Ragged

SMALL = {"dim": 8, "epochs": 8}
BRIEF = {"dim": 4, "epochs": 2}


def test_warp_takes_the_draw_within_the_margin_that_is_tried_first():
    """101 candidates: trial 1 means rank 100, trial 2 rank 50."""
    positive = torch.tensor([2.0, 2.0, 2.0])
    negative = torch.tensor([[0.9, 1.5, 3.0], [1.1, 0.0, 1.2], [1.0, 0.0, -5.0]])  # 1.0 is exactly 1 below: no violator
    trial = torch.tensor([[1, 2, 3], [2, 3, 1], [1, 2, 3]])
    loss, push = warp(positive, negative, trial, 101)
    assert float(loss) == pytest.approx((np.log(50) * 0.5 + np.log(100) * 0.2) / 3, rel=1e-5)
    np.testing.assert_allclose(push, [[0, np.log(50) / 3, 0], [0, 0, np.log(100) / 3], [0, 0, 0]], rtol=1e-6)


def test_warp_passes_over_draws_that_it_must_not_take():
    loss, push = warp(torch.tensor([0.0]), torch.tensor([[5.0, 1.0]]), torch.tensor([[3, 2]]), 101)  # 3 > n: never
    assert float(loss) == pytest.approx(2 * np.log(50), rel=1e-6)
    assert push[0, 0] == 0
    assert float(warp(torch.tensor([0.0]), torch.tensor([[5.0, 1.0]]), torch.tensor([[3, 3]]), 101)[0]) == 0


def test_warp_of_a_positive_that_beats_all_but_one_is_free():
    trial = torch.arange(1, 61)[None]
    negative = torch.where(trial == 60, 0.5, -1.0)
    assert float(warp(torch.tensor([1.0]), negative, trial, 61)[0]) == 0  # rank 1: log 1


def test_bpr_without_exceptions_is_the_ranknet_loss():
    positive, negative = torch.randn(6), torch.randn(6, 3)
    loss, _ = bpr(positive, negative, torch.ones(6, 3, dtype=torch.bool))
    torch.testing.assert_close(loss, ranknet_loss(positive, negative))


def test_bpr_leaves_known_items_out():
    usable = torch.tensor([[True, False], [False, False]])
    loss, push = bpr(torch.tensor([1.0, 2.0]), torch.tensor([[0.0, 9.0], [9.0, 9.0]]), usable)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-1)), rel=1e-6)
    np.testing.assert_allclose(push, [[1 / (1 + np.e), 0], [0, 0]], rtol=1e-6)


def test_every_positive_begins_at_its_own_draw():
    assert own_first(3).tolist() == [[1, 2, 3], [3, 1, 2], [2, 3, 1]]


def plain_loss(query: Tensor, items: Tensor, n: int, compare: Compare, l2: float) -> Tensor:
    """What `SharedDraws` computes, one positive after the other."""
    p = len(query)
    score = [[query[r] @ items[c, :-1] + items[c, -1] for c in [r, *range(p + r - r % n, p + r - r % n + n)]]
             for r in range(p)]  # fmt: skip
    scores = torch.stack([torch.stack(row) for row in score])
    penalty = (query.square().sum() + items[:, :-1].square().sum()) / p
    return compare(scores[:, 0], scores[:, 1:])[0] + l2 * penalty


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_gradients_by_hand_are_those_of_the_plain_loss(loss, n):
    rng = torch.Generator().manual_seed(n)
    query = torch.randn(6, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    items = torch.randn(12, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    usable = torch.rand(6, n, generator=rng) < 0.8
    trial = torch.where(usable, own_first(n).repeat(6 // n, 1), n + 1)
    compare = partial(bpr, usable=usable) if loss == "bpr" else partial(warp, trial=trial, n_items=101)
    found = SharedDraws.apply(query, items, n, compare, 0.3)
    expected = plain_loss(query, items, n, compare, 0.3)
    torch.testing.assert_close(found, expected)
    for ours, plain in zip(*(torch.autograd.grad(2 * x, (query, items)) for x in (found, expected)), strict=True):
        torch.testing.assert_close(ours, plain)


def features_of(rows: list[list[tuple[int, float]]], size: int) -> EntityFeatures:
    codes = Ragged.from_lists([[c for c, _ in row] for row in rows])
    return EntityFeatures(Bags(codes, np.array([w for row in rows for _, w in row], np.float32)), size)


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.floats(0.125, 2)), max_size=4), min_size=1, max_size=6))
def test_an_entity_is_the_weighted_sum_of_its_features(rows):
    table = EntityTable(features_of(rows, 5), 3, seed=0)
    dense = np.zeros((len(rows), 5))
    for row, features in enumerate(rows):
        for code, weight in features:
            dense[row, code] += weight
    np.testing.assert_allclose(table.all_vectors(), dense @ table.embedding.detach().numpy(), atol=1e-5)


def test_rows_asked_repeatedly_get_summed_gradients():
    table = EntityTable(features_of([[(0, 1.0)], [(0, 0.5), (1, 2.0)], [(2, 1.0)]], 4), 2, seed=0)
    table(np.array([1, 1, 0, 1])).sum().backward()
    gradient = table.embedding.grad
    assert sorted(gradient._indices()[0].tolist()) == [0, 1]  # nothing is spent on features that do not occur
    np.testing.assert_allclose(gradient.to_dense(), [[1 + 3 * 0.5] * 2, [3 * 2.0] * 2, [0, 0], [0, 0]])


@given(st.lists(st.integers(0, 6)))
def test_distinct_numbers_and_their_places_give_the_numbers_back(values):
    distinct, places = distinct_of(np.array(values, np.int32), np.full(7, 99, np.int32))
    assert sorted(distinct) == sorted(set(values))
    assert distinct[places].tolist() == values


def test_no_positive_of_an_epoch_is_left_out(two_tastes):
    """The last group of draws is filled up with positives that come twice."""
    events = two_tastes.train.unique_pairs()
    model = MF(dim=4, n_negatives=7)
    task = model._task(model._network(two_tastes, events), events)
    rows = np.concatenate([step.args[0] for _, step in task.batches(0, 0)])
    assert len(rows) % 7 == 0
    assert len(rows) - len(events) < 7
    assert set(rows) == set(range(len(events)))
    sizes = [n for n, _ in task.batches(0, 0)]
    assert len(sizes) == task.n_batches(0)
    assert sizes[0] == 35  # the next multiple of 7 above MIN_BATCH
    assert sizes[3:] == [n for n, _ in task.batches(0, 3)]


def test_features_of_a_table_are_codes_bags_and_bins():
    schema = (
        Column("make", Kind.CATEGORICAL),
        Column("tags", Kind.MULTI_CATEGORICAL),
        Column("price", Kind.CONTINUOUS),
    )
    values = {
        "make": Categories.of(["vw", None, "bmw", "vw"]),
        "tags": MultiCategories.of([["a", "b"], [], ["b"], ["a"]]),
        "price": np.array([1.0, 2.0, 3.0, 4.0]),
    }
    table = FeatureEncoder.fit(t := FeatureTable(FeatureSchema(schema), values, 4)).transform(t)
    features = EntityFeatures.of_table(table, quantile_edges(table, 2, np.arange(4)))
    # make: codes 0..2 (unknown 0 says nothing), tags: 3..5, price: 6 + bin 1 or 2; the median of the prices is 2.5.
    assert features.size == 3 + 3 + 3
    assert [list(row) for row in features.bags.codes] == [[2, 4, 5, 7], [7], [1, 5, 8], [2, 4, 8]]
    np.testing.assert_allclose(features.bags.weights, [1, 0.5, 0.5, 1, 1, 1, 1, 1, 1, 1, 1])


def test_constant_numbers_give_no_features():
    table = EncodedTable({}, {}, np.zeros((4, 1), np.float32), ("price",))
    features = EntityFeatures.of_table(table, quantile_edges(table, 3, np.arange(4)))
    assert features.size == 0
    assert list(features.bags.codes.lengths) == [0, 0, 0, 0]


def test_unseen_ids_have_no_embedding_of_their_own():
    features = EntityFeatures.identity(np.array([True, False, True]))
    assert features.size == 2
    assert [list(row) for row in features.bags.codes] == [[0], [], [1]]


def test_an_item_without_events_comes_last_in_mf_but_by_its_features_in_hybrid(two_tastes):
    cold = np.flatnonzero(two_tastes.train.item_counts() == 0)
    assert len(cold) >= 4
    queries = two_tastes.test.queries()
    assert (MF(**SMALL).fit(two_tastes).state()["item_vectors"][cold, :-1] == 0).all()
    score = HybridMF(**SMALL).fit(two_tastes).score(queries)
    own = (cold[None, :] - queries.users[:, None]) % 2 == 0  # cold items of the user's own taste
    assert score[:, cold][own].mean() > score[:, cold][~own].mean()


def test_unknown_users_get_the_scaled_mean_of_their_items(two_tastes):
    model = MF(**BRIEF).fit(two_tastes)
    items = model.state()["item_vectors"][:, :-1]
    scale = model.state()["fold_scale"][0]
    queries = Queries.of(np.array([UNKNOWN_USER]), Ragged.from_lists([[1, 3, 3]]))
    np.testing.assert_allclose(model.query_vectors(queries)[0], scale * (items[1] + 2 * items[3]) / 3, rtol=1e-5)


def test_the_fold_scale_is_the_least_squares_one(two_tastes):
    model = MF(**BRIEF).fit(two_tastes)
    histories = two_tastes.train.by_user()
    users, mean = model.state()["user_vectors"], model._mean_item_vectors(histories)
    errors = [np.square(users - s * mean).sum() for s in model.state()["fold_scale"][0] * np.array([0.99, 1.0, 1.01])]
    assert errors[1] == min(errors)


def test_training_keeps_the_best_epoch(two_tastes):
    model = MF(dim=8, epochs=20, lr=0.5, patience=2).fit(two_tastes)  # fast enough to overfit within 20 epochs
    assert model.best_epochs < 20
    queries, relevant = two_tastes.validation.queries(), two_tastes.validation.relevant()
    best = average_precision(model.recommend(queries, 10), relevant, 10).mean()
    for epochs in range(1, model.best_epochs):
        earlier = MF(dim=8, epochs=epochs, lr=0.5, patience=40).fit(two_tastes)
        assert average_precision(earlier.recommend(queries, 10), relevant, 10).mean() <= best


def test_large_catalogues_watch_fewer_users_but_at_least_one(two_tastes, monkeypatch):
    n_items, everybody = two_tastes.train.n_items, len(two_tastes.validation.users())
    for pairs, watched in ((10 * n_items, 10), (1, 1), (1000 * n_items, everybody)):
        monkeypatch.setattr(early_stopping, "WATCHED_PAIRS", pairs)
        queries, relevant = early_stopping.watched_users(two_tastes, 0)
        assert len(queries) == len(relevant) == watched


def test_the_last_fit_runs_for_the_best_number_of_epochs(two_tastes):
    tuned = tune(MF, {"lr": [0.5], "dim": [8], "patience": [2]}, two_tastes)
    assert tuned.options["epochs"] == MF(lr=0.5, dim=8, patience=2).fit(two_tastes).best_epochs < 40
    final = fit_final(MF, tuned.options, two_tastes)
    assert final.best_epochs == tuned.options["epochs"]


def shifted(split: Split, days: int) -> Split:
    """The same training events, some days later; the holdouts stay where they are."""
    e = split.train
    columns = {"user": e.user, "item": e.item, "time": e.time + days * 86_400}
    train = Interactions.of(**columns, n_users=e.n_users, n_items=e.n_items)
    return Split(split.dataset, train, split.validation, split.test, split.name, ordered_by_time=False)


def test_users_bring_the_profile_of_the_window_before_the_event(two_tastes):
    model, events = HybridMF(profile_days=60, **SMALL), two_tastes.train.unique_pairs()
    network = model._network(two_tastes, events)
    assert (network.serving_rows > 0).all()
    first = np.diff(events.user, prepend=-1) > 0
    assert (network.training_rows[first] == 0).all()  # nothing was known before the first event
    assert (network.training_rows[~first] > 0).any()
    outdated = model._network(shifted(two_tastes, -1000), events)
    np.testing.assert_array_equal(outdated.serving_rows, 0)  # all events are older than 60 days when asked


def test_hybrid_with_profiles_beats_the_popular_list(two_tastes):
    queries, relevant = two_tastes.test.queries(), two_tastes.test.relevant()
    ours, popular = (
        average_precision(model.fit(two_tastes).recommend(queries, 10), relevant, 10).mean()
        for model in (HybridMF(profile_days=60, **SMALL), Popular())
    )
    assert ours > popular


@pytest.mark.parametrize(
    "options", [{"loss": "hinge"}, {"dim": 0}, {"lr": 0}, {"l2": -1}, {"n_negatives": 0}, {"batch_size": 0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(BadConfig, match=next(iter(options))):
        MF(**options)


def test_too_few_bins_are_refused():
    with pytest.raises(BadConfig, match="n_bins must be at least 2"):
        HybridMF(n_bins=1)
