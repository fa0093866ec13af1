"""Search spaces: what a list and a range may give, and where their borders are."""

import pytest

from twotower.tuning.search_space import at_border, grid_size, parse


@pytest.mark.parametrize(
    ("tried", "value", "border"),
    [
        ([1, 2, 3], 1, True),
        ([1, 2, 3], 2, False),
        ([3, 1, 2], 3, True),
        ([None, 7, 14, 30], None, False),  # no number, so no end
        ([None, 7, 14, 30], 30, True),
        (["bpr", "warp"], "warp", False),
        ([0.0, 0.1, 0.2], 0.0, False),  # nothing lies beyond 0
        ({"low": 0.0, "high": 1.0}, 0.001, False),
        ({"low": 0.0, "high": 1.0}, 0.99, True),
        ({"low": 1.0, "high": 100.0, "log": True}, 1.05, True),  # log10: .021 of 2
        ({"low": 1.0, "high": 100.0, "log": True}, 1.2, False),  # .079 of 2
        ({"low": 1.0, "high": 100.0, "log": True}, 95.0, True),
        ({"low": 1.0, "high": 100.0, "log": True}, 3.0, False),
    ],
)
def test_a_border_is_an_end_beyond_which_something_lies(tried, value, border):
    assert at_border({"o": tried}, {"o": value}) == (("o",) if border else ())


def test_a_drawn_value_can_be_typed_again():
    lr = parse({"lr": {"low": 0.001, "high": 0.1, "log": True}})["lr"]
    assert lr.decode(0.012345678) == 0.01235
    assert lr.decode(0.1) == 0.1
    assert float(str(lr.decode(0.0333333))) == lr.decode(0.0333333)


def test_whole_ends_give_whole_numbers_that_can_be_counted():
    depth = parse({"depth": {"low": 2, "high": 5}})["depth"]
    assert [depth.decode(depth.encode(value)) for value in (2, 5)] == [2, 5]
    assert depth.encode(6) is None
    assert grid_size({"depth": {"low": 2, "high": 5}, "dim": [8, 16]}) == 4 * 2
    assert grid_size({"lr": {"low": 0.1, "high": 0.5}, "dim": [8, 16]}) == 0
    assert grid_size({}) == 1
