"""Quantile, piecewise-linear and periodic encodings of numbers: bins by hand, an oracle for the piecewise one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twotower.data.tables import MISSING_TIME, Categories, Column, FeatureSchema, FeatureTable, Kind
from twotower.errors import BadConfig, BadInput
from twotower.features.cosine import RawCosine
from twotower.features.encoded import Bags, as_matrix
from twotower.features.encoders import FeatureEncoder
from twotower.features.item_states import ItemStates
from twotower.features.number_fields import BinnedField, bins, weighted_knots
from twotower.features.profiles import ProfileLearner
from twotower.types import Ragged

NUMBER = Column("x", Kind.CONTINUOUS)


def table(*values: float) -> FeatureTable:
    return FeatureTable(FeatureSchema((NUMBER,)), {"x": np.array(values, np.float64)}, len(values))


def dense(bags: Bags, size: int) -> np.ndarray:
    found = np.zeros((len(bags), size))
    np.add.at(found, (bags.codes.row_ids(), bags.codes.values), bags.weights)
    return found


def test_quantile_bins_hold_about_as_many_values_each():
    encoder = FeatureEncoder.fit(table(*range(1, 101)), numbers="quantile", number_bins=4)
    codes = encoder.transform(table(*range(1, 101))).codes["x#"]
    assert np.bincount(codes).tolist() == [0, 25, 25, 25, 25]
    assert encoder.sizes == {"x#": 5}


def test_few_values_have_a_code_each_and_missing_ones_the_unknown_code():
    encoder = FeatureEncoder.fit(table(3, 1, 3, np.nan, 7), numbers="quantile")
    asked = encoder.transform(table(1, 3, 7, np.nan, -5, 99, 5))
    assert asked.codes["x#"].tolist() == [1, 2, 3, 0, 1, 3, 2]
    assert asked.continuous[3].tolist() == [0, 1]  # the z-value and its indicator stay


def test_a_value_that_fills_several_bins_has_one_code():
    # 60 zeros fill the first three of five bins; the others begin at 1 and 21
    encoder = FeatureEncoder.fit(table(*[0] * 60, *range(1, 41)), numbers="quantile", number_bins=5)
    assert encoder.transform(table(0, 20, 21, 40)).codes["x#"].tolist() == [1, 2, 3, 3]


def test_bins_are_learnt_from_the_given_rows_only():
    whole = table(1, 2, 1000, 2000)
    encoder = FeatureEncoder.fit(whole, np.array([0, 1]), numbers="quantile")
    assert encoder.transform(whole).codes["x#"].tolist() == [1, 2, 2, 2]


def test_piecewise_codes_are_the_knots_around_a_value():
    encoder = FeatureEncoder.fit(table(0, 10, 20, np.nan), numbers="piecewise")
    bags = encoder.transform(table(0, 2.5, 10, 20, 25, -1, np.nan)).codes["x#"]
    assert dense(bags, 4).tolist() == [
        [0, 1, 0, 0], [0, 0.75, 0.25, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0],
    ]  # fmt: skip


@given(
    arrays(np.float64, st.integers(2, 12), elements=st.integers(-1000, 1000), unique=True),
    arrays(np.float64, 20, elements=st.floats(-2000, 2000)),
)
def test_a_linear_layer_on_piecewise_codes_is_one_on_the_encoding_of_the_source(knots, asked):
    """Equation 1: 0 below a bin, 1 above it, the share of the bin between; its layer w has values v at the knots."""
    knots = np.sort(knots)
    inside = np.clip(asked, knots[0], knots[-1])
    source = np.clip((inside[:, None] - knots[:-1]) / np.diff(knots), 0, 1)  # [n, bins]
    values = np.random.default_rng(0).normal(size=len(knots))
    ours = dense(weighted_knots(knots, asked), len(knots) + 1)[:, 1:] @ values
    assert ours == pytest.approx(values[0] + source @ np.diff(values), abs=1e-5)
    assert dense(weighted_knots(knots, asked), len(knots) + 1).sum(axis=1) == pytest.approx(np.ones(20))


def test_nothing_known_gives_the_unknown_code_alone():
    empty = np.empty(0)
    assert bins(empty, np.array([1.0, np.nan])).tolist() == [0, 0]
    assert dense(weighted_knots(empty, np.array([1.0, np.nan])), 1).tolist() == [[1], [1]]
    for numbers in ("quantile", "piecewise"):
        encoder = FeatureEncoder.fit(table(np.nan, np.nan), numbers=numbers)
        assert encoder.sizes == {"x#": 1}
        assert len(encoder.transform(table(1, np.nan))) == 2


def test_periodic_columns_come_last_and_are_the_z_values():
    encoder = FeatureEncoder.fit(table(1, np.nan, 3), numbers="periodic")
    encoded = encoder.transform(table(1, 3, np.nan))
    assert encoded.continuous_names == ("x", "x?", "x~")
    assert encoded.periodic == (2,)
    np.testing.assert_array_equal(encoded.continuous[:, 2], encoded.continuous[:, 0])
    assert encoded.sizes == {}


def test_a_column_may_have_another_encoding_than_the_rest(tmp_path):
    columns = tuple(Column(name, Kind.CONTINUOUS) for name in ("price", "year", "power", "seats"))
    values = {c.name: np.arange(30.0) * (1 + i) for i, c in enumerate(columns)}
    whole = FeatureTable(FeatureSchema(columns), values, 30)
    encodings = {"year": "piecewise", "power": "periodic", "seats": "z"}
    encoder = FeatureEncoder.fit(whole, numbers="quantile", number_bins=5, number_encodings=encodings)
    encoded = encoder.transform(whole)
    assert list(encoded.sizes) == ["price#", "year#"]
    assert isinstance(encoded.codes["year#"], Bags)
    assert encoded.continuous_names == ("price", "year", "power", "seats", "power~")
    assert encoder.columns == ("price", "year", "power", "seats")
    encoder.save(tmp_path)
    loaded = FeatureEncoder.load(tmp_path).transform(whole)
    np.testing.assert_array_equal(loaded.continuous, encoded.continuous)
    np.testing.assert_array_equal(loaded.codes["price#"], encoded.codes["price#"])
    np.testing.assert_array_equal(loaded.codes["year#"].weights, encoded.codes["year#"].weights)


@pytest.mark.parametrize("numbers", ["quantile", "piecewise"])
def test_a_profile_holds_the_histogram_of_the_bins(make_dataset, make_prices, numbers, random_market):
    prices = make_prices([100, 200, np.nan, 400])
    encoder = FeatureEncoder.fit(prices, numbers=numbers)
    states = ItemStates.of(encoder, prices)
    profile = ProfileLearner(min_events=1).profile_of(Ragged.from_lists([[0, 0, 1, 2]]), states)
    # two of the three known prices are 100, one is 200; the unknown one counts for nothing
    assert as_matrix(profile.codes["price#"], 4).toarray()[0] == pytest.approx([0, 2 / 3, 1 / 3, 0])
    similar = RawCosine(profile, encoder.transform(prices))(np.zeros(4, int), np.arange(4))
    assert np.isfinite(similar).all()
    assert similar.argmax() == 0


def test_a_changed_price_changes_its_code(random_market):
    dataset, _ = random_market(0)
    encoder = FeatureEncoder.fit(dataset.items, numbers="quantile")
    states = ItemStates.of(encoder, dataset.items, dataset.versions)
    later = encoder.transform(dataset.items_at(10**9))
    rows = states.rows(np.arange(8))
    np.testing.assert_array_equal(states.codes["price#"][rows], later.codes["price#"])
    assert (states.codes["price#"][:8] != later.codes["price#"]).any()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"numbers": "log"}, BadConfig, "encoding 'log' is unknown; use z, quantile"),
        ({"numbers": "quantile", "number_bins": 1}, BadConfig, "number_bins is 1"),
        ({"number_encodings": {"prize": "z"}}, BadInput, "no column 'prize'"),
        ({"number_encodings": {"make": "z"}}, BadConfig, "make is categorical"),
    ],
)
def test_bad_options_are_named(options, error, text):
    columns = (NUMBER, Column("make", Kind.CATEGORICAL))
    whole = FeatureTable(FeatureSchema(columns), {"x": np.array([1.0]), "make": Categories.of(["a"])}, 1)
    with pytest.raises(error, match=text):
        FeatureEncoder.fit(whole, **options)


def test_limits_hold_for_bins_too():
    column = Column("x", Kind.CONTINUOUS, low=0.0, high=10.0)
    field = BinnedField.fit(column, np.array([1.0, 2.0, 99.0]), n_bins=4, soft=False)
    assert field.knots.tolist() == [1, 2]
    assert field.encode(np.array([99.0, -1.0, 2.0])).tolist() == [0, 0, 2]


DAY = 86_400
LISTED = Column("listed", Kind.TIMESTAMP)


def listings(*times: int) -> FeatureTable:
    return FeatureTable(FeatureSchema((LISTED,)), {"listed": np.array(times, np.int64)}, len(times))


def test_a_timestamp_becomes_its_age_at_the_moment_on_a_scale_of_doubling_days():
    now = 1000 * DAY
    encoder = FeatureEncoder.fit(listings(0, now), times="age")
    assert (encoder.sizes, encoder.continuous_names, encoder.columns) == ({"listed@": 20}, (), ("listed",))
    asked = listings(now - DAY, now - 8 * DAY, now - round(DAY * 2**2.5), now, now - 60)
    found = dense(encoder.transform(asked, now).codes["listed@"], 20)
    # knots at 2^-4, …, 2^14 days have the codes 1 to 19: one day 5, eight days 8, 2^2.5 days half 7 and half 8
    assert found.argmax(axis=1).tolist()[:2] == [5, 8]
    assert found[2, [7, 8]] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert found[3:, 1].tolist() == [1, 1]  # younger than the first knot


def test_the_future_and_the_missing_have_no_age():
    now = 100 * DAY
    encoder = FeatureEncoder.fit(listings(0), times="age")
    found = dense(encoder.transform(listings(now + 1, MISSING_TIME, now - DAY), now).codes["listed@"], 20)
    assert found[:, 0].tolist() == [1, 1, 0]
    later = dense(encoder.transform(listings(now + 1), now + 1 + DAY).codes["listed@"], 20)
    assert later[0, 5] == pytest.approx(1)  # a day after it came true


def test_ages_need_a_moment_and_timestamps(tmp_path):
    encoder = FeatureEncoder.fit(listings(0), times="age")
    with pytest.raises(BadInput, match="listed becomes its age: say at which moment"):
        encoder.transform(listings(0))
    with pytest.raises(BadConfig, match="x: encoding 'age' is for timestamp columns"):
        FeatureEncoder.fit(table(1, 2), numbers="age")
    encoder.save(tmp_path)
    assert FeatureEncoder.load(tmp_path).ages == encoder.ages


def test_ages_are_no_part_of_an_items_state():
    encoder = FeatureEncoder.fit(listings(0, DAY), times="age")
    assert ItemStates.of(encoder, listings(0, DAY)).codes == {}
    assert FeatureEncoder.fit(listings(0, DAY), times="quantile").sizes == {"listed#": 3}


def test_vectors_are_standardised_entry_by_entry_and_missing_ones_are_the_mean(tmp_path):
    def vectors(*rows) -> FeatureTable:
        schema = FeatureSchema((Column("text", Kind.VECTOR), NUMBER))
        values = {"text": np.array(rows, np.float32), "x": np.arange(len(rows), dtype=np.float64)}
        return FeatureTable(schema, values, len(rows))

    encoder = FeatureEncoder.fit(vectors([0, 5], [2, 5], [np.nan, np.nan], [4, 5]), numbers="periodic")
    encoder.save(tmp_path)
    encoded = FeatureEncoder.load(tmp_path).transform(vectors([4, 9], [np.nan, np.nan]))
    assert encoded.continuous_names == ("x", "x~", "text⟨0⟩", "text⟨1⟩")
    assert (encoded.vectors, encoded.periodic) == (((2, 4),), (1,))
    # mean 2, sample sd 2; the second entry is constant
    assert encoded.continuous[:, 2:].tolist() == [[1, 0], [0, 0]]
    assert encoder.columns == ("x", "text")
    with pytest.raises(BadInput, match="vectors of 3 numbers, the encoder was fitted on 2"):
        encoder.transform(vectors([1, 2, 3]))
