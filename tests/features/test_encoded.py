"""`EncodedTable` and `Bags`: rows stay together, sums are 1, files give back what was saved."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from twotower.errors import BadInput
from twotower.features.encoded import Bags, EncodedTable, as_matrix
from twotower.types import Ragged


@pytest.fixture
def bags() -> Bags:
    return Bags(Ragged.from_lists([[2, 5], [], [1]], np.int32), np.array([0.25, 0.75, 1], np.float32))


@pytest.fixture
def table(bags) -> EncodedTable:
    codes = {"make": np.array([3, 0, 1], np.int32), "a/b?": bags}
    return EncodedTable({"make": 4, "a/b?": 6}, codes, np.array([[1.5], [0], [-2]], np.float32), ("price",))


def test_bags_add_up_repeats_leave_unknown_out_and_sum_to_one():
    # row 0: code 2 twice (1 + 2), code 1 once (1), the unknown code 0 (4): (1, 3) / 4; row 1: nothing known
    matrix = csr_array(([1.0, 4.0, 2.0, 1.0, 9.0], [2, 0, 2, 1, 0], [0, 4, 5]), shape=(2, 3))
    bags = Bags.of(matrix)
    assert [row.tolist() for row in bags.codes] == [[1, 2], []]
    assert bags.weights.tolist() == [0.25, 0.75]


def test_matrix_of_bags_and_of_codes_leave_unknown_empty(table):
    assert as_matrix(table.codes["make"], 4).toarray().tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]
    expected = [[0, 0, 0.25, 0, 0, 0.75], [0] * 6, [0, 1, 0, 0, 0, 0]]
    assert as_matrix(table.codes["a/b?"], 6).toarray().tolist() == expected


def test_take_keeps_the_parts_of_a_row_together(table):
    taken = table.take(np.array([2, 0, 2]))
    assert taken.codes["make"].tolist() == [1, 3, 1]
    assert [row.tolist() for row in taken.codes["a/b?"].codes] == [[1], [2, 5], [1]]
    assert taken.codes["a/b?"].weights.tolist() == [1, 0.25, 0.75, 1]
    assert taken.continuous[:, 0].tolist() == [-2, 1.5, -2]


def test_concatenated_bags_are_the_rows_of_all_parts(bags):
    joined = Bags.concatenate([bags, bags.take(np.array([0]))])
    assert [row.tolist() for row in joined.codes] == [[2, 5], [], [1], [2, 5]]
    assert joined.weights.tolist() == [0.25, 0.75, 1, 0.25, 0.75]


@pytest.mark.parametrize("mapped", [False, True])
def test_a_saved_table_is_loaded_unchanged(table, tmp_path, mapped):
    table.save(tmp_path / "t.safetensors")
    loaded = EncodedTable.load(tmp_path / "t.safetensors", mapped=mapped)
    assert (dict(loaded.sizes), loaded.continuous_names) == (dict(table.sizes), table.continuous_names)
    assert loaded.codes["make"].dtype == np.int32
    assert loaded.codes["make"].tolist() == [3, 0, 1]
    assert [row.tolist() for row in loaded.codes["a/b?"].codes] == [[2, 5], [], [1]]
    assert loaded.codes["a/b?"].weights.tolist() == [0.25, 0.75, 1]
    assert np.array_equal(loaded.continuous, table.continuous)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not list what is mapped")
def test_a_mapped_table_stays_in_its_file_and_what_is_written_stays_out_of_it(table, tmp_path):
    table.save(tmp_path / "t.safetensors")
    whole = EncodedTable.load(tmp_path / "t.safetensors")
    assert "t.safetensors" not in Path("/proc/self/maps").read_text()
    mapped = EncodedTable.load(tmp_path / "t.safetensors", mapped=True)
    assert "t.safetensors" in Path("/proc/self/maps").read_text()
    mapped.continuous[:] = 7
    assert np.array_equal(EncodedTable.load(tmp_path / "t.safetensors").continuous, whole.continuous)


def test_a_table_without_fields_survives_a_file(tmp_path):
    EncodedTable.empty(3).save(tmp_path / "t.safetensors")
    assert len(EncodedTable.load(tmp_path / "t.safetensors", mapped=True)) == 3


def test_a_value_that_is_not_finite_is_refused_by_name():
    with pytest.raises(BadInput, match="'price' of row 1"):
        EncodedTable({}, {}, np.array([[1], [np.inf]], np.float32), ("price",))
