"""Claims of the content kernel: its parts by hand, and that it finds what it cannot have seen."""

import numpy as np
import pytest

from twotower.data.interactions import Interactions
from twotower.models.base import Model
from twotower.models.popular import Popular
from twotower.models.second_stage.content_kernel import ContentKernel
from twotower.models.second_stage.examples import earlier_moments
from twotower.models.second_stage.exposure import Exposure, demand, signals
from twotower.models.second_stage.kernel_fit import Questions, _free, _meant, fit_weights
from twotower.models.second_stage.kernel_parts import Looked, middle_place, on_sphere, unit_sets
from twotower.models.second_stage.kernel_weights import KernelWeights, likeness, log_distance, log_sum
from twotower.models.second_stage.moment import Moment
from twotower.testing import two_tastes
from twotower.testing.data import N_COLD, N_ITEMS, queries_of
from twotower.types import Ragged, TopK


def looked(codes, numbers, exposure=None) -> Looked:
    n = len(codes)
    nowhere, sets = np.zeros((n, 0), np.float32), np.zeros((n, 0, 64), np.float32)
    shown = np.zeros(n, np.float32) if exposure is None else np.array(exposure, np.float32)
    return Looked(np.array(codes)[:, None], sets, np.array(numbers, np.float32)[:, None], nowhere, shown)


def weights(**changes) -> KernelWeights:
    """One head; alike: the column, the gap, its square."""
    given = {"alike": [[2.0, 1.0, 0.5]], "active": [1.0], "decay": [0.0], "share": [1.0], "exposed": [1.0],
             "background": [0.1], "usual": [0.0], "home": [0.0]} | changes  # fmt: skip
    return KernelWeights(**{name: np.array(values, np.float32) for name, values in given.items()})


def test_the_kernel_by_hand():
    """Same code and a gap of 1: 2 − 1 · 1 − ½ · 1²; another code: without the 2; a missing number counts no gap."""
    kernel = weights().log_kernels(looked([5, 6, 5], [1.0, 1.0, np.nan]), looked([5], [0.0]))
    assert kernel[0, :, 0].tolist() == pytest.approx([0.5, -1.5, 2.0])


def test_exposure_multiplies_the_kernel():
    kernel = weights().log_kernels(looked([5, 5], [0.0, 0.0], [0.0, 3.0]), looked([5], [0.0]))
    assert kernel[0, 1, 0] - kernel[0, 0, 0] == pytest.approx(3)


def test_an_unknown_code_is_like_nothing():
    ways = likeness(looked([-1, 0, 1], [0.0] * 3), looked([-1, 1], [0.0] * 2))
    assert ways[0].tolist() == [[0, 0], [0, 0], [0, 1]]


def test_each_head_has_a_likeness_of_its_own():
    """Gap 3 squared is 9; beyond 5 standard deviations a gap is as far as 5, so its square stays 25."""
    two = weights(alike=[[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]], active=[0.0, 0.0])
    kernel = two.log_kernels(looked([5, 6], [3.0, 9.0]), looked([5], [0.0]))
    assert kernel[:, :, 0].tolist() == [[2, 0], [-9, -25]]


def taste(items: Looked, history: Looked, kernel: KernelWeights, age=None) -> np.ndarray:
    """Over a catalogue that is `items`."""
    kernels = kernel.log_kernels(items, history)
    normal = log_sum(kernels.transpose(0, 2, 1))
    return kernel.log_taste(kernels, normal, np.zeros(len(history.codes), np.float32) if age is None else age)


def test_two_wishes_are_both_served():
    """Half of the events are of code 5, half of 7: items of either are above one of another code, alike."""
    chances = taste(looked([5, 7, 9], [0.0] * 3), looked([5, 7], [0.0, 0.0]), weights())
    assert chances[0] == pytest.approx(chances[1])
    assert chances[0] > chances[2] + 1
    assert np.exp(chances).sum() == pytest.approx(1)


def test_heads_are_mixed_by_their_shares():
    """A head to which all is alike, and one that sees nothing but the column: e² / (e² + 1) beside a half."""
    mixed = weights(alike=[[0.0, 0, 0], [2.0, 0, 0]], active=[0.0, 0], decay=[0.0, 0], share=[0.25, 0.75])
    chances = np.exp(taste(looked([5, 7], [0.0] * 2), looked([5], [0.0]), mixed))
    assert chances[0] == pytest.approx(0.25 * 0.5 + 0.75 * np.exp(2) / (np.exp(2) + 1), rel=1e-5)


def test_older_events_say_less():
    """With decay 1 an event of 3 days has a quarter of the worth of one of today: 1 / (1 + 3)."""
    items, history = looked([5, 7], [0.0] * 2), looked([5, 7], [0.0] * 2)
    sharp = weights(alike=[[20.0, 0, 0]], decay=[1.0])
    chances = np.exp(taste(items, history, sharp, np.array([0.0, 3.0], np.float32)))
    assert chances.tolist() == pytest.approx([0.8, 0.2], rel=1e-5)


def test_a_background_of_exposure_is_mixed_in():
    nothing = np.zeros((2, 1), np.float32), np.zeros(2, np.float32)
    half = weights(background=[0.5])
    joined = half.log_probability(np.log(np.array([0.9, 0.1])), np.log(np.array([0.3, 0.7])), *nothing)
    assert np.exp(joined).tolist() == pytest.approx([0.6, 0.4], rel=1e-5)


def test_weights_come_back_from_their_free_numbers():
    import torch

    given = weights(alike=[[-0.7, 1.0, 0.5], [3.0, 0.1, 2.0]], active=[1.0, 2], decay=[0.4, 1], share=[0.3, 0.7])
    parts = looked([5], [0.0])
    meant = _meant({name: torch.tensor(a) for name, a in _free(given, parts).items()}, parts)
    for name, values in given.to_arrays().items():
        np.testing.assert_allclose(meant[name].numpy(), values, rtol=1e-3, atol=2e-3, err_msg=name)


def test_learning_finds_that_the_column_is_what_counts():
    """Users of `two_tastes` touch one of two groups: agreement of the group must gain, and likelihood with it."""
    split = two_tastes()
    cuts = earlier_moments(split, 2, None)
    exposure = Exposure.fit(cuts)
    questions = [Questions.of(cut, 20, exposure, by_moment=False) for cut in cuts]
    learnt = fit_weights(questions, heads=1, users=200, competitors=1000, lr=0.05, seed=0)
    again = fit_weights(questions, heads=1, users=200, competitors=1000, lr=0.05, seed=0)
    assert learnt.alike[0, 0] > 1
    np.testing.assert_array_equal(learnt.alike, again.alike)
    kept = fit_weights(questions, heads=1, users=4, competitors=1000, lr=1e-6, seed=0, start=learnt)
    np.testing.assert_allclose(kept.alike, learnt.alike, atol=1e-2)


def test_a_model_that_follows_goes_on_from_its_weights():
    split = two_tastes()
    first = ContentKernel(moments=2, users=100).fit(split)
    after = first.follow(split)
    assert after is not first
    assert type(first).follow is not Model.follow
    assert abs(after._weights.alike - first._weights.alike).max() < 0.5
    assert not np.array_equal(after._weights.alike, first._weights.alike)


def test_sums_over_the_catalogue_do_not_depend_on_who_asks_first():
    split = two_tastes()
    model = ContentKernel(moments=2, users=40).fit(split)
    asked, candidates = queries_of([[0, 2, 4]]), TopK(np.array([[1, 6, 8]]), np.zeros((1, 3), np.float32))
    before = model.pair_scores(asked, candidates)
    np.testing.assert_allclose(before, model.score(asked)[:, [1, 6, 8]], rtol=1e-5, atol=1e-5)
    model.serve(split.dataset, split.test.history, split.test.at)  # nothing is kept
    np.testing.assert_allclose(model.score(asked)[:, [1, 6, 8]], before, rtol=1e-5, atol=1e-5)


def test_demand_counts_the_others_alike_that_can_be_had():
    """Code 0 has items 0, 1 and 3, of which 3 is sold: for item 0 that leaves item 1 with 6 touches."""
    codes, touches = np.array([0, 0, 1, 0]), np.array([[4], [6], [9], [50]])
    there = np.array([True, True, True, False])
    mean, others = demand([codes], touches, there)
    assert mean.tolist() == [6, 4, 0, 5]  # the sold item's others: 4 and 6
    np.testing.assert_allclose(others, np.log1p([1, 1, 0, 2]))


def test_first_touches_are_counted_apart_from_repeats():
    """Item 0: one user, three times; item 1: three users. Of first touches item 1 has three times as many."""
    data = two_tastes().dataset
    log = Interactions.of(
        user=[0, 0, 0, 0, 1, 2], item=[0, 0, 0, 1, 1, 1], time=[1, 2, 3, 4, 5, 6],
        n_users=data.n_users, n_items=data.n_items,
    )  # fmt: skip
    found = signals(Moment(data.with_interactions(log), log, 10))
    assert np.expm1(found[:2, 7]).round().tolist() == [1, 3]  # 35 days, first touches
    counts = found[:2] - found[2]
    assert any(np.allclose(np.expm1(column), [3, 3]) for column in counts.T)  # events


def test_log_sums():
    assert log_sum(np.log(np.array([[1.0, 2.0, 3.0]], np.float32))).tolist() == pytest.approx([np.log(6)])


def test_distances_on_the_sphere():
    places = on_sphere(np.array([[0.0, 0.0], [1.0, 0.0], [np.nan, 0.0]], np.float32))
    assert log_distance(places[:1], places[1:2])[0, 0] == pytest.approx(np.log1p(111.2 / 50), rel=0.01)
    assert log_distance(places[:1], places[2:])[0, 0] == 0


def test_the_middle_is_where_most_places_are():
    places = on_sphere(np.array([[50.0, 8.0], [50.1, 8.0], [50.0, 8.1], [40.0, 20.0], [np.nan, np.nan]], np.float32))
    middle = middle_place(places[None])
    assert log_distance(middle, places[:1])[0, 0] < np.log1p(60 / 50)


def test_rare_values_make_sets_alike():
    vectors = unit_sets(Ragged.from_lists([[0, 1], [0, 1], [0], []]))
    assert vectors[0] @ vectors[1] == pytest.approx(1)
    assert 0 < vectors[0] @ vectors[2] < 1
    assert not vectors[3].any()


def test_new_items_of_the_users_taste_are_found_among_all():
    model = ContentKernel(moments=2, users=400).fit(two_tastes())
    cold = np.arange(N_ITEMS - N_COLD, N_ITEMS)
    asked_of = queries_of([[0, 2, 4, 6], [1, 3, 5, 7]])
    scores = model.pair_scores(asked_of, TopK(np.stack([cold, cold]), np.zeros((2, N_COLD), np.float32)))
    even = cold % 2 == 0
    assert scores[0, even].min() > scores[0, ~even].max()
    assert scores[1, ~even].min() > scores[1, even].max()


def test_users_without_a_history_get_the_popular_list():
    model = ContentKernel(moments=2, users=20).fit(two_tastes())
    popular = Popular().fit(two_tastes())
    np.testing.assert_array_equal(
        model.recommend(queries_of([[]]), 5).items, popular.recommend(queries_of([[]]), 5).items
    )


def test_the_forecast_survives_as_arrays():
    split = two_tastes()
    forecast = Exposure.fit(earlier_moments(split, 2, None))
    now = Moment(split.dataset, split.train, split.asked_at)
    again = Exposure.from_arrays(forecast.to_arrays())
    np.testing.assert_array_equal(forecast.forecast(now), again.forecast(now))
