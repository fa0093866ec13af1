"""Feature columns and tables: coding, taking rows, saving, and what they refuse."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from twotower.types import Ragged

words = st.sampled_from(["diesel", "petrol", "gas", "électrique", "a\tb\nc", "", None])
SCHEMA = FeatureSchema(
    (
        Column("fuel", Kind.CATEGORICAL),
        Column("extras", Kind.MULTI_CATEGORICAL),
        Column("price", Kind.CONTINUOUS, low=0.0, high=500_000.0),
        Column("title", Kind.TEXT),
        Column("built", Kind.TIMESTAMP),
    )
)


def cars() -> FeatureTable:
    return FeatureTable(
        SCHEMA,
        {
            "fuel": Categories.of(["diesel", None, "petrol"]),
            "extras": MultiCategories.of([["abs", "airbag"], [], ["abs"]], [[0.75, 0.25], [], [1.0]]),
            "price": np.array([9_500.0, np.nan, 12_000.0]),
            "title": np.array(["old\tone", "", "new one"], dtype=object),
            "built": np.array([1_000, MISSING_TIME, 2_000]),
        },
        3,
    )


def decoded(column: Categories) -> list[str | None]:
    return [None if code == MISSING else column.values[code] for code in column.codes]


@given(st.lists(words))
def test_coded_values_decode_to_the_raw_ones(raw):
    column = Categories.of(raw)
    assert decoded(column) == [value or None for value in raw]
    assert column.values.tolist() == sorted({value for value in raw if value})


@pytest.mark.parametrize("gap", [None, "", float("nan"), np.float32("nan"), np.nan, pd.NA, pd.NaT])
def test_every_way_to_say_missing_is_missing(gap):
    assert Categories.of(["a", gap]).codes.tolist() == [0, MISSING]


def test_whole_floats_and_ints_are_one_value():
    assert Categories.of([4, 4.0, np.float32(4), "4", 4.5]).values.tolist() == ["4", "4.5"]


@given(st.lists(st.lists(words.filter(bool), max_size=4), max_size=6))
def test_multi_values_decode_to_the_raw_lists(rows):
    column = MultiCategories.of(rows)
    assert [[column.values[c] for c in row] for row in column.codes] == rows
    assert column.weights.tolist() == [1.0] * sum(map(len, rows))


def test_missing_entries_of_unweighted_lists_are_left_out_and_of_weighted_ones_refused():
    assert MultiCategories.of([["a", None], [""]]).codes.lengths.tolist() == [1, 0]
    with pytest.raises(BadInput, match="together with its weight"):
        MultiCategories.of([["a", None]], [[1.0, 2.0]])


def test_weights_must_match_their_values_row_by_row():
    with pytest.raises(BadInput, match="one weight per value, row by row"):
        MultiCategories.of([["a"], ["b"]], [[1.0, 2.0], []])


@pytest.mark.parametrize("codes", [[0, 2], [0, -2]])
def test_a_code_without_a_value_is_refused(codes):
    with pytest.raises(BadInput, match=r"at position 1 is outside -1\.\.1"):
        Categories(np.array(codes, np.int32), np.array(["a", "b"], dtype=object))


@pytest.mark.parametrize(("codes", "weight", "message"), [([-1], 1.0, "code -1"), ([0], np.nan, "weight of row 0")])
def test_bad_codes_and_weights_of_multi_values_are_refused(codes, weight, message):
    with pytest.raises(BadInput, match=message):
        MultiCategories(Ragged.from_lists([codes]), np.array([weight], np.float32), np.array(["a"], dtype=object))


def test_take_picks_the_same_rows_of_every_column():
    table = cars().take([2, 0, 2])
    assert len(table) == 3
    assert [table.describe(i) for i in range(3)] == [cars().describe(i) for i in (2, 0, 2)]
    assert table["extras"].weights.tolist() == [1.0, 0.75, 0.25, 1.0]


def test_describe_leaves_out_what_is_missing():
    assert cars().describe(0) == {
        "fuel": "diesel", "extras": ["abs", "airbag"], "price": 9500.0, "title": "old\tone",
        "built": "1970-01-01T00:16:40Z",
    }  # fmt: skip
    assert cars().describe(1) == {}


def test_replace_exchanges_one_column_only():
    cheaper = cars().replace("price", np.array([1.0, 2.0, 3.0]))
    assert cheaper.describe(2) == {**cars().describe(2), "price": 3.0}


def test_a_saved_table_comes_back_equal(tmp_path):
    cars().save(tmp_path / "cars.parquet")
    loaded = FeatureTable.load(tmp_path / "cars.parquet")
    assert loaded.schema == SCHEMA
    assert [loaded.describe(i) for i in range(3)] == [cars().describe(i) for i in range(3)]
    assert loaded["built"].tolist() == [1000, MISSING_TIME, 2000]
    assert loaded["extras"].weights.tolist() == [0.75, 0.25, 1.0]


@pytest.mark.parametrize("n_rows", [0, 5])
def test_a_table_without_columns_keeps_its_rows(tmp_path, n_rows):
    FeatureTable.empty(n_rows).save(tmp_path / "t.parquet")
    assert len(FeatureTable.load(tmp_path / "t.parquet")) == n_rows


def test_a_saved_table_without_rows_comes_back_with_its_columns(tmp_path):
    cars().take(np.empty(0, np.int64)).save(tmp_path / "t.parquet")
    loaded = FeatureTable.load(tmp_path / "t.parquet")
    assert (len(loaded), loaded.schema) == (0, SCHEMA)
    assert loaded["fuel"].values.tolist() == ["diesel", "petrol"]


def test_codes_and_unused_values_survive_parquet_row_groups(tmp_path):
    """1.1 M rows are two row groups, and 200,000 long values overflow a dictionary page: both make Parquet recode."""
    values = np.asarray([f"{i:064d}" for i in range(200_000)], dtype=object)
    codes = np.random.default_rng(0).integers(-1, 150_000, 1_100_000).astype(np.int32)
    schema = FeatureSchema((Column("make", Kind.CATEGORICAL),))
    FeatureTable(schema, {"make": Categories(codes, values)}, len(codes)).save(tmp_path / "t.parquet")
    loaded = FeatureTable.load(tmp_path / "t.parquet")["make"]
    np.testing.assert_array_equal(loaded.codes, codes)
    np.testing.assert_array_equal(loaded.values, values)


def test_other_tools_read_the_text_of_a_saved_column(tmp_path):
    cars().save(tmp_path / "cars.parquet")
    assert pq.read_table(tmp_path / "cars.parquet")["fuel"].to_pylist() == ["diesel", None, "petrol"]


def test_a_foreign_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(BadInput, match=r"other\.parquet is not a feature table"):
        FeatureTable.load(tmp_path / "other.parquet")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("fuel", np.zeros(3), "'fuel' is categorical, give Categories, got an array of float64"),
        ("extras", Categories.of(["a"] * 3), "'extras' is multi_categorical, give MultiCategories, got Categories"),
        ("price", np.arange(3), "'price' is continuous, give float64, got an array of int64"),
        ("price", np.array([1.0, np.inf, 2.0]), "'price' of row 1 is infinite"),
        ("title", np.array(["a", "b", "c"]), "'title' is text, give object"),
        ("built", np.zeros(3), "'built' is timestamp, give int64"),
        ("price", np.zeros(2), "'price' has 2 rows, the table 3"),
        ("colour", np.zeros(3), "no column 'colour'; there are fuel, extras"),
    ],
)
def test_values_that_do_not_fit_their_column_are_refused(name, values, message):
    with pytest.raises(BadInput, match=message):
        cars().replace(name, values)


def test_a_schema_refuses_one_name_twice_and_names_what_it_has():
    with pytest.raises(BadInput, match="stands twice"):
        FeatureSchema((Column("a", Kind.TEXT), Column("a", Kind.CONTINUOUS)))
    assert [c.name for c in SCHEMA.of_kind(Kind.TEXT, Kind.CATEGORICAL)] == ["fuel", "title"]


def test_a_table_needs_exactly_the_columns_of_its_schema():
    with pytest.raises(BadInput, match=r"schema names \['a'\], values given for \['b'\]"):
        FeatureTable(FeatureSchema((Column("a", Kind.CONTINUOUS),)), {"b": np.zeros(1)}, 1)


def test_weights_are_kept_beside_a_column_that_is_named_like_theirs(tmp_path):
    tags = MultiCategories.of([["a", "b"], ["c"]], [[0.25, 0.75], [1.0]])
    numbers = {"tags/weights": np.array([3.0, 4.0]), "tags/weights/": np.array([5.0, 6.0])}
    columns = (Column("tags", Kind.MULTI_CATEGORICAL), *(Column(name, Kind.CONTINUOUS) for name in numbers))
    FeatureTable(FeatureSchema(columns), {"tags": tags, **numbers}, 2).save(tmp_path / "t.parquet")
    loaded = FeatureTable.load(tmp_path / "t.parquet")
    assert loaded["tags"].weights.tolist() == [0.25, 0.75, 1.0]
    assert [loaded[name].tolist() for name in numbers] == [[3.0, 4.0], [5.0, 6.0]]


def test_rows_with_any_known_value_are_described():
    missing = cars().take([1])
    assert cars().described().tolist()[:2] == [True, False]
    assert missing.described().tolist() == [False]
    assert FeatureTable.empty(2).described().tolist() == [False, False]
