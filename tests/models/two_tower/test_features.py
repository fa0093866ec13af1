"""TowerFeatures: what is learnt from training events only, profiles as of a moment, save and load."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind
from twotower.data.versions import ItemVersions
from twotower.errors import BadConfig
from twotower.models.two_tower.features import TowerFeatures
from twotower.models.two_tower.options import FeatureOptions

DAY = 86_400


@pytest.fixture
def shop() -> Dataset:
    """4 users, 5 items with a title, a maker, a blurb and a price; item 4 is untouched, of a maker of its own.

    Item 0's price falls from 10 to 2 on day 3.
    """
    columns = (
        Column("title", Kind.TEXT), Column("maker", Kind.CATEGORICAL),
        Column("blurb", Kind.TEXT), Column("price", Kind.CONTINUOUS),
    )  # fmt: skip
    values = {
        "title": np.array([f"thing {i}" for i in range(5)], object),
        "maker": Categories.of(["a", "b", "a", "b", "z"]),
        "blurb": np.array(["red", "blue", "red", "", "green"], object),
        "price": np.array([10, 20, np.nan, 40, 50.0]),
    }
    price = FeatureTable(FeatureSchema((columns[3],)), {"price": np.array([2.0])}, 1)
    user = np.array([0, 0, 0, 1, 1, 2])
    item = np.array([0, 1, 3, 1, 2, 0])
    events = Interactions.of(user, item, DAY * np.array([1, 2, 4, 1, 2, 5]), n_users=4, n_items=5)
    return Dataset(
        "shop", events, FeatureTable.empty(4), FeatureTable(FeatureSchema(columns), values, 5),
        IdMap.of(range(4), "user"), IdMap.of(range(5), "item"),
        ItemVersions(np.array([0]), np.array([3 * DAY]), price), category="maker", title="title",
    )  # fmt: skip


def fitted(shop: Dataset, **options) -> TowerFeatures:
    usual = {"window_days": None, "refresh_days": 1, "min_events": 1, "markov_weights": None}
    return TowerFeatures.fit(shop, shop.interactions, FeatureOptions(**usual | options), 1)


def test_a_text_that_is_the_title_is_no_feature_and_other_texts_are(shop):
    assert set(fitted(shop).items.sizes) == {"maker", "blurb", "price#"}


def test_columns_may_be_excluded_and_those_that_are_not_there_are_ignored(shop):
    assert set(fitted(shop, exclude=("blurb", "age")).items.sizes) == {"maker", "price#"}


def test_numbers_become_quantile_codes_if_nothing_else_is_chosen(shop):
    assert fitted(shop).items.transform(shop.items).codes["price#"].tolist() == [1, 2, 0, 3, 3]
    assert "price#" not in fitted(shop, numbers="z").items.sizes
    assert fitted(shop, number_encodings={"price": "periodic"}).items.periodic == ("price",)


def test_an_encoding_of_a_column_that_nobody_has_is_refused(shop):
    with pytest.raises(BadConfig, match="no column 'prize'; there are blurb, maker, price, title"):
        fitted(shop, number_encodings={"prize": "z"})


def test_vocabularies_know_only_what_training_touched(shop):
    table = fitted(shop).items.transform(shop.items)
    assert table.codes["maker"][4] == 0  # "z" was never touched
    assert len(set(table.codes["maker"][:4].tolist())) == 2


def test_identities_need_events(shop):
    assert fitted(shop).identities.tolist() == [1, 2, 3, 4, 0]
    features = TowerFeatures.fit(shop, shop.interactions, FeatureOptions(), identity_min_count=2)
    assert features.identities.tolist() == [1, 2, 0, 0, 0]


def test_training_inputs_show_the_catalogue_after_the_last_event(shop):
    inputs, _ = fitted(shop).training_inputs(shop, shop.interactions)
    assert inputs.items.continuous[0, 0] == min(inputs.items.continuous[[0, 1, 3], 0])  # the price is 2 by now
    assert len(inputs.users) == 4 + 1


def test_serving_inputs_show_catalogue_and_profiles_as_of_the_moment(shop):
    features = fitted(shop)
    early, late = (features.serving_inputs(shop, shop.interactions, day * DAY) for day in (2, 6))
    price = features.items.continuous_names.index("price")
    assert early.items.continuous[0, price] > late.items.continuous[0, price]
    for inputs, events in ((early, [1, 1, 0, 0, 0]), (late, [3, 2, 1, 0, 0])):  # strictly before day 2, day 6
        counts = inputs.profiles.continuous[:, inputs.profiles.continuous_names.index("log_events")]
        np.testing.assert_allclose(np.expm1(counts), events, atol=1e-6)


def test_without_profiles_all_rows_are_empty(shop):
    features = fitted(shop, profiles=False)
    assert features.learner() is None
    inputs, profiles = features.training_inputs(shop, shop.interactions)
    assert profiles is None
    assert (len(inputs.profiles), inputs.profiles.sizes) == (1, {})
    assert len(features.serving_inputs(shop, shop.interactions, DAY).profiles) == 4 + 1


def test_items_without_features_give_no_profiles(two_tastes_bare):
    features = TowerFeatures.fit(two_tastes_bare.dataset, two_tastes_bare.train, FeatureOptions(), 1)
    assert features.learner() is None


def test_states_forget_what_was_filled_in_for_missing_numbers(shop):
    features = fitted(shop)
    states = features.states(features.items.transform(shop.items))
    assert np.isnan(states.z[:, 0]).tolist() == [False, False, True, False, False]


def test_profiles_of_known_histories_are_those_of_the_learner(shop):
    """A history that is brought along gets the profile that its events would have given a known user."""
    features = fitted(shop)
    inputs = features.serving_inputs(shop, shop.interactions, 9 * DAY)
    touched = shop.interactions.by_user().take(np.array([1]))
    brought = features.learner().profile_of(touched, features.states(inputs.items))
    np.testing.assert_allclose(brought.continuous, inputs.profiles.continuous[[1]], atol=1e-6)
    for name, codes in brought.codes.items():
        np.testing.assert_array_equal(codes.codes.values, inputs.profiles.codes[name].take([1]).codes.values)


def test_saved_and_loaded_features_encode_the_same(shop, tmp_path):
    features = fitted(shop, exclude=("blurb",))
    features.save(tmp_path)
    loaded = TowerFeatures.load(tmp_path)
    assert loaded.options == features.options
    np.testing.assert_array_equal(loaded.identities, features.identities)
    ours, theirs = (f.serving_inputs(shop, shop.interactions, 9 * DAY) for f in (features, loaded))
    for name in ("users", "profiles", "items"):
        np.testing.assert_array_equal(getattr(ours, name).continuous, getattr(theirs, name).continuous)
        assert getattr(ours, name).sizes == getattr(theirs, name).sizes
