"""Lists of numbers as they come in Parquet: fixed or any length, missing ones, and rows that do not fit."""

import numpy as np
import pyarrow as pa
import pytest

from twotower.data.arrow_rows import table_of_rows
from twotower.data.tables import Column, FeatureSchema, FeatureTable, Kind
from twotower.data.vectors import read_vectors
from twotower.data.versions import overlay
from twotower.errors import BadInput

ROWS = [[1.0, 2.0], None, [3.0, 4.0]]
TEXT = FeatureSchema((Column("text", Kind.VECTOR),))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.int8())]
)
def test_lists_of_any_arrow_type_become_rows(kind):
    vectors, bad = read_vectors(pa.chunked_array([pa.array(ROWS, kind)]))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [[1, 2], [np.nan, np.nan], [3, 4]])
    assert not bad.any()


def test_rows_of_another_length_or_with_holes_are_told():
    cells = pa.chunked_array([[[1.0, 2.0], [1.0]], [[], [None, 2.0], [np.inf, 0.0], [3.0, 4.0], None]])
    assert read_vectors(cells)[1].tolist() == [False, True, True, True, True, False, False]


@pytest.mark.parametrize("cells", [[["a"]], ["0.1 0.2"], [1.0]])
def test_what_is_no_list_of_numbers_is_refused(cells):
    with pytest.raises(BadInput, match="no lists of numbers"):
        read_vectors(pa.chunked_array([cells]))
    with pytest.raises(BadInput, match="no list with a value"):
        read_vectors(pa.chunked_array([pa.array([None, []], pa.list_(pa.float32()))]))


def table(rows) -> FeatureTable:
    return FeatureTable(TEXT, {"text": np.array(rows, np.float32)}, len(rows))


def test_a_table_with_vectors_comes_back_from_its_file(tmp_path):
    ours = table([[1, 2, 3], [np.nan] * 3])
    ours.save(tmp_path / "t.parquet")
    np.testing.assert_array_equal(FeatureTable.load(tmp_path / "t.parquet")["text"], ours["text"])
    assert ours.describe(0) == {}  # nobody reads hundreds of numbers
    assert len(ours.take(np.array([1, 0, 0]))["text"]) == 3


def test_rows_of_any_parquet_file_are_read_and_bad_ones_named():
    rows = pa.table({"text": [[1.0, 2.0], None]})
    np.testing.assert_array_equal(table_of_rows(rows, TEXT)["text"], [[1, 2], [np.nan, np.nan]])
    with pytest.raises(BadInput, match="row 1 has no 2 finite numbers"):
        table_of_rows(pa.table({"text": [[1.0, 2.0], [1.0], [2.0, 3.0]]}), TEXT)


def test_a_vector_may_change():
    base, changes = np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(overlay(base, changes, np.array([-1, 0, -1])), [[0, 0], [1, 1], [0, 0]])


def test_flat_arrays_and_infinite_entries_are_no_vectors():
    with pytest.raises(BadInput, match="is vector, give float32"):
        FeatureTable(TEXT, {"text": np.zeros(2, np.float32)}, 2)
    with pytest.raises(BadInput, match="of row 1 is infinite"):
        table([[0, 0], [0, np.inf]])
