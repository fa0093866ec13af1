"""Damaged files are refused with file, row, value and remedy, or their rows are dropped, counted and written aside."""

import csv
import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.files import Delimited, read_delimited, read_json_lines, read_rows, read_separated
from twotower.data.reading.raw_table import RawTable
from twotower.errors import BadConfig, BadInput, MissingData

HEADER = "user,item,rating,time"
GOOD = ["7,1,4.5,978300760", "7,2,3,978300761", "8,1,5,978300762", "9,1,2,978300763", "9,2,2,978300764"]


@pytest.fixture
def write(tmp_path):
    """Writes lines as a file and gives its path."""

    def write_lines(lines, name="ratings.csv", encoding="utf-8", newline="\n"):
        path = tmp_path / name
        path.write_bytes((newline.join(lines) + newline).encode(encoding))
        return path

    return write_lines


def checked(path: Path, bad: BadRows, **form) -> RawTable:
    """Ratings with all checks."""
    table = read_rows(path, bad, texts=("user", "item"), others=("rating", "time"), form=Delimited(**form))
    table.check_ids("user")
    table.check_ids("item")
    table.check_numbers("rating", 0.5, 5)
    table.check_times("time")
    return table


def test_a_sound_file_is_read_in_file_order(write):
    table = checked(write([HEADER, *GOOD]), BadRows())
    indices, names = table.ids("user")
    assert names[indices].tolist() == ["7", "7", "8", "9", "9"]
    assert table.numbers("rating").tolist() == [4.5, 3, 5, 2, 2]
    assert table.times("time").tolist() == [978300760 + i for i in range(5)]
    assert table.rows.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "row, says",
    [
        ("8,3,bad,978300762", "rating 'bad' is not a finite number"),
        ("8,3,nan,978300762", "rating is missing"),
        ("8,3,,978300762", "rating is missing"),
        ("8,3,inf,978300762", "rating 'inf' is not a finite number"),
        ("8,3,99,978300762", "rating '99' is outside 0.5..5"),
        (",3,4,978300762", "user is missing"),
        ("8,null,4,978300762", "item 'null' is a missing id"),
        ("8,3,4,yesterday", "time 'yesterday' is not a time in 1970..2100"),
        ("8,3,4,", "time is missing"),
        ("8,3,4,-5", "time '-5' is not a time in 1970..2100"),
        ("8,3,4", "3 values where 4 columns are expected"),
        ("8,3,4,978300762,x", "5 values where 4 columns are expected"),
    ],
)
def test_one_damaged_row_is_refused_by_file_row_and_value_or_dropped(write, tmp_path, row, says):
    path = write([HEADER, *GOOD[:2], row, *GOOD[2:]])
    with pytest.raises(BadInput) as error:
        checked(path, BadRows("raise"))
    assert f"{path}: row 3: {says}" in str(error.value)
    assert "on_bad_rows=drop" in str(error.value)

    with BadRows("drop", tmp_path / "aside") as bad:
        table = checked(path, bad)
    assert table.times("time").tolist() == [978300760 + i for i in range(5)]  # the five good rows are left
    assert table.rows.tolist() == [1, 2, 4, 5, 6]
    assert bad.counts == {path: 1}
    with (tmp_path / "aside" / "ratings.csv.dropped.csv").open(newline="") as side:
        (record,) = csv.DictReader(side)
    assert record["row"] == "3"
    assert says in record["reason"]
    assert json.loads(record["content"])


def test_the_count_of_dropped_rows_is_logged_with_the_side_file(write, tmp_path, caplog):
    path = write([HEADER, *GOOD, "8,3,bad,978300762", "8,,3,978300762"])
    with caplog.at_level(logging.WARNING), BadRows("drop", tmp_path / "aside") as bad:
        checked(path, bad)
    assert "bad rows dropped: 2" in caplog.text
    assert "ratings.csv.dropped.csv" in caplog.text
    side = pd.read_csv(tmp_path / "aside" / "ratings.csv.dropped.csv")
    assert side["row"].tolist() == [6, 7]


def test_all_bad_rows_are_counted_in_the_refusal(write):
    path = write([HEADER, *GOOD, "8,3,x,978300762", "8,4,y,978300762"])
    with pytest.raises(BadInput, match=r"row 6: rating 'x'.*\(and 1 more such rows\)"):
        checked(path, BadRows())


def test_dropping_more_than_half_of_a_file_is_refused(write, tmp_path):
    path = write([HEADER, GOOD[0], "8,3,x,978300762", "8,4,y,978300762"])
    with pytest.raises(BadInput, match="does not drop 2 of 3 rows"):
        checked(path, BadRows("drop", tmp_path))


def test_a_missing_column_is_named_with_those_there_are(write):
    path = write(["user,item,stars,time", *GOOD])
    with pytest.raises(BadInput, match=r"ratings\.csv: no column 'rating'; it has item, stars, time, user"):
        checked(path, BadRows())


def test_empty_files_are_refused(write, tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(BadInput, match="the file is empty"):
        checked(tmp_path / "empty.csv", BadRows())
    with pytest.raises(BadInput, match="no rows"):
        checked(write([HEADER]), BadRows())
    with pytest.raises(MissingData, match="no such file"):
        checked(tmp_path / "absent.csv", BadRows())


@pytest.mark.parametrize("scale, unit", [(10**3, "ms"), (10**6, "us"), (10**9, "ns")])
@pytest.mark.parametrize("policy", ["raise", "drop"])
def test_times_in_another_unit_are_noticed_whatever_the_policy(write, tmp_path, scale, unit, policy):
    lines = [f"7,{i},4,{978300760 * scale + i}" for i in range(3)]
    path = write([HEADER, *lines])
    with pytest.raises(BadInput, match=f"row 1: time = {978300760 * scale}: .*set time_unit: {unit}"):
        checked(path, BadRows(policy, tmp_path))
    table = read_rows(path, BadRows(), texts=("user",), others=("time",))
    table.check_times("time", unit)
    assert table.times("time").tolist() == [978300760] * 3  # the steps below a second are cut off


def test_seconds_read_as_milliseconds_are_noticed(write):
    table = read_rows(write([HEADER, *GOOD]), BadRows(), texts=("user",), others=("time",))
    with pytest.raises(BadInput, match="lies in 1970, so it looks like s"):
        table.check_times("time", "ms")


def test_dates_written_as_numbers_are_noticed(write):
    path = write([HEADER, "7,1,4,20240131", "7,2,4,20240201"])
    with pytest.raises(BadInput, match="write them as 2024-01-31"):
        checked(path, BadRows())


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("2001-01-01", 978307200),
        ("2001-01-01T00:00:05", 978307205),
        ("2001-01-01T00:00:05Z", 978307205),
        ("2001-01-01 00:00:05.900", 978307205),
        ("2001-01-01T02:00:05+02:00", 978307205),
    ],
)
def test_iso_times_are_utc_unless_they_say_otherwise(write, text, seconds):
    path = write([HEADER, f"7,1,4,{text}", f"7,2,4,{text}"])
    assert checked(path, BadRows()).times("time").tolist() == [seconds, seconds]


def test_one_odd_iso_time_among_many_is_refused_by_row(write):
    path = write([HEADER, "7,1,4,2001-01-01", "7,2,4,2001-13-45", "7,3,4,2001-01-02"])
    with pytest.raises(BadInput, match="row 2: time '2001-13-45' is not a time"):
        checked(path, BadRows())


def test_latin_1_read_as_utf_8_names_line_and_remedy(write):
    lines = ["user,item,rating,time", "é,1,4,978300760", *GOOD]
    with pytest.raises(BadInput, match=r"line 2: byte b'\\xe9' is not utf-8; .*encoding: latin-1"):
        checked(write(lines, encoding="latin-1"), BadRows())
    indices, names = checked(write(lines, encoding="latin-1"), BadRows(), encoding="latin-1").ids("user")
    assert names[indices[0]] == "é"


def test_utf_16_is_recognised_and_read_when_named(write):
    with pytest.raises(BadInput, match="UTF-16"):
        checked(write([HEADER, *GOOD], encoding="utf-16"), BadRows())
    table = checked(write([HEADER, *GOOD], encoding="utf-16"), BadRows(), encoding="utf-16")
    assert table.times("time").tolist() == [978300760 + i for i in range(5)]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    table = checked(write(["\ufeff" + HEADER, *GOOD], newline="\r\n"), BadRows())
    assert table.times("time").tolist() == [978300760 + i for i in range(5)]


def test_ids_keep_leading_zeros_and_words_that_look_like_numbers(write):
    path = write([HEADER, "007,1e3,4,978300760", "7,1000,4,978300761"])
    table = checked(path, BadRows())
    assert sorted(table.ids("user")[1]) == ["007", "7"]
    assert sorted(table.ids("item")[1]) == ["1000", "1e3"]


def test_repeated_ids_are_refused_or_the_first_is_kept(write, tmp_path):
    path = write(["id,price", "1,10", "2,20", "1,30", "3,5"], "items.csv")
    for policy in ("raise", "drop"):
        with BadRows(policy, tmp_path) as bad:
            table = read_rows(path, bad, texts=("id",), others=("price",))
            table.check_ids("id")
            table.check_numbers("price")
            if policy == "raise":
                with pytest.raises(BadInput, match="row 3: id '1' stands twice; keep one row per id"):
                    table.check_unique("id")
    table.check_unique("id")
    assert table.numbers("price").tolist() == [10, 20, 5]


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet", "t.tsv"])
def test_all_formats_give_the_same_rows(tmp_path, name):
    frame = pd.DataFrame({"user": [7, 8], "item": ["a", "b"], "rating": [4.5, 3.0], "time": [978300760, 978300761]})
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif "json" in name:
        text = frame.to_json(orient="records", lines=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    else:
        frame.to_csv(path, index=False, sep="\t" if name.endswith("tsv") else ",")
    table = checked(path, BadRows(), delimiter="\t" if name.endswith("tsv") else ",")
    assert [table.ids(c)[1][table.ids(c)[0]].tolist() for c in ("user", "item")] == [["7", "8"], ["a", "b"]]
    assert (table.numbers("rating").tolist(), table.times("time").tolist()) == ([4.5, 3], [978300760, 978300761])


def test_parquet_timestamps_and_dates_become_seconds(tmp_path):
    moments = pd.to_datetime(["2001-01-01T00:00:05Z", "2001-01-02T00:00:00Z"])
    frame = pd.DataFrame({"id": ["a", "b"], "at": moments, "day": moments.date, "naive": moments.tz_localize(None)})
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_rows(tmp_path / "t.parquet", BadRows(), texts=("id",), others=("at", "day", "naive"))
    for column in ("at", "day", "naive"):
        table.check_times(column)
    assert table.times("at").tolist() == table.times("naive").tolist() == [978307205, 978393600]
    assert table.times("day").tolist() == [978307200, 978393600]


def test_ids_that_pandas_made_floats_beside_missing_ones_are_whole_numbers_again(tmp_path):
    pd.DataFrame({"id": [7.0, np.nan, 8.0]}).to_parquet(tmp_path / "t.parquet")
    with BadRows("drop", tmp_path) as bad:
        table = read_rows(tmp_path / "t.parquet", bad, texts=("id",))
        table.check_ids("id")
    assert table.ids("id")[1][table.ids("id")[0]].tolist() == ["7", "8"]


def test_parquet_categories_flags_and_long_numbers_are_read_as_what_they_hold(tmp_path):
    frame = pd.DataFrame({"id": [7, 8, 7], "word": ["a", None, "b"], "flag": [True, False, True], "n": [2**60, 1, 2]})
    frame.astype({"id": "category", "word": "category"}).to_parquet(tmp_path / "t.parquet")
    table = read_rows(tmp_path / "t.parquet", BadRows(), texts=("id", "word"), others=("flag", "n"))
    table.check_ids("id")
    table.check_numbers("flag")
    table.check_numbers("n")
    assert table.ids("id")[1][table.ids("id")[0]].tolist() == ["7", "8", "7"]
    assert table.text("word").tolist() == ["a", "", "b"]
    assert table.numbers("flag").tolist() == [1, 0, 1]
    assert table.numbers("n").tolist() == [2.0**60, 1, 2]


def test_a_date_that_stands_for_never_is_refused_as_it_is_written(write):
    path = write([HEADER, "7,1,4,2001-01-01", "7,2,4,9999-12-31", "7,3,4,2001-01-02"])
    with pytest.raises(BadInput, match=r"row 2: time '9999-12-31.*' is not a time in 1970\.\.2100"):
        checked(path, BadRows())


def test_a_damaged_json_line_is_refused_by_row_or_dropped(write, tmp_path):
    lines = ['{"id": "a", "price": 1}', '{"id": "b", "pri', '{"id": "c", "price": 3}', "[1]", '{"id": "d", "price": 4}']
    path = write(lines, "t.jsonl")
    with pytest.raises(BadInput, match=r"row 2: .*is not a JSON object"):
        read_json_lines(path, BadRows(), ("id", "price"))
    with BadRows("drop", tmp_path) as bad:
        table = read_json_lines(path, bad, ("id", "price"))
    assert table.rows.tolist() == [1, 3, 5]
    assert bad.counts == {path: 2}


def test_json_fields_of_mixed_types_are_read_as_text(write):
    path = write(['{"id": 7, "price": 1}', '{"id": "b", "price": "x"}'], "t.jsonl")
    table = read_json_lines(path, BadRows(), ("id", "price"))
    table.check_ids("id")
    assert table.ids("id")[1].tolist() == ["7", "b"]
    with pytest.raises(BadInput, match="row 2: price 'x' is not a finite number"):
        table.check_numbers("price")


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text("user,item\n1,2\n")
    with pytest.raises(BadInput, match="not a Parquet file"):
        read_rows(tmp_path / "t.parquet", BadRows(), texts=("user",))


def test_lines_with_double_colons_keep_single_colons_and_refuse_odd_lines(write, tmp_path):
    path = write(["1::Star Wars: Episode IV (1977)::Action", "2::Broken", "3::Heat (1995)::Crime"], "movies.dat")
    with pytest.raises(BadInput, match="row 2: 2 values where 3 columns are expected"):
        read_separated(path, BadRows(), ("item", "title", "genres"), "::", "latin-1")
    with BadRows("drop", tmp_path) as bad:
        table = read_separated(path, bad, ("item", "title", "genres"), "::", "latin-1")
    assert table.text("title").tolist() == ["Star Wars: Episode IV (1977)", "Heat (1995)"]
    assert table.rows.tolist() == [1, 3]


def test_quoted_values_may_hold_delimiters_and_line_ends(write):
    path = write(["id,note", '1,"a, b"', '2,"two\nlines"', "3,plain"], "t.csv")
    table = read_delimited(path, BadRows(), texts=("id", "note"))
    assert table.text("note").tolist() == ["a, b", "two\nlines", "plain"]


def test_an_unknown_policy_is_refused():
    with pytest.raises(BadConfig, match="choose raise or drop"):
        BadRows("ignore")
