"""The oracles: they see no future, list what is for sale, and their chances are those of simulated clicks."""

import numpy as np
import pytest

from twotower.data.sources.marketplace.calendar import TEST_START, WEEK
from twotower.data.sources.marketplace.choice import gumbel, shown_page, utility
from twotower.data.sources.marketplace.forecast import expected_looks
from twotower.data.sources.marketplace.oracle import MarketOracle
from twotower.data.splitters import ByWeek
from twotower.errors import BadInput
from twotower.metrics.ranking import precision


@pytest.fixture(scope="module")
def foreseen(market):
    return expected_looks(market.dataset, TEST_START)


@pytest.fixture(scope="module")
def holdout(market):
    return ByWeek(test_week="2017-W18").split(market.dataset).test


def test_the_forecast_does_not_read_what_comes_later(market, foreseen):
    """Every ad gets a hundred looks after the moment of asking in one world, none in the other."""
    events = market.dataset.interactions
    blind = market.dataset.with_interactions(events.where(events.time < TEST_START))
    assert (expected_looks(blind, TEST_START) == foreseen).all()


def test_the_forecast_is_near_the_looks_that_come(market, foreseen):
    first = market.dataset.interactions.unique_pairs()
    life = market.dataset.lifetimes
    came = np.bincount(first.item[first.time >= TEST_START], minlength=len(foreseen))
    for_sale = life.available(TEST_START)
    assert (foreseen[~for_sale] == 0).all()
    assert foreseen[for_sale].sum() == pytest.approx(came[for_sale].sum(), rel=0.2)
    top = np.argsort(-foreseen)[: for_sale.sum() // 10]
    assert came[top].sum() > 2 * came[for_sale].sum() / 10


def test_the_forecast_needs_a_week_of_events_before_the_moment(market):
    with pytest.raises(BadInput, match="less than a week of events before"):
        expected_looks(market.dataset, TEST_START - 4 * WEEK + 1)


def test_chances_are_the_frequencies_of_simulated_clicks(market):
    """One user's wish, 40,000 pages drawn and clicked by the market's own rules.

    A page's appeal is put at its mean, so the chances are near, not equal: a fifth of them may lie elsewhere.
    """
    oracle = MarketOracle(market, TEST_START, market.viewers)
    user, rng = 41, np.random.default_rng(0)
    wish, way = market.people.wish[user, 0], market.people.search[user, 0]
    shelves = oracle.shelves
    cell = shelves.order[way][shelves.start[way, wish] : shelves.stop[way, wish]]
    cell = cell[oracle.exposure[cell] > 0]
    n, one = 40_000, np.ones(40_000, np.int64)
    page = shown_page(shelves, shelves.cumulative(oracle.exposure), wish * one, way * one, market.rules.page, rng)
    value = utility(market.rules, market.ads, market.people, oracle.log_price, user * one, wish * one, page)
    clicked = page[np.arange(n), (value + gumbel(value.shape, rng)).argmax(axis=1)]
    frequency = np.bincount(clicked, minlength=len(market.ads))[cell] / n
    chance = oracle._clicks(user, wish, cell)
    assert np.abs(chance / chance.sum() - frequency).sum() / 2 < 0.2
    often = frequency > 0.005
    assert np.corrcoef(chance[often].argsort().argsort(), frequency[often].argsort().argsort())[0, 1] > 0.9


@pytest.mark.parametrize("make", [MarketOracle.ceiling, MarketOracle.flat])
def test_lists_hold_unknown_ads_for_sale(market, holdout, make):
    queries = holdout.queries().take(np.arange(50))
    lists = make(market, TEST_START).recommend(queries, 20).items
    assert market.dataset.lifetimes.available(TEST_START)[lists].all()
    for row, known in zip(lists, queries.exclusions, strict=True):
        assert not np.isin(row, known).any()
        assert len(set(row)) == 20


def test_who_foresees_exposure_is_more_precise_than_who_knows_tastes_alone(market, holdout):
    ceiling, flat = (
        precision(make(market, TEST_START).recommend(holdout.queries(), 5), holdout.relevant(), 5).mean()
        for make in (MarketOracle.ceiling, MarketOracle.flat)
    )
    assert ceiling > 1.2 * flat
    assert flat > 0.05


def test_exposure_must_be_given_for_every_ad(market):
    with pytest.raises(BadInput, match="numbers of at least 0, one for each ad"):
        MarketOracle(market, TEST_START, np.ones(3))
