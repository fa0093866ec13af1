"""The plain form of an id is one, whether a file, a caller or a batch job writes it; what merges ids is refused."""

import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.ids import IdMap
from twotower.data.plain_ids import plain_codes, plain_id, whole_number
from twotower.errors import BadInput

A_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


def column_ids(values, kind=None) -> list[str]:
    codes = plain_codes(pa.chunked_array([pa.array(values, kind)]), "column 'user'")
    return codes.cast(pa.string()).to_pylist()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("u1", "u1"), (" u1\u00a0", "u1"), ("042", "042"), ("4_2", "4_2"), (42, "42"), (42.0, "42"),
        (2**63, str(2**63)),
        (np.uint64(2**64 - 1), str(2**64 - 1)), (np.float32(7), "7"), (Decimal("7.00"), "7"), (7.5, "7.5"),
        (True, "true"), (A_UUID, str(A_UUID)), (A_UUID.bytes, str(A_UUID)), (b"u1", "u1"), (b"\xff\x00", "ff00"),
        (None, ""), (float("nan"), ""), ("  ", ""),
    ],
)  # fmt: skip
def test_every_way_to_write_an_id_has_one_plain_form(value, plain):
    assert plain_id(value) == plain


@given(st.lists(st.one_of(st.text(max_size=4), st.integers(-(2**63), 2**63 - 1).map(str)), min_size=1))
def test_a_column_and_a_single_id_have_the_same_plain_form(values):
    if not all(v.strip().endswith(".0") or not v.strip() for v in values):
        assert [name or "" for name in column_ids(values, pa.string())] == [plain_id(v) for v in values]


@pytest.mark.parametrize(
    ("values", "kind", "ids"),
    [
        ([2**63, 2**63 + 1], pa.uint64(), [str(2**63), str(2**63 + 1)]),
        ([7.0, None, 8.0], pa.float64(), ["7", None, "8"]),
        ([Decimal("7"), Decimal("8")], pa.decimal128(20, 0), ["7", "8"]),
        ([A_UUID.bytes], pa.binary(16), [str(A_UUID)]),
        ([b"u1", b"u2 "], pa.binary(), ["u1", "u2"]),
        ([b"\xff\xfe", b"\x00"], pa.binary(), ["fffe", "00"]),
        (["u1", "u1 ", "\tu1"], pa.large_string(), ["u1", "u1", "u1"]),
        (["7.0", "7", "", "8.0"], pa.string(), ["7", "7", "", "8"]),
        (["7.0", "7.1", "x"], pa.string(), ["7.0", "7.1", "x"]),  # versions, not numbers beside missing values
        (["007.0", "7.0"], pa.string(), ["007.0", "7.0"]),
    ],
)
def test_columns_of_every_type_become_plain_ids(values, kind, ids):
    assert column_ids(values, kind) == ids


def test_coded_columns_in_several_pieces_keep_one_code_an_id():
    pieces = [pa.array(["a", "b "]).dictionary_encode(), pa.array(["b", None]).dictionary_encode()]
    codes = plain_codes(pa.chunked_array(pieces), "x")
    assert codes.dictionary.to_pylist() == ["a", "b"]
    assert codes.indices.to_pylist() == [0, 1, 1, None]


@pytest.mark.parametrize("values", [[["a"]], [{"id": 1}], [float(2**53)]])
def test_columns_that_hold_no_ids_or_merge_them_are_refused_by_name(values):
    with pytest.raises(BadInput, match="column 'user' holds"):
        column_ids(values)


@pytest.mark.parametrize(
    "other", ["4_2", "042", "+42", "\u0664\u0662", "4\u00a02", "42.5", "0x2a", "4e1", float("nan"), None, ""]
)
def test_only_42_finds_the_number_42(other):
    users = IdMap.of([7, 42], "user")
    assert users.to_internal([other], unknown=-9).tolist() == [-9]
    assert users.to_internal(["42", 42, 42.0, " 42 ", "42.0", np.int8(42)]).tolist() == [1] * 6


def test_large_whole_numbers_are_told_apart_when_asked_for():
    ids = [str(2**63 + step) for step in range(3)]
    assert IdMap.of(ids, "user").to_internal([2**63 + 2, 2**63]).tolist() == [2, 0]
    assert IdMap.of([1, 2], "user").to_internal([2**63, 2**64], unknown=-1).tolist() == [-1, -1]


def test_whole_numbers_are_those_that_people_write():
    assert [whole_number(text) for text in ("0", "-7", "7.0", "07", "7.", "", "--7")] == [
        0,
        -7,
        7,
        None,
        None,
        None,
        None,
    ]
