"""Ids keep their identity through numbering, and feature rows find their id whatever the order of the file."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.reading.assembly import FeatureRows, as_text, lists_of, number_ids, split_lists, take_or_missing
from twotower.data.tables import MISSING_TIME, Categories, Column, Kind, MultiCategories

plain = st.text("0a7é ", min_size=1, max_size=3).map(str.strip).filter(bool)
names = st.lists(st.one_of(st.integers(-50, 50).map(str), plain), min_size=1)


@given(names)
def test_numbering_gives_every_distinct_text_one_id_and_the_text_back(texts):
    ids = number_ids(np.asarray(texts, object), "user")
    assert sorted(as_text(ids).tolist()) == sorted(set(texts))


def test_plain_numbers_are_sorted_as_numbers_and_anything_else_as_text():
    assert number_ids(np.array(["10", "9", "10"], object), "item").external.tolist() == [9, 10]
    assert number_ids(np.array(["10", "9", "a"], object), "item").external.tolist() == ["10", "9", "a"]
    assert number_ids(np.array(["7", "07"], object), "item").external.tolist() == ["07", "7"]
    assert number_ids(np.array(["9" * 19, "1"], object), "item").external.dtype == object  # too long for int64


@given(st.permutations([0, 1, 2, 3]))
def test_features_find_their_id_whatever_the_order_of_the_file(order):
    ids = np.array(["a", "b", "c", "d"], object)[order]
    column = Column("price", Kind.CONTINUOUS)
    table = FeatureRows(ids, {column: np.array([10.0, 20, 30, 40])[order]}).align(np.array(["d", "x", "a"], object))
    np.testing.assert_array_equal(table["price"], [40, np.nan, 10])


def test_rows_that_are_absent_are_missing_in_every_kind():
    rows = np.array([1, -1])
    words = take_or_missing(Categories.of(["a", "b"]), rows)
    assert words.codes.tolist() == [1, -1]
    lists = take_or_missing(MultiCategories.of([["a"], ["b", "c"]], [[1.0], [2.0, 3.0]]), rows)
    assert (lists.codes.lengths.tolist(), lists.weights.tolist()) == ([2, 0], [2, 3])
    assert take_or_missing(np.array(["x", "y"], object), rows).tolist() == ["y", ""]
    assert take_or_missing(np.array([5, 6]), rows).tolist() == [6, MISSING_TIME]


def test_pairs_become_lists_in_the_order_of_the_pairs():
    lists = lists_of(np.array([2, 0, 2]), np.array(["z", "y", "x"], object), 3, np.array([1, 2, 3]))
    assert [[lists.values[c] for c in row] for row in lists.codes] == [["y"], [], ["z", "x"]]
    assert lists.weights.tolist() == [2, 1, 3]


def test_cells_are_cut_trimmed_and_cleared_of_words_for_nothing():
    lists = split_lists(np.array(["Action| Comedy|", "", "(none)"], object), "|", ("(none)",))
    assert [[lists.values[c] for c in row] for row in lists.codes] == [["Action", "Comedy"], [], []]
