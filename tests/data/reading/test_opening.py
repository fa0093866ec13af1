"""Files as people have them: packed, zipped, in folders, with any delimiter, encoding and comma; said, not guessed."""

import bz2
import gzip
import io
import json
import logging
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower.data.reading.bad_rows import BadRows
from twotower.data.reading.files import read_rows
from twotower.data.reading.opening import Delimited
from twotower.data.reading.raw_table import RawTable
from twotower.errors import BadInput, MissingData

FOUND = Delimited(delimiter=None, encoding=None)
ROWS = pd.DataFrame(
    {"user": ["007", "7", "8"], "price": [1.5, 2.0, 3.25], "title": ["Größe", "Café", "plain words here"]}
)
CSV = ROWS.to_csv(index=False)


def read(path, **form):
    table = read_rows(
        path, BadRows(), texts=("user", "title"), others=("price",), form=Delimited(**form) if form else FOUND
    )
    table.check_ids("user")
    table.check_numbers("price")
    return table


def check(table, titles=True):
    indices, names = table.ids("user")
    assert names[indices].tolist() == ["007", "7", "8"]
    assert table.numbers("price").tolist() == [1.5, 2.0, 3.25]
    if titles:
        assert table.text("title").tolist() == ["Größe", "Café", "plain words here"]


def zipped(files: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.bz2", bz2.compress(CSV.encode())),
        ("a.csv.zst", pa.compress(CSV.encode(), "zstd", asbytes=True)),
        ("a.csv.zip", zipped({"a.csv": CSV})),
        ("events.zip", zipped({"folder/a.csv": CSV, "__MACOSX/folder/._a.csv": "x"})),
        ("b.zip", zipped({"b.jsonl": ROWS.to_json(orient="records", lines=True)})),
        ("a.inter", CSV.replace(",", "\t").encode()),
        ("a", CSV.encode()),
        ("a.json", ROWS.to_json(orient="records").encode()),
        ("a.json.gz", gzip.compress(ROWS.to_json(orient="records", indent=1).encode(), mtime=0)),
        ("a.json", ROWS.to_json(orient="records", lines=True).encode()),
        ("bom.json", b"\xef\xbb\xbf" + ROWS.to_json(orient="records").encode()),
    ],
)
def test_packed_zipped_and_array_files_hold_the_same_rows(tmp_path, name, content):
    path = tmp_path / name
    if name.endswith(".zst"):
        with pa.output_stream(path, compression="zstd") as out:
            out.write(CSV.encode())
    else:
        path.write_bytes(content)
    check(read(path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", zipped({"a.csv": CSV}), "zip archive"),
        ("a.csv", gzip.compress(CSV.encode(), mtime=0), "packed by gzip"),
        ("a.xlsx", zipped({"xl/workbook.xml": "<x/>"}), "spreadsheet"),
        ("a.feather", b"ARROW1\0\0" + b"\0" * 50, "Arrow IPC"),
        ("a.sqlite", b"SQLite format 3\0" + b"\1" * 50, "SQLite"),
        ("a.bin", b"\x01\x02\x00\x04" * 3 + b"abcdefgh" * 9, "files of kind .bin are not read"),
        ("a.csv.gz", b"\x1f\x8b broken", "cannot be unpacked"),
        ("a.csv.zip", b"PK\x03\x04 broken", "not a sound zip archive"),
        ("two.zip", zipped({"a.csv": CSV, "b.csv": CSV}), "the archive holds a.csv, b.csv; unpack it"),
        ("none.zip", zipped({}), "the archive holds nothing"),
    ],
)
def test_what_is_not_read_is_named_without_its_bytes(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says) as error:
        read(tmp_path / name)
    assert "PK" not in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found_by_the_header_and_said(tmp_path, caplog, delimiter):
    (tmp_path / "a.csv").write_text(ROWS.to_csv(index=False, sep=delimiter))
    with caplog.at_level(logging.WARNING):
        check(read(tmp_path / "a.csv"))
    assert f"values are parted by {delimiter!r}" in caplog.text


@pytest.mark.parametrize(("encoding", "says"), [("utf-16", "UTF-16"), ("cp1252", "Windows-1252"), ("utf-8-sig", "")])
def test_the_encoding_is_found_and_said(tmp_path, caplog, encoding, says):
    (tmp_path / "a.csv").write_bytes(CSV.encode(encoding))
    with caplog.at_level(logging.WARNING):
        check(read(tmp_path / "a.csv"))
    assert says in caplog.text


def test_an_encoding_that_the_bytes_do_not_tell_is_asked_for(tmp_path):
    (tmp_path / "a.csv").write_bytes("user,price,title\n7,1,Привет мир и книги\n".encode("cp1251"))
    with pytest.raises(BadInput, match=r"line 2: byte .* is not utf-8; .*name its encoding"):
        read(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", delimiter=None, encoding="cp1251").text("title").tolist() == ["Привет мир и книги"]


@pytest.mark.parametrize("written", ["{:.2f}", "{:.1f}"])
def test_a_decimal_comma_is_found_where_it_means_nothing_else_and_said(tmp_path, caplog, written):
    prices = [written.format(p).replace(".", ",") for p in (1250.5, 12, -3.5)]
    pd.DataFrame({"user": list("abc"), "price": prices, "title": "x"}).to_csv(tmp_path / "a.csv", sep=";", index=False)
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path / "a.csv").numbers("price").tolist() == [1250.5, 12.0, -3.5]
    assert "column price is read with a decimal comma" in caplog.text


def test_thousands_or_fractions_are_asked_for_and_the_option_decides(tmp_path):
    (tmp_path / "a.csv").write_text("user;price;title\na;1,250;x\nb;2,500;y\n")
    table = read_rows(tmp_path / "a.csv", BadRows(), texts=("user",), others=("price",), form=FOUND)
    with pytest.raises(BadInput, match=r"price '1,250' is not a finite number .*decimal: ','"):
        table.check_numbers("price")
    table.check_numbers("price", decimal=",")
    assert table.numbers("price").tolist() == [1.25, 2.5]
    (tmp_path / "b.csv").write_text("user;price;title\na;1.250,5;x\nb;12.50;y\n")
    table = read_rows(tmp_path / "b.csv", BadRows(), texts=("user",), others=("price",), form=FOUND)
    with pytest.raises(
        BadInput, match=r"row 2: price '12\.50' is not a finite number"
    ):  # neither thousands nor a comma
        table.check_numbers("price", decimal=",")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".csv.gz"])
def test_a_folder_of_parts_is_one_table_in_the_order_of_names(tmp_path, suffix):
    folder = tmp_path / "events"
    (folder / "day=2").mkdir(parents=True)
    for rows, name in ((ROWS[:2], f"part-0{suffix}"), (ROWS[2:], f"zz/part-1{suffix}")):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if suffix == ".parquet":
            rows.to_parquet(path)
        elif suffix == ".jsonl":
            rows.to_json(path, orient="records", lines=True)
        else:
            rows.to_csv(path, index=False)
    (folder / "_SUCCESS").write_text("")
    (folder / ".part-0.crc").write_text("crc")
    check(read(folder))


def test_a_bad_row_of_a_folder_is_told_by_its_own_file_and_number(tmp_path):
    for number, prices in enumerate((["1", "2"], ["3", "dear"])):
        frame = pd.DataFrame({"user": ["a", "b"], "price": prices, "title": "x"})
        frame.to_csv(tmp_path / f"{number}.csv", index=False)
    with pytest.raises(BadInput, match=r"1\.csv: row 2: price 'dear' is not a finite number"):
        read(tmp_path)
    bad = BadRows("drop", tmp_path / "aside")
    table = read_rows(tmp_path, bad, texts=("user",), others=("price",), form=FOUND)
    table.check_numbers("price")
    assert bad.counts == {tmp_path / "1.csv": 1}
    assert table.numbers("price").tolist() == [1.0, 2.0, 3.0]


def test_parts_whose_types_differ_are_one_text_column(tmp_path):
    pq.write_table(pa.table({"user": [1, 2], "price": [1.0, 2.0]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"user": ["x", "2"], "price": [3, 4]}), tmp_path / "1.parquet")
    table = read_rows(tmp_path, BadRows(), texts=("user",), others=("price",), form=FOUND)
    table.check_ids("user")
    table.check_numbers("price")
    indices, names = table.ids("user")
    assert names[indices].tolist() == ["1", "2", "x", "2"]
    assert table.numbers("price").tolist() == [1.0, 2.0, 3.0, 4.0]


def test_folders_without_parts_or_with_several_formats_are_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingData, match="the folder holds no files to read"):
        read(tmp_path / "none")
    (tmp_path / "a.csv").write_text(CSV)
    ROWS.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="parts of parquet and text"):
        read(tmp_path)


def test_two_columns_of_one_name_are_refused_in_every_format(tmp_path):
    twice = pd.concat([ROWS, ROWS[["price"]]], axis=1)
    twice.to_csv(tmp_path / "a.csv", index=False)
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array([1.0]), pa.array(["x"]), pa.array([2.0])],
                                        names=["user", "price", "title", "price"]), tmp_path / "b.parquet")  # fmt: skip
    for name in ("a.csv", "b.parquet"):
        with pytest.raises(BadInput, match="2 columns are named 'price'"):
            read(tmp_path / name)


@pytest.mark.parametrize("lines", [True, False])
def test_json_ids_above_the_range_of_signed_numbers_stay_apart(tmp_path, lines):
    ids = [2**63 + step for step in range(3)]
    records = [{"user": u, "price": 1, "title": "x"} for u in ids]
    text = "\n".join(map(json.dumps, records)) if lines else json.dumps(records)
    (tmp_path / "a.json").write_text(text)
    indices, names = read(tmp_path / "a.json").ids("user")
    assert names[indices].tolist() == [str(u) for u in ids]


def test_nested_values_are_refused_by_column_and_kind(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"user": "a", "price": [1, 2], "title": "x"}\n')
    with pytest.raises(BadInput, match="column 'price' holds lists"):
        read(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"user": {"id": 1}, "price": 1, "title": "x"}\n')
    with pytest.raises(BadInput, match="column 'user' holds records"):
        read(tmp_path / "b.jsonl")


def test_parts_without_rows_are_passed_over_and_columns_may_stand_in_names_of_folders(tmp_path):
    for day, rows in (("2024-01-01", ROWS[:2]), ("2024-01-02", ROWS[2:]), ("x%2Fy", ROWS[:0])):
        (tmp_path / f"day={day}").mkdir(parents=True)
        rows.to_parquet(tmp_path / f"day={day}" / "part-0.parquet")
    table = read_rows(tmp_path, BadRows(), texts=("user", "day"), others=("price",), form=FOUND)
    table.check_ids("day")
    indices, names = table.ids("day")
    assert names[indices].tolist() == ["2024-01-01", "2024-01-01", "2024-01-02"]
    for part in tmp_path.glob("*/*.parquet"):
        ROWS[:0].to_parquet(part)
    with pytest.raises(BadInput, match="no rows; give a folder with at least one part that has some"):
        read(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_found_with_or_without_their_mark(tmp_path, encoding):
    plain = ROWS.assign(title=["a", "b", "c"]).to_csv(index=False)
    (tmp_path / "a.csv").write_bytes(plain.encode(encoding))
    check(read(tmp_path / "a.csv"), titles=False)


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n\n", ",\n"])
def test_lines_may_end_in_every_way(tmp_path, ends):
    (tmp_path / "a.csv").write_bytes(CSV.replace("\n", ends).encode())
    check(read(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.float16(), [1.5, 2.0]),
        (pa.string_view(), ["1.5", "2.0"]),
        (pa.large_string(), ["1.5", "2.0"]),
        (pa.binary(), [b"1.5", b"2.0"]),
        (pa.decimal128(4, 2), ["1.50", "2.00"]),
        (pa.float32(), [1.5, 2.0]),
    ],
)
def test_numbers_of_every_type_of_arrow_are_numbers(tmp_path, kind, values):
    prices = pa.array(values).cast(kind) if isinstance(values[0], str) else pa.array(values, kind)
    pq.write_table(pa.table({"user": ["a", "b"], "price": prices}), tmp_path / "a.parquet")
    table = read_rows(tmp_path / "a.parquet", BadRows(), texts=(), others=("user", "price"), form=FOUND)
    table.check_numbers("price")
    assert table.numbers("price").tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (pa.array([b"\xff", b"a"]), "holds bytes"),
        (pa.array([1, 2], pa.duration("s")), "holds durations"),
        (pa.array([{"a": 1}, None]), "holds records"),
        (pa.array([[1], [2]], pa.list_(pa.int64(), 1)), "holds lists"),
        (pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())), "holds records"),
    ],
)
def test_values_that_are_no_numbers_are_refused_by_column(tmp_path, values, says):
    pq.write_table(pa.table({"price": values}), tmp_path / "a.parquet")
    for check_column in (RawTable.check_numbers, RawTable.check_times):
        table = read_rows(tmp_path / "a.parquet", BadRows(), texts=(), others=("price",), form=FOUND)
        with pytest.raises(BadInput, match=f"column 'price' {says}"):
            check_column(table, "price")
