"""`FeatureEncoder`: every kind of column against hand-worked numbers, and whatever odd values a table holds."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twotower.data.tables import (
    MISSING_TIME,
    Categories,
    Column,
    FeatureSchema,
    FeatureTable,
    Kind,
    MultiCategories,
)
from twotower.errors import BadConfig, BadInput, BundleError
from twotower.features.encoders import FeatureEncoder


def one_column(kind: Kind, values, low=None, high=None, name="x") -> FeatureTable:
    return FeatureTable(FeatureSchema((Column(name, kind, low, high),)), {name: values}, len(values))


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def bag_rows(bags) -> list[dict[int, float]]:
    weights = np.split(bags.weights, bags.codes.offsets[1:-1])
    return [dict(zip(c.tolist(), w.tolist(), strict=True)) for c, w in zip(bags.codes, weights, strict=True)]


def test_categories_become_codes_and_the_unseen_become_unknown():
    seen = one_column(Kind.CATEGORICAL, Categories.of(["red", "blue", None, "red"]))
    encoder = FeatureEncoder.fit(seen)
    asked = one_column(Kind.CATEGORICAL, Categories.of(["red", "green", "blue", None]))
    assert encoder.transform(asked).codes["x"].tolist() == [2, 0, 1, 0]
    assert encoder.sizes == {"x": 3}


def test_only_the_given_rows_are_learnt_from_and_repeats_count_again():
    table = one_column(Kind.CATEGORICAL, Categories.of(["red", "blue", "green"]))
    encoder = FeatureEncoder.fit(table, np.array([0, 0, 1]), min_count=2)
    assert encoder.transform(table).codes["x"].tolist() == [1, 0, 0]  # red twice, blue once, green never


def test_numbers_become_z_values_with_the_sample_standard_deviation():
    encoder = FeatureEncoder.fit(one_column(Kind.CONTINUOUS, numbers(1, 2, 6)))
    # mean 3, squared deviations 4 + 1 + 9 = 14, sample sd sqrt(14 / 2) = sqrt(7)
    z = encoder.transform(one_column(Kind.CONTINUOUS, numbers(3, 10))).continuous[:, 0]
    assert z == pytest.approx([0, 7 / 7**0.5])


def test_a_missing_number_is_zero_and_flagged_if_any_was_missing():
    encoder = FeatureEncoder.fit(one_column(Kind.CONTINUOUS, numbers(1, np.nan, 3)))
    table = encoder.transform(one_column(Kind.CONTINUOUS, numbers(2, np.nan)))
    assert table.continuous_names == ("x", "x?")
    assert table.continuous.tolist() == [[0, 0], [0, 1]]


def test_no_indicator_where_nothing_was_missing_or_none_is_wanted():
    whole = one_column(Kind.CONTINUOUS, numbers(1, 3))
    assert FeatureEncoder.fit(whole).continuous_names == ("x",)
    holed = one_column(Kind.CONTINUOUS, numbers(1, np.nan))
    assert FeatureEncoder.fit(holed, missing_indicator=False).continuous_names == ("x",)


def test_numbers_outside_the_limits_are_missing_and_do_not_bend_the_mean():
    table = one_column(Kind.CONTINUOUS, numbers(0, 10, 20, 1e6, -1), low=0.0, high=20.0)
    encoder = FeatureEncoder.fit(table)
    # 0, 10, 20: mean 10, sample sd 10; the limits themselves are inside
    assert encoder.transform(table).continuous.tolist() == [[-1, 0], [0, 0], [1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize("values", [numbers(5, 5, 5), numbers(np.nan, np.nan), numbers(7), numbers(0.1, 0.1, 0.1)])
def test_a_constant_single_or_missing_column_says_nothing_instead_of_nan(values):
    table = one_column(Kind.CONTINUOUS, values)
    assert (FeatureEncoder.fit(table).transform(table).continuous[:, 0] == 0).all()


def test_timestamps_become_z_values_of_seconds():
    table = one_column(Kind.TIMESTAMP, np.array([1_000_000_000, 1_000_000_010, MISSING_TIME]))
    z = FeatureEncoder.fit(table).transform(table).continuous
    # mean ...005, sample sd sqrt((25 + 25) / 1) = sqrt(50)
    assert z[:, 0] == pytest.approx([-5 / 50**0.5, 5 / 50**0.5, 0])
    assert z[:, 1].tolist() == [0, 0, 1]


@pytest.mark.parametrize("open_end", [253_402_214_400, -62_135_596_800])  # 9999-12-31 and 0001-01-01
def test_dates_that_say_no_end_are_missing_and_do_not_drown_the_others(open_end):
    known = one_column(Kind.TIMESTAMP, np.array([1_000_000_000, 1_000_000_010, MISSING_TIME]))
    table = one_column(Kind.TIMESTAMP, np.array([1_000_000_000, 1_000_000_010, open_end]))
    encoded = FeatureEncoder.fit(table).transform(table).continuous
    assert encoded.tolist() == FeatureEncoder.fit(known).transform(known).continuous.tolist()


def test_multi_values_become_bags_that_sum_to_one_over_what_is_known():
    rows = [["jazz", "pop"], ["jazz", "jazz", "new"], ["new"], []]
    seen = one_column(Kind.MULTI_CATEGORICAL, MultiCategories.of([["jazz", "pop"]]))
    asked = one_column(Kind.MULTI_CATEGORICAL, MultiCategories.of(rows, [[1, 3], [1, 1, 5], [1], []]))
    bags = FeatureEncoder.fit(seen).transform(asked).codes["x"]
    assert bag_rows(bags) == [{1: 0.25, 2: 0.75}, {1: 1.0}, {}, {}]


def test_encoding_leaves_the_source_as_it_was():
    column = MultiCategories.of([["z", "a", "z"], ["a"]], [[1, 2, 4], [8]])
    table = one_column(Kind.MULTI_CATEGORICAL, column)
    bags = FeatureEncoder.fit(table).transform(table).codes["x"]
    assert bag_rows(bags) == [{1: pytest.approx(2 / 7), 2: pytest.approx(5 / 7)}, {1: 1.0}]
    assert column.weights.tolist() == [1, 2, 4, 8]
    assert [column.values[row].tolist() for row in column.codes] == [["z", "a", "z"], ["a"]]


def test_a_negative_weight_is_refused_with_its_value_and_row():
    table = one_column(Kind.MULTI_CATEGORICAL, MultiCategories.of([["a"], ["b"]], [[1], [-2]]))
    with pytest.raises(BadInput, match=r"'b' of row 1 has weight -2"):
        FeatureEncoder.fit(table).transform(table)


def test_text_becomes_term_frequencies_of_hashed_words():
    def bucket(word: str) -> int:
        return 1 + zlib.crc32(word.encode()) % 64

    table = one_column(Kind.TEXT, np.array(["Red car, RED!", "", "…", "ünï 5"], object))
    encoder = FeatureEncoder.fit(table, hash_buckets=64)
    assert encoder.sizes == {"x": 65}
    assert bag_rows(encoder.transform(table).codes["x"]) == [
        {bucket("red"): pytest.approx(2 / 3), bucket("car"): pytest.approx(1 / 3)},
        {},
        {},
        {bucket("ünï"): 0.5, bucket("5"): 0.5},
    ]


def test_words_of_one_bucket_are_added_up():
    table = one_column(Kind.TEXT, np.array(["any words at all"], object))
    assert bag_rows(FeatureEncoder.fit(table, hash_buckets=1).transform(table).codes["x"]) == [{1: 1.0}]


def test_excluded_columns_are_not_encoded_and_must_exist(cars):
    assert list(FeatureEncoder.fit(cars, exclude=("make", "price")).sizes) == ["extras"]
    with pytest.raises(BadInput, match="no column 'colour'"):
        FeatureEncoder.fit(cars, exclude=("colour",))


@pytest.mark.parametrize(
    "name, kind, values, message",
    [
        ("make", Kind.CONTINUOUS, numbers(1, 2), "make: the encoder was fitted on Categories, .* an array of float64"),
        ("extras", Kind.CATEGORICAL, Categories.of(["a", "b"]), "extras: .* fitted on MultiCategories, .* Categories"),
        ("price", Kind.CATEGORICAL, Categories.of(["a", "b"]), "price: the encoder was fitted on numbers"),
    ],
)
def test_a_column_of_another_kind_is_refused_by_name(cars, name, kind, values, message):
    with pytest.raises(BadInput, match=message):
        FeatureEncoder.fit(cars, exclude=[n for n in cars.schema.names if n != name]).transform(
            one_column(kind, values, name=name)
        )


def test_numbers_where_text_was_are_refused():
    encoder = FeatureEncoder.fit(one_column(Kind.TEXT, np.array(["a"], object)))
    with pytest.raises(BadInput, match="x: the encoder was fitted on text"):
        encoder.transform(one_column(Kind.CONTINUOUS, numbers(1.0)))


def test_senseless_options_are_refused(cars):
    with pytest.raises(BadConfig, match="min_count 0"):
        FeatureEncoder.fit(cars, min_count=0)
    with pytest.raises(BadConfig, match="hash_buckets is 0"):
        FeatureEncoder.fit(one_column(Kind.TEXT, np.array(["a"], object)), hash_buckets=0)


def test_a_saved_encoder_encodes_alike(cars, tmp_path):
    text = one_column(Kind.TEXT, np.array(["größe L"] * 4, object), name="title")
    table = FeatureTable(FeatureSchema((*cars.schema.columns, *text.schema.columns)), {**cars.values, **text.values}, 4)
    encoder = FeatureEncoder.fit(table, np.array([0, 1, 2]), hash_buckets=32)
    encoder.save(tmp_path / "encoders")
    ours, theirs = encoder.transform(table), FeatureEncoder.load(tmp_path / "encoders").transform(table)
    assert (ours.sizes, ours.continuous_names) == (theirs.sizes, theirs.continuous_names)
    assert ours.continuous.tobytes() == theirs.continuous.tobytes()
    assert ours.codes["make"].tolist() == theirs.codes["make"].tolist()
    assert all(bag_rows(ours.codes[n]) == bag_rows(theirs.codes[n]) for n in ("extras", "title"))


def test_an_encoder_file_of_another_format_is_refused(cars, tmp_path):
    FeatureEncoder.fit(cars).save(tmp_path)
    facts = json.loads((tmp_path / "encoder.json").read_text()) | {"format": 99}
    (tmp_path / "encoder.json").write_text(json.dumps(facts))
    with pytest.raises(BundleError, match="format 99"):
        FeatureEncoder.load(tmp_path)


def test_tables_without_rows_and_without_columns_are_encoded(cars):
    none = cars.take(np.empty(0, np.int64))
    assert len(FeatureEncoder.fit(cars).transform(none)) == 0
    nothing_learnt = FeatureEncoder.fit(none).transform(cars)
    assert nothing_learnt.codes["make"].tolist() == [0, 0, 0, 0]
    assert not nothing_learnt.continuous.any()
    assert len(FeatureEncoder.fit(FeatureTable.empty(3)).transform(FeatureTable.empty(3))) == 3


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(width=64, allow_infinity=False)), st.booleans())
def test_any_numbers_are_encoded_as_finite_z_values(values, limited):
    table = one_column(Kind.CONTINUOUS, values, *((-1e3, 1e3) if limited else (None, None)))
    encoder = FeatureEncoder.fit(table)
    z = encoder.transform(table).continuous
    assert np.isfinite(z).all()
    inside = np.isfinite(values) & (np.abs(values) <= (1e3 if limited else np.finfo(np.float32).max))
    # Differences below 1e-100 have squares that float64 cannot hold: such a column counts as constant.
    if inside.sum() > 1 and np.ptp(values[inside]) > 1e-100:
        oracle = (values[inside] - values[inside].mean()) / values[inside].std(ddof=1)
        assert z[inside, 0] == pytest.approx(oracle, rel=1e-4, abs=1e-4)
    assert (z[~inside] == [[0, 1]]).all()


def test_rare_values_weigh_more_where_a_column_has_enough_of_them(tmp_path):
    rows = [["rock", "vinyl"], ["rock"], ["rock", "rock"], ["folk"]]
    table = one_column(Kind.MULTI_CATEGORICAL, MultiCategories.of(rows))
    encoder = FeatureEncoder.fit(table, idf_from=3)
    encoder.save(tmp_path)
    # folk 1, rock 2, vinyl 3; four rows, "rock" is counted 4 times, vinyl once: log(5/5) + 1 and log(5/2) + 1
    rare = np.log(5 / 2) + 1
    expected = {2: 1 / (1 + rare), 3: rare / (1 + rare)}
    for fitted in (encoder, FeatureEncoder.load(tmp_path)):
        assert bag_rows(fitted.transform(table).codes["x"])[0] == pytest.approx(expected)
    plain = FeatureEncoder.fit(table, idf_from=4)
    assert bag_rows(plain.transform(table).codes["x"])[0] == pytest.approx({2: 0.5, 3: 0.5})
