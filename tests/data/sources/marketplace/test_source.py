"""The simulated market has the published shape, keeps its own rules, and can be learnt from content."""

import numpy as np
import pytest

from twotower.data.sources.marketplace import Market, Marketplace


@pytest.fixture(scope="module")
def market() -> Market:
    return Marketplace(size="demo").simulate()


def test_nobody_touches_an_ad_before_it_is_listed_or_after_it_is_sold(market):
    events, life = market.dataset.interactions, market.dataset.lifetimes
    assert (events.time >= life.since[events.item]).all()
    assert (events.time < life.until[events.item]).all()


def test_same_seed_same_fingerprint_and_another_seed_another(market):
    assert Marketplace(size="demo").load().fingerprint() == market.dataset.fingerprint()
    assert Marketplace(size="demo", seed=1).load().fingerprint() != market.dataset.fingerprint()


def test_prices_only_fall(market):
    versions = market.dataset.versions
    assert versions is not None
    assert (versions.features["price"] <= market.dataset.items_at(0)["price"][versions.item]).mean() > 0.99
    same = np.diff(versions.item) == 0
    assert (np.diff(versions.features["price"])[same] <= 0).all()
