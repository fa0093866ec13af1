"""`Ragged`, `Queries` and `TopK` against plain Python lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.errors import BadInput
from twotower.types import NO_ITEM, UNKNOWN_USER, Queries, Ragged, TopK

lists = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


def as_lists(ragged: Ragged) -> list[list[int]]:
    return [row.tolist() for row in ragged]


@given(lists)
def test_ragged_gives_back_the_lists_it_was_made_of(rows):
    ragged = Ragged.from_lists(rows)
    assert as_lists(ragged) == rows
    assert len(ragged) == len(rows)
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert ragged.row_ids().tolist() == [i for i, row in enumerate(rows) for _ in row]


@given(lists.filter(len), st.data())
def test_ragged_take_selects_rows_as_list_indexing_does(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    assert as_lists(Ragged.from_lists(rows).take(np.asarray(chosen, np.int64))) == [rows[i] for i in chosen]


@given(lists.filter(len), st.data())
def test_ragged_take_accepts_a_boolean_mask(rows, data):
    mask = np.asarray(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    assert as_lists(Ragged.from_lists(rows).take(mask)) == [
        row for row, wanted in zip(rows, mask, strict=True) if wanted
    ]


@given(lists, st.integers(0, 7))
def test_ragged_last_keeps_the_end_of_every_row(rows, n):
    assert as_lists(Ragged.from_lists(rows).last(n)) == [row[max(0, len(row) - n) :] for row in rows]


@given(lists, st.integers(1, 7))
def test_ragged_padded_is_left_aligned_and_filled(rows, width):
    padded = Ragged.from_lists(rows).padded(width)
    assert padded.tolist() == [row[-width:] + [NO_ITEM] * (width - len(row[-width:])) for row in rows]


def test_ragged_keeps_the_dtype_of_its_values():
    weights = Ragged.from_lists([[0.5], [], [1.0, 2.0]], np.float32)
    assert weights.values.dtype == np.float32
    assert weights.padded(2, fill=0.0).tolist() == [[0.5, 0], [0, 0], [1, 2]]


@pytest.mark.parametrize("offsets", [[], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3], [[0, 3]]])
def test_ragged_refuses_offsets_that_do_not_rise_from_zero_to_the_end(offsets):
    with pytest.raises(BadInput, match="offsets"):
        Ragged(np.arange(3), np.asarray(offsets, np.int64))


@pytest.mark.parametrize("row", [-1, 2])
def test_ragged_refuses_a_row_that_is_not_there(row):
    with pytest.raises(IndexError):
        Ragged.from_lists([[1], [2]])[row]


def test_queries_exclude_their_history_unless_told_otherwise():
    histories = Ragged.from_lists([[3, 1], []])
    assert as_lists(Queries.of([7, UNKNOWN_USER], histories).exclusions) == [[3, 1], []]
    assert as_lists(Queries.of([7, UNKNOWN_USER], histories, exclude_history=False).exclusions) == [[], []]


def test_queries_without_histories_have_empty_ones():
    queries = Queries.of(np.array([4, 5, 6]))
    assert as_lists(queries.histories) == [[], [], []]


@given(lists, st.integers(1, 4))
def test_blocks_of_queries_joined_give_all_queries_in_order(rows, size):
    queries = Queries.of(np.arange(len(rows)), Ragged.from_lists(rows))
    blocks = list(queries.blocks(size))
    assert all(0 < len(block) <= size for block in blocks)
    assert [user for block in blocks for user in block.users] == list(range(len(rows)))
    assert [row for block in blocks for row in as_lists(block.histories)] == rows


def test_queries_refuse_parts_of_different_lengths():
    with pytest.raises(BadInput, match="2 users, 1 histories"):
        Queries(np.array([1, 2]), Ragged.empty(1), Ragged.empty(2))


def test_topk_refuses_nan_scores_and_unequal_shapes():
    with pytest.raises(BadInput, match="NaN"):
        TopK(np.array([[1]]), np.array([[np.nan]], np.float32))
    with pytest.raises(BadInput, match=r"\(1, 2\)"):
        TopK(np.array([[1, 2]]), np.array([[0.5]], np.float32))


def test_topk_head_and_concatenate_undo_each_other():
    ranked = TopK(np.array([[2, 0], [1, NO_ITEM]]), np.array([[0.9, 0.1], [0.5, -np.inf]], np.float32))
    assert ranked.head(1).items.tolist() == [[2], [1]]
    assert ranked.head(1).k == 1
    joined = TopK.concatenate([ranked, ranked])
    np.testing.assert_array_equal(joined.items, [[2, 0], [1, NO_ITEM], [2, 0], [1, NO_ITEM]])
    assert len(joined) == 4
