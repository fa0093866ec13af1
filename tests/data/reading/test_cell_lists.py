"""Lists in cells are read as whoever wrote them meant them, or the cell is refused; never one value with brackets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.reading.cell_lists import split_cells

plain = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|[](){}"), min_size=1, max_size=5)
plain = plain.map(str.strip).filter(bool)


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("a|b", ["a", "b"]),
        (" a || b ", ["a", "b"]),
        ("", []),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("('a', 'b')", ["a", "b"]),
        ("('a')", ["a"]),
        ("{'b', 'a'}", ["a", "b"]),
        ("{a,b}", ["a", "b"]),
        ('{"a, x",b}', ["a, x", "b"]),
        ("{}", []),
        ("[]", []),
        ("[1, 2.5, null]", ["1", "2.5"]),
        ('["Größe", "a|b"]', ["Größe", "a|b"]),
    ],
)
def test_a_cell_is_the_list_that_was_written(cell, values):
    lists, odd = split_cells([cell], "|")
    assert lists == [values]
    assert not odd.any()


@given(st.lists(st.lists(plain, max_size=4), min_size=1, max_size=5))
def test_json_and_python_lists_come_back(rows):
    import json

    for written in ([json.dumps(row) for row in rows], [repr(row) for row in rows]):
        assert split_cells(written, "|")[0] == rows


@pytest.mark.parametrize("cell", ['{"a": 1}', '[["a"], ["b"]]', '[{"name": "a"}]', "['a' 'b', c]", "[a, b]", "['a'"])
def test_a_bracketed_cell_that_is_no_flat_list_is_marked_and_not_one_value(cell):
    lists, odd = split_cells([cell, '["x"]'] if cell.endswith(("]", "}")) else ["[broken]", cell + "]"], "|")
    assert odd[0]
    assert lists[0] == []


def test_brackets_in_some_cells_only_are_part_of_the_values():
    lists, odd = split_cells(["[new]|b", "c"], "|")
    assert lists == [["[new]", "b"], ["c"]]
    assert not odd.any()
