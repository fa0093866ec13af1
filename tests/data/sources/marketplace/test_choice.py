"""Choices follow the multinomial logit, pages follow exposure, and what is chosen can be learnt from content."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from twotower.data.sources.marketplace.calendar import TEST_START
from twotower.data.sources.marketplace.choice import Shelves, gumbel, shown_page, utility
from twotower.data.sources.marketplace.oracle import MarketOracle
from twotower.data.sources.marketplace.people import quantile_curve, shuffled_quantiles
from twotower.topk import top_k
from twotower.types import Ragged


def test_the_largest_utility_plus_gumbel_noise_is_a_multinomial_logit():
    value = np.log(np.array([1.0, 2.0, 5.0], np.float32))
    chosen = (value + gumbel((200_000, 3), np.random.default_rng(0))).argmax(axis=1)
    assert np.bincount(chosen) / 200_000 == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.005)


def test_a_quantile_curve_passes_through_its_points_and_bends_on_the_log_scale():
    points = ((0.25, 1.0), (0.5, 4.0), (0.75, 16.0))
    assert quantile_curve(points, np.array([0.25, 0.5, 0.75])) == pytest.approx([1, 4, 16])
    between = quantile_curve(
        points, ndtr(ndtri([0.25]) / 2)
    )  # half way between the first two normal scores: 4 ** (1 / 2)
    assert between == pytest.approx([2.0], rel=1e-3)


def test_shuffled_quantiles_are_a_sample_without_sampling_error():
    assert np.sort(shuffled_quantiles(4, np.random.default_rng(1))) == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])


def test_pages_show_ads_of_the_searched_cell_in_proportion_to_exposure(market):
    shelves, model = Shelves.of(market.rules, market.ads), market.ads.codes[:, 0]
    cell = np.flatnonzero(model == np.bincount(model).argmax())[:2]
    exposure = np.zeros(len(model), np.float32)
    exposure[cell] = [1.0, 3.0]
    wish, search = np.full(5000, cell[0]), np.zeros(5000, np.int64)
    page = shown_page(shelves, shelves.cumulative(exposure), wish, search, 18, np.random.default_rng(0))
    assert page.shape == (5000, 18)
    assert set(np.unique(page)) == set(cell)
    assert (page == cell[1]).mean() == pytest.approx(3 / 4, abs=0.01)


def test_an_empty_cell_widens_the_search_and_a_dead_market_shows_nothing(market):
    shelves, codes = Shelves.of(market.rules, market.ads), market.ads.codes
    wish = 0
    other = np.flatnonzero((codes[:, 2] == codes[wish, 2]) & (codes[:, 0] != codes[wish, 0]))[0]
    exposure = np.zeros(len(codes), np.float32)
    rng, one = np.random.default_rng(0), np.array([wish])
    assert (shown_page(shelves, shelves.cumulative(exposure), one, np.array([0]), 1, rng) == -1).all()
    exposure[other] = 1.0
    assert (shown_page(shelves, shelves.cumulative(exposure), one, np.array([0]), 1, rng) == other).all()


def test_a_wish_is_worth_more_than_a_random_ad(market):
    user = np.arange(200)
    wish = market.people.wish[user, 0]
    random = np.random.default_rng(0).integers(0, len(market.ads), (200, 20))
    shown = np.column_stack([wish, random])
    value = utility(market.rules, market.ads, market.people, market.ads.traits[:, 0], user, wish, shown)
    assert np.median(value[:, 0] - np.median(value[:, 1:], axis=1)) > 3


@pytest.fixture(scope="module")
def examination(market):
    """700 active users with history, all training events, and the new pairs of the test week."""
    events = market.dataset.interactions
    train, test = events.where(events.time < TEST_START), events.where(events.time >= TEST_START)
    new = np.setdiff1d(test.pair_keys(), train.pair_keys())
    users = np.intersect1d(np.unique(new // events.n_items), train.user)
    return np.random.default_rng(0).choice(users, 700, replace=False), train, new


def precision(scores, examination, k=10):
    users, train, new = examination
    lists = top_k(scores.astype(np.float32), k, train.by_user().take(users)).items
    return np.isin(users[:, None] * train.n_items + lists, new).mean()


def popular_precision(examination):
    users, train, _ = examination
    return precision(np.broadcast_to(train.item_counts(), (len(users), train.n_items)), examination)


def test_who_knows_the_hidden_tastes_is_five_times_as_precise_as_the_popular_list(market, examination):
    scores = MarketOracle.ceiling(market, TEST_START).scores(examination[0])
    assert precision(scores, examination) >= 5 * popular_precision(examination)


def profile_scores(market, users, histories):
    """Scores of ads that are still for sale: similarity of published features to the mean over a history."""
    items = market.dataset.items
    scores = np.zeros((len(users), len(items)), np.float32)
    owner = histories.row_ids()
    for name, weight in {"model": 3, "make": 1, "subcategory": 1, "fuel": 1, "transmission": 1, "colour": 1}.items():
        column = items[name]
        taste = np.zeros((len(users), len(column.values) + 1), np.float32)
        np.add.at(taste, (owner, column.codes[histories.values]), 1 / histories.lengths[owner])
        taste[:, -1] = 0  # missing
        scores += weight * taste[:, column.codes]
    for name in ("price", "latitude", "longitude", "first_registration"):
        values = np.log(items[name]) if name == "price" else items[name]
        values = np.nan_to_num((values - np.nanmedian(values)) / (np.nanquantile(values, 0.9) - np.nanmedian(values)))
        mean = np.bincount(owner, values[histories.values], len(users)) / np.maximum(histories.lengths, 1)
        scores -= 0.5 * np.minimum(np.abs(values - mean[:, None]), 3).astype(np.float32)
    scores[:, ~market.ads.lifetimes.available(TEST_START)] = -np.inf
    return scores


def test_a_content_profile_of_recent_ads_beats_the_popular_list(market, examination):
    users, train, _ = examination
    scores = profile_scores(market, users, train.by_user().take(users).last(20))
    assert precision(scores, examination) > 1.5 * popular_precision(examination)


def test_recent_ads_say_more_about_the_test_week_than_old_ones(market, examination):
    users, train, new = examination
    histories = train.by_user().take(users)
    long = histories.lengths >= 40
    kept = users[long], train, new
    recent = histories.take(np.flatnonzero(long)).last(10)
    first = Ragged.from_lists([row[:10] for row in histories.take(np.flatnonzero(long))])
    assert precision(profile_scores(market, users[long], recent), kept) > 1.1 * precision(
        profile_scores(market, users[long], first), kept
    )


def test_consecutive_events_of_a_user_are_alike(market):
    looks = market.dataset.interactions.unique_pairs()
    model = market.ads.codes[looks.item, 0]
    same_user = np.diff(looks.user) == 0
    shuffled = model[np.lexsort((np.random.default_rng(0).random(len(model)), looks.user))]
    assert (np.diff(model) == 0)[same_user].mean() > 1.5 * (np.diff(shuffled) == 0)[same_user].mean()
