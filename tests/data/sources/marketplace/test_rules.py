"""The rules of the market: attention falls, exposure takes viewers off its plan, searches get finer, whims wander."""

from dataclasses import replace

import numpy as np
import pytest

from twotower.data.dataset import Lifetimes
from twotower.data.sources.marketplace.calendar import DAY, END, START
from twotower.data.sources.marketplace.catalogue import PRICE_NOISE, bargains
from twotower.data.sources.marketplace.people import planned_looks
from twotower.data.sources.marketplace.rules import VERSIONS, Rules
from twotower.data.sources.marketplace.sessions import plan_sessions
from twotower.data.sources.marketplace.site import Site, attention, attention_in_window
from twotower.data.sources.marketplace.source import SIZES


def test_attention_falls_from_one_to_the_floor():
    rules = Rules(attention_floor=0.2, attention_days=4.0)
    after_four_days = 0.2 + 0.8 / np.e
    assert attention(rules, np.array([0.0, 4.0, 1000.0])) == pytest.approx([1.0, after_four_days, 0.2])
    assert (attention(VERSIONS[1], np.array([0.0, 9.0])) == 1.0).all()


def test_attention_in_the_window_is_the_sum_over_its_short_steps():
    """An ad listed ten days before the window and sold on its fifth day, and one listed within it that stays."""
    rules = Rules(attention_floor=0.1, attention_days=4.0)
    since = np.array([START - 10 * DAY, START + 30 * DAY])
    life = Lifetimes(since, np.array([START + 5 * DAY, END + 10 * DAY]))
    steps = (np.arange(35 * 1000) + 0.5) / 1000  # days since the window opened
    inside = (START + steps[:, None] * DAY >= life.since) & (START + steps[:, None] * DAY < life.until)
    total = (attention(rules, steps[:, None] - (since - START) / DAY) * inside).sum(axis=0) / 1000
    assert attention_in_window(rules, life) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(("feedback", "left"), [(0.0, 8.0), (0.25, 7.0), (1.0, 4.0)])
def test_exposure_loses_a_share_of_the_viewers_so_far(market, feedback, left):
    """Of 8 planned viewers, 4 of whom have come, 8 - 4 feedback still count."""
    rules, planned = replace(market.rules, feedback=feedback), np.full(len(market.ads), 8.0, np.float32)
    site = Site(rules, market.ads, market.people, market.dataset.versions, planned)
    before = site.exposure(10)
    site.seen_by[:] = 4
    shown = before > 0
    assert shown.any()
    assert site.exposure(10)[shown] / before[shown] == pytest.approx(np.full(shown.sum(), left / 8), rel=1e-5)


def test_price_bands_double_where_the_market_is_four_times_as_large():
    assert [VERSIONS[2].bands(n_items) for _, n_items, _ in SIZES.values()] == [3, 6, 12, 24]
    assert {VERSIONS[1].bands(n_items) for _, n_items, _ in SIZES.values()} == {6}


def test_a_bargain_is_a_price_below_what_the_vehicle_is_worth(market):
    """The seller's deviation has standard deviation 1 in these units; a cut of PRICE_NOISE adds one."""
    found = bargains(market.ads)
    usual = (market.ads.traits[:, 0] > np.log(1000)) & (market.ads.traits[:, 0] < np.log(100_000))
    assert found[usual].mean() == pytest.approx(0.0, abs=0.05)
    assert found[usual].std() == pytest.approx(1.0, abs=0.05)
    traits = market.ads.traits.copy()
    traits[:, 0] -= PRICE_NOISE
    cheaper, inside = bargains(replace(market.ads, traits=traits)), np.abs(found) < 1.9
    assert cheaper[inside] == pytest.approx(found[inside] + 1, abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_share_of_the_sessions_follows_a_whim(market, share):
    rules, users = replace(market.rules, whim_share=share), len(market.people)
    looks = planned_looks(users, np.random.default_rng(0))
    slots = plan_sessions(rules, len(market.ads), market.people, looks, np.random.default_rng(1))
    own = (market.people.wish[slots.user] == slots.wish[:, None]).any(axis=1)
    assert 1 - own.mean() == pytest.approx(share, abs=0.01)
