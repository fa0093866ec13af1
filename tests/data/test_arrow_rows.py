"""Rows of any Parquet file as a feature table: the same features, whatever Arrow types they come in."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower.data.arrow_rows import table_of_rows
from twotower.data.tables import (
    MISSING,
    MISSING_TIME,
    Categories,
    Column,
    FeatureSchema,
    FeatureTable,
    Kind,
    MultiCategories,
)
from twotower.errors import BadInput
from twotower.features.encoders import FeatureEncoder

SCHEMA = FeatureSchema((
    Column("fuel", Kind.CATEGORICAL), Column("extras", Kind.MULTI_CATEGORICAL), Column("name", Kind.TEXT),
    Column("price", Kind.CONTINUOUS, 0, 100), Column("since", Kind.TIMESTAMP),
))  # fmt: skip


def one(kind: Kind, cells, **limits):
    """The values of a single column."""
    return table_of_rows(pa.table({"c": cells}), FeatureSchema((Column("c", kind, **limits),)))["c"]


def texts(column: Categories) -> list[str | None]:
    return [None if code == MISSING else column.values[code] for code in column.codes]


def sets(column: MultiCategories) -> list[list[str]]:
    return [[column.values[code] for code in row] for row in column.codes]


def test_a_saved_feature_table_is_encoded_as_the_table_itself(tmp_path):
    table = FeatureTable(SCHEMA, {
        "fuel": Categories.of(["diesel", "petrol", None, "diesel"]),
        "extras": MultiCategories.of([["abs", "roof"], [], ["roof"], ["abs"]], [[0.5, 2.0], [], [1.0], [3.0]]),
        "price": np.array([10.0, np.nan, 30.0, 99.0]),
        "name": np.array(["red car", "", "blue", "car"], dtype=object),
        "since": np.array([5, MISSING_TIME, 86_400, 7]),
    }, 4)  # fmt: skip
    table.save(tmp_path / "items.parquet")
    encoder = FeatureEncoder.fit(table)
    rows = pq.read_table(tmp_path / "items.parquet")
    for part, kept in ((rows, [0, 1, 2, 3]), (rows.slice(1, 2), [1, 2])):  # a slice has unused values
        read, wanted = encoder.transform(table_of_rows(part, SCHEMA)), encoder.transform(table.take(np.array(kept)))
        np.testing.assert_array_equal(read.continuous, wanted.continuous)
        np.testing.assert_array_equal(read.codes["fuel"], wanted.codes["fuel"])
        for bag in ("extras", "name"):
            np.testing.assert_array_equal(read.codes[bag].codes.values, wanted.codes[bag].codes.values)
            np.testing.assert_array_equal(read.codes[bag].codes.offsets, wanted.codes[bag].codes.offsets)
            np.testing.assert_array_equal(read.codes[bag].weights, wanted.codes[bag].weights)


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (pa.array(["b", None, "a", ""]), ["b", None, "a", None]),
        (pa.array([3, None, 1]), ["3", None, "1"]),
        (pa.array([3.0, None, 1.5]), ["3", None, "1.5"]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
        (pa.chunked_array([pa.array(["x"]).dictionary_encode(), pa.array(["y", "x"]).dictionary_encode()]),
         ["x", "y", "x"]),
        (pa.array([], pa.string()), []),
    ],
)  # fmt: skip
def test_categories_are_texts_of_any_type(cells, read):
    assert texts(one(Kind.CATEGORICAL, cells)) == read


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([["b", "a"], None, ["a", None]]),
        pa.array([["b", "a"], [], ["a"]], pa.large_list(pa.string())),
        pa.array(["b|a", None, "a |"]),
    ],
)
def test_sets_are_lists_or_texts_with_a_separator(cells):
    assert sets(one(Kind.MULTI_CATEGORICAL, cells)) == [["b", "a"], [], ["a"]]


def test_numbers_outside_the_limits_of_training_are_missing():
    read = one(Kind.CONTINUOUS, pa.array([-1, 0, 50, 101, None]), low=0.0, high=100.0)
    np.testing.assert_array_equal(read, [np.nan, 0, 50, np.nan, np.nan])


def test_times_are_seconds_timestamps_or_dates():
    day = dt.date(1970, 1, 2)
    np.testing.assert_array_equal(one(Kind.TIMESTAMP, pa.array([86_400, None])), [86_400, MISSING_TIME])
    np.testing.assert_array_equal(one(Kind.TIMESTAMP, pa.array([day])), [86_400])
    np.testing.assert_array_equal(one(Kind.TIMESTAMP, pa.array([86_400_000], pa.timestamp("ms"))), [86_400])


def test_an_absent_column_and_a_wrong_type_are_named():
    with pytest.raises(BadInput, match="no column 'fuel' among price"):
        table_of_rows(pa.table({"price": [1.0]}), SCHEMA)
    with pytest.raises(BadInput, match="column 'c' cannot be read as continuous"):
        one(Kind.CONTINUOUS, pa.array(["cheap"]))
