"""The simulated market keeps its own rules: lifetimes, prices, dependent features, repeatable chance."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__
from threadpoolctl import threadpool_limits

from twotower.data.dataset import Dataset
from twotower.data.sources.marketplace import Marketplace
from twotower.data.sources.marketplace.calendar import END, START, TEST_START
from twotower.data.sources.marketplace.people import EXAMPLE_USER, planned_looks
from twotower.data.sources.marketplace.source import SIZES
from twotower.data.tables import MISSING, Kind
from twotower.errors import BadConfig

NUMBERS = (Kind.CONTINUOUS, Kind.PLACE)
AVX2_ONLY = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"}
AS_THEN = """
from dataclasses import replace
from twotower.data.sources.marketplace import Marketplace
from twotower.data.tables import FeatureSchema, Kind
market = Marketplace(size="demo", seed={seed}, version=1).load()
columns = market.items.schema.columns
kinds = [replace(c, kind=Kind.CONTINUOUS) if c.kind is Kind.PLACE else c for c in columns]
print(replace(market, items=replace(market.items, schema=FeatureSchema(tuple(kinds)))).fingerprint())
"""
"""Draws the market of version 1 with the kinds of columns that it had before there were versions."""


def codes(dataset, name):
    return dataset.items[name].codes


def test_nobody_touches_an_ad_before_it_is_listed_or_after_it_is_sold(market):
    events, life = market.dataset.interactions, market.dataset.lifetimes
    assert (events.time >= life.since[events.item]).all()
    assert (events.time < life.until[events.item]).all()
    assert events.time.min() >= START
    assert events.time.max() < END


def test_every_ad_has_a_viewer_and_every_user_an_event(market):
    events = market.dataset.interactions
    assert events.item_counts().min() >= 1
    assert np.bincount(events.user, minlength=events.n_users).min() >= 1


def test_the_first_event_of_every_pair_is_a_view(market):
    first = market.dataset.interactions.unique_pairs()
    assert (first.kind == first.kinds.index("view")).all()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_seed_gives_the_same_fingerprint_at_any_thread_count(market, n_threads):
    with threadpool_limits(n_threads):
        assert Marketplace(size="demo", seed=0).load().fingerprint() == market.dataset.fingerprint()


def test_another_seed_gives_another_market(market):
    assert Marketplace(size="demo", seed=1).load().fingerprint() != market.dataset.fingerprint()


@pytest.mark.parametrize(
    ("seed", "fingerprint"),
    [
        (0, "8855aeba7f973360ebdadd6f9ccb7b3cac593a3b2bbb92787c46b158462fedae"),
        (3, "8609688fc1d6e66fe9b3c222bd3f113fa618a6ca5fa9a0a459fb3b07ccfded46"),
    ],
)
def test_version_1_is_bit_for_bit_the_market_before_there_were_versions(seed, fingerprint):
    """Its latitude and longitude were two numbers then, which are called a place now.

    NumPy's exp and log round otherwise where they compute eight numbers at once (AVX-512), and one click that falls
    otherwise changes all that follow: the market is compared as AVX2 computes it, in a process of its own.
    """
    if not __cpu_features__.get("AVX2"):
        pytest.skip("this processor has no AVX2, with which the former market was drawn")
    program = AS_THEN.format(seed=seed)
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=os.environ | AVX2_ONLY, text=True,
                         capture_output=True, check=True)  # fmt: skip
    assert ran.stdout.strip() == fingerprint


def test_the_versions_are_told_apart_by_name_and_fingerprint(market):
    first = Marketplace(size="demo", version=1).load()
    assert (first.name, market.dataset.name) == ("marketplace-demo", "marketplace-demo-v2")
    assert first.fingerprint() != market.dataset.fingerprint()


def test_an_unknown_version_is_refused_with_the_known_ones():
    with pytest.raises(BadConfig, match="version 3 is unknown; choose one of 1, 2"):
        Marketplace(version=3).load()


def test_an_unknown_size_is_refused_with_the_known_ones():
    with pytest.raises(BadConfig, match="'huge' is unknown; choose one of demo, small, quarter, full"):
        Marketplace(size="huge").load()


def test_saved_and_loaded_it_is_the_same_data_set(market, tmp_path):
    market.dataset.save(tmp_path / "market")
    assert Dataset.load(tmp_path / "market").fingerprint() == market.dataset.fingerprint()


@pytest.mark.parametrize("size", SIZES)
def test_user_42_is_active_in_training_and_test_at_every_size(size):
    looks = planned_looks(SIZES[size][0], np.random.default_rng(5))[EXAMPLE_USER]
    assert looks[:4].sum() >= 10
    assert looks[4] >= 1


def test_user_42_has_events_on_both_sides_of_the_test_start(market):
    dataset = market.dataset
    user = dataset.user_ids.to_internal([42])[0]
    time = dataset.interactions.time[dataset.interactions.user == user]
    assert (time < TEST_START).sum() >= 10
    assert (time >= TEST_START).sum() >= 1


def test_the_schema_is_the_published_one(market):
    schema = market.dataset.items.schema
    assert [c.name for c in schema.of_kind(*NUMBERS)] == [
        "consumption", "first_registration", "latitude", "longitude", "mileage", "price",
    ]  # fmt: skip
    assert [c.name for c in schema.of_kind(Kind.PLACE)] == ["latitude", "longitude"]
    assert [c.name for c in schema.of_kind(Kind.CATEGORICAL)] == [
        "airbag", "category", "climatisation", "colour", "condition", "country", "doors", "fuel", "make", "model",
        "previous_owners", "seats", "site", "subcategory", "transmission",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["make", "category", "subcategory"])
def test_the_model_determines(market, name):
    model, value = codes(market.dataset, "model"), codes(market.dataset, name)
    assert len(np.unique(np.stack([model, value]), axis=1).T) == len(np.unique(model))


def test_price_falls_with_age_and_mileage_within_a_model(market):
    ads = market.ads
    young = ads.traits[:, 3] < 20
    commonest = np.bincount(ads.codes[young, 0]).argmax()
    rows = young & (ads.codes[:, 0] == commonest)
    price, age, km = ads.traits[rows, 0], ads.traits[rows, 3], ads.km[rows]
    assert np.corrcoef(price, age)[0, 1] < -0.7
    assert np.corrcoef(price, km)[0, 1] < -0.7


def test_fewer_than_one_percent_of_the_ads_lie_outside_the_outlier_limits_but_some_do(market):
    items = market.dataset.items
    outside = np.zeros(len(items), bool)
    for column in items.schema.of_kind(*NUMBERS):
        outside |= (items[column.name] < column.low) | (items[column.name] > column.high)
    assert 0 < outside.mean() < 0.01


def test_some_values_are_missing_but_never_what_identifies_a_vehicle(market):
    items = market.dataset.items
    missing = {c.name: (items[c.name].codes == MISSING).mean() for c in items.schema.of_kind(Kind.CATEGORICAL)}
    missing |= {c.name: np.isnan(items[c.name]).mean() for c in items.schema.of_kind(*NUMBERS)}
    always = {
        "category",
        "condition",
        "country",
        "make",
        "model",
        "site",
        "subcategory",
        "latitude",
        "longitude",
        "price",
    }
    assert {name for name, share in missing.items() if share == 0} == always
    assert max(missing.values()) < 0.45


def test_later_versions_of_an_ad_are_cheaper_and_lie_in_its_life(market):
    dataset = market.dataset
    versions, life = dataset.versions, dataset.lifetimes
    price, first = versions.features["price"], np.diff(versions.item, prepend=-1) > 0
    assert (np.diff(price)[~first[1:]] <= 0).all()
    published = np.exp(market.ads.traits[versions.item, 0])
    assert (price <= published + 5).all()  # + 5: prices are rounded to 10 euro
    assert (versions.since > life.since[versions.item]).all()
    assert (versions.since < life.until[versions.item]).all()
    assert 0.15 < first.sum() / dataset.n_items < 0.25
