"""Times of any form become seconds; dates may lie anywhere, and numbers in another unit are noticed, not read."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from twotower.data.reading.raw_times import MISSING_WORDS, parse_times, wrong_unit
from twotower.data.tables import MISSING_TIME, moment_text

DAY = 86_400


def seconds(values, unit="s", kind=None):
    return parse_times(pa.chunked_array([pa.array(values, kind)]), unit)[0].tolist()


def remedy(values, unit="s", kind=None) -> str:
    column = pa.chunked_array([pa.array(values, kind)])
    return wrong_unit(parse_times(column, unit)[0], unit, column)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1939-12-15", -948_240_000),
        ("1969-12-31T23:59:59Z", -1),
        ("9999-12-31", 253_402_214_400),
        ("0001-01-01", -62_135_596_800),
        ("2024-01-01 00:51:57 UTC", 1_704_070_317),
        ("2024-01-01 00:51:57.25 UTC", 1_704_070_317),
        ("2024-01-01T01:51:57+01:00", 1_704_070_317),
        (" 2024-01-01 ", 1_704_067_200),
    ],
)
def test_dates_of_any_century_and_of_bigquery_are_read(text, moment):
    assert seconds([text, "2024-01-01"]) == [moment, 1_704_067_200]


@pytest.mark.parametrize("word", MISSING_WORDS)
def test_words_for_nothing_are_missing_times(word):
    column = pa.chunked_array([pa.array([word, "1999-03-31"])])
    times, empty = parse_times(column, "s")
    assert times.tolist() == [MISSING_TIME, 922_838_400]
    assert empty.tolist() == [True, False]


def test_dates_of_the_file_format_may_lie_before_1970():
    assert seconds([dt.date(1939, 12, 15), None]) == [-948_240_000, MISSING_TIME]
    assert seconds([dt.datetime(1969, 12, 31, 23, 59, 59, 500_000)]) == [-1]  # floor, not towards zero


def test_every_unit_says_the_same_moment():
    asked = {"d": 19_723, "s": 19_723 * DAY, "ms": 19_723 * DAY * 10**3, "us": 19_723 * DAY * 10**6}
    for unit, number in asked.items():
        assert (
            seconds([number], unit) == seconds([str(number)], unit) == seconds([float(number)], unit) == [1_704_067_200]
        )


@pytest.mark.parametrize(
    ("numbers", "unit", "says"),
    [
        ([19_723, 19_800], "s", "set time_unit: d"),
        (["19723", "", "19800"], "s", "set time_unit: d"),
        ([1_704_067_200_000], "s", "set time_unit: ms"),
        ([1_704_067_200], "d", "set time_unit: s"),
        ([1_704_067_200], "ms", "set time_unit: s"),
        ([45_292, 45_300], "s", "spreadsheet"),
        ([1994, 2001], "s", "years"),
        ([20240131, 20240201], "s", "calendar dates"),
    ],
)
def test_numbers_in_another_unit_are_noticed(numbers, unit, says):
    assert says in remedy(numbers, unit)


@pytest.mark.parametrize(
    "values",
    [[1, 2, 40_000], [0, 5], [1_704_067_200], ["9999-12-31"], ["1939-12-15"], [dt.date(9999, 12, 31)], [None, ""]],
)
def test_sound_times_and_plain_order_numbers_are_let_through(values):
    assert remedy(values) == ""


def test_moments_are_shown_as_people_write_them():
    shown = [moment_text(s) for s in (0, -948_240_000, 253_402_214_400, 1_704_070_317)]
    assert shown == ["1970-01-01", "1939-12-15", "9999-12-31", "2024-01-01T00:51:57Z"]
    assert np.datetime64("2024-01-01T00:51:57", "s").astype(int) == 1_704_070_317
