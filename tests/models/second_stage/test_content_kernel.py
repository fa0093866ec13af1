"""Claims of the content kernel: its parts by hand, and that it finds what it cannot have seen."""

import numpy as np
import pytest

from twotower.models.popular import Popular
from twotower.models.second_stage.content_kernel import ContentKernel
from twotower.models.second_stage.exposure import Exposure
from twotower.models.second_stage.kernel_parts import Looked, middle_place, on_sphere, unit_sets
from twotower.models.second_stage.kernel_weights import KernelWeights, alike, log_distance, log_sum
from twotower.testing import two_tastes
from twotower.testing.data import N_COLD, N_ITEMS, queries_of
from twotower.types import Ragged, TopK


def looked(codes, numbers, exposure=None) -> Looked:
    n = len(codes)
    nowhere, sets = np.zeros((n, 0), np.float32), np.zeros((n, 0, 64), np.float32)
    shown = np.zeros(n, np.float32) if exposure is None else np.array(exposure, np.float32)
    return Looked(np.array(codes)[:, None], sets, np.array(numbers, np.float32)[:, None], nowhere, shown)


def weights(**changes) -> KernelWeights:
    given = {"same": [2.0], "linear": [1.0], "square": [0.5], "far": [0.0], "active": [1.0], "exposed": [1.0],
             "decay": [0.0], "usual": [0.0], "home": [0.0], "background": [0.1]} | changes  # fmt: skip
    return KernelWeights(**{name: np.array(values, np.float32) for name, values in given.items()})


def test_the_kernel_by_hand():
    """Same code and a gap of 1: 2 − 1 · 1 − ½ · 1²; another code: without the 2; a missing number counts no gap."""
    kernel = weights().log_kernel(looked([5, 6, 5], [1.0, 1.0, np.nan]), looked([5], [0.0]))
    assert kernel[:, 0].tolist() == pytest.approx([0.5, -1.5, 2.0])


def test_exposure_multiplies_the_kernel():
    kernel = weights().log_kernel(looked([5, 5], [0.0, 0.0], [0.0, 3.0]), looked([5], [0.0]))
    assert kernel[1, 0] - kernel[0, 0] == pytest.approx(3)


def test_an_unknown_code_is_like_nothing():
    assert alike(np.array([-1, 0, 1]), np.array([-1, 1]), 2.0).tolist() == [[0, 0], [0, 0], [0, 2]]


def test_many_codes_are_compared_like_few():
    rng = np.random.default_rng(0)
    codes, wanted = rng.integers(-1, 9000, 500), rng.integers(-1, 9000, 40)
    wanted[:5] = codes[:5]
    expected = np.where((codes[:, None] == wanted) & (wanted >= 0), 1.5, 0)
    np.testing.assert_array_equal(alike(codes, wanted, 1.5), expected)


def test_two_wishes_are_both_served():
    """Half of the events are of code 5, half of 7: items of either are above one of another code, alike."""
    history, age = looked([5, 7], [0.0, 0.0]), np.zeros(2, np.float32)
    items, nothing = looked([5, 7, 9], [0.0] * 3), (np.zeros((3, 1), np.float32), np.zeros(3, np.float32))
    chances = weights().log_probability(items, history, age, items, *nothing)
    assert chances[0] == pytest.approx(chances[1])
    assert chances[0] > chances[2] + 1


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
    model = ContentKernel(moments=2, epochs=8).fit(two_tastes())
    cold = np.arange(N_ITEMS - N_COLD, N_ITEMS)
    asked_of = queries_of([[0, 2, 4, 6], [1, 3, 5, 7]])
    scores = model.pair_scores(asked_of, TopK(np.stack([cold, cold]), np.zeros((2, N_COLD), np.float32)))
    even = cold % 2 == 0
    assert scores[0, even].min() > scores[0, ~even].max()
    assert scores[1, ~even].min() > scores[1, even].max()


def test_users_without_a_history_get_the_popular_list():
    model = ContentKernel(moments=2, epochs=1).fit(two_tastes())
    popular = Popular().fit(two_tastes())
    np.testing.assert_array_equal(
        model.recommend(queries_of([[]]), 5).items, popular.recommend(queries_of([[]]), 5).items
    )


def test_the_forecast_survives_as_arrays():
    from twotower.models.second_stage.examples import earlier_moments
    from twotower.models.second_stage.moment import Moment

    split = two_tastes()
    forecast = Exposure.fit(earlier_moments(split, 2, None))
    now = Moment(split.dataset, split.train, split.asked_at)
    again = Exposure.from_arrays(forecast.to_arrays())
    np.testing.assert_array_equal(forecast.forecast(now), again.forecast(now))
