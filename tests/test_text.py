"""Tables, hints and messages as people read them."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower import text
from twotower.text import aligned, gib_text, near, one_line, printable, table

ROWS = [["model", "map", "note"], ["als", ".0546", "ours"], ["popular", ".1", ""]]
CELLS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.text("ab", max_size=5), min_size=n, max_size=n), min_size=1)
)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(text).failed == 0


def test_names_stand_to_the_left_and_figures_to_the_right():
    assert aligned(ROWS[:2]) == "model    map  note\nals    .0546  ours"
    assert aligned(ROWS, left=(0, 2)).split("\n") == ["model      map  note", "als      .0546  ours", "popular     .1"]


def test_a_rule_below_the_head_is_as_wide_as_the_columns():
    assert aligned(ROWS, left=(0, 2), ruled=True).split("\n")[1] == "-------  -----  ----"


@given(rows=CELLS)
def test_every_column_ends_in_one_place_where_all_stand_to_the_right(rows):
    ends = [sum(max(len(row[c]) for row in rows) for c in range(at + 1)) + 2 * at for at in range(len(rows[0]))]
    for row, line in zip(rows, aligned(rows, left=()).split("\n"), strict=True):
        for cell, end in zip(row, ends, strict=True):
            assert line[end - len(cell) : end].ljust(len(cell)) == cell


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        aligned([["a", "b"], ["c"]])


def test_a_bar_in_a_markdown_cell_does_not_end_it():
    assert table([["a", "b"], ["x|y", "1"]]) == "| a | b |\n|---|---:|\n| x\\|y | 1 |"


def test_bytes_are_told_in_gib():
    assert gib_text(3 * 2**29) == "1.50 GiB"


def test_several_near_names_are_all_offered_the_nearest_first():
    assert near("prices", ["fuel", "price", "prices_eu"]) == "did you mean price or prices_eu?"


def test_where_nothing_is_near_the_first_names_are_told():
    assert near("x", [f"name{i}" for i in range(13)]).endswith("name10, name11 …")
    assert near("x", [f"name{i}" for i in range(12)]).endswith("name10, name11")
    assert near("x", []) == "there are none"


@given(st.text())
def test_a_message_in_one_line_has_the_same_words(message):
    assert one_line(message).split() == [printable(word) for word in message.split()]
    assert len(one_line(message).splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\ud800", r"\ud800"),
        ("Чайник, théière\u00a0rouge 👩\u200d🍳 茶", "Чайник, théière\u00a0rouge 👩\u200d🍳 茶"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert printable(text) == shown
    assert aligned([["title"], [text]]).splitlines()[1] == shown
    assert f"| {shown} |" in table([["title"], [text]])
