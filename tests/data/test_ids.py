"""`IdMap`: external ids in, row numbers out, and back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.ids import IdMap
from twotower.errors import BadInput, UnknownId
from twotower.types import NO_ITEM

ints = st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1, max_size=20)
plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5).map(str.strip).filter(bool)
texts = st.lists(plain, unique=True, min_size=1)


@given(st.one_of(ints, texts))
def test_every_id_comes_back_from_its_row_number(ids):
    id_map = IdMap.of(ids, "user")
    assert id_map.to_internal(ids).tolist() == list(range(len(ids)))
    assert id_map.to_external(np.arange(len(ids))).tolist() == ids
    assert all(i in id_map for i in ids)


@given(st.one_of(ints, texts))
def test_saved_ids_come_back_equal_and_of_the_same_type(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("ids") / "ids.parquet"
    id_map = IdMap.of(ids, "item")
    id_map.save(path)
    loaded = IdMap.load(path, "item")
    assert loaded.external.tolist() == ids
    assert loaded.external.dtype == id_map.external.dtype
    assert loaded.to_internal(ids).tolist() == list(range(len(ids)))


@pytest.mark.parametrize("asked", [["42"], [42], [42.0], np.array(["42"]), np.array([42], np.int32)])
def test_text_and_number_find_the_same_whole_number_id(asked):
    assert IdMap.of([7, 42], "user").to_internal(asked).tolist() == [1]


@pytest.mark.parametrize("asked", [["42"], [42], np.array([42]), np.array(["42"], object)])
def test_a_number_finds_the_text_id_that_spells_it(asked):
    assert IdMap.of(["a", "42"], "user").to_internal(asked).tolist() == [1]


@pytest.mark.parametrize(
    "raw",
    [[1.0, 3.0], np.array([1.0, 3.0]), pd.Series([1, 3]).to_numpy(), [np.int32(1), 3], np.array([1, 3], np.uint8)],
)
def test_whole_numbers_of_any_type_become_ints(raw):
    assert IdMap.of(raw, "item").external.tolist() == [1, 3]


def test_mixed_ids_become_text():
    assert IdMap.of([1, "b"], "item").external.tolist() == ["1", "b"]


@pytest.mark.parametrize("raw", [[1, None], ["a", None], ["a", float("nan")], np.array([0.5, np.nan])])
def test_a_missing_id_is_refused_with_its_position(raw):
    with pytest.raises(BadInput, match="user id at position 1 is missing"):
        IdMap.of(raw, "user")


@pytest.mark.parametrize("raw", [[5, 6, 5], ["5", "6", "5"], [5, "6", "5"]])
def test_an_id_that_stands_twice_is_refused_by_name(raw):
    with pytest.raises(BadInput, match=r"item id '?5'? stands twice"):
        IdMap.of(raw, "item")


def test_a_fraction_is_no_id():
    with pytest.raises(BadInput, match=r"2\.5 has a fraction"):
        IdMap.of([1.0, 2.5], "item")


@pytest.mark.parametrize("asked", [[3, 99], ["3", "nobody"], [3, 10**30], np.array(["3", "x"])])
def test_an_unknown_id_is_named_or_replaced(asked):
    id_map = IdMap.of([3, 4], "user")
    with pytest.raises(UnknownId, match=rf"user .*{asked[1]}.* is not in the data set \(2 users, e\.g\. 3, 4\)"):
        id_map.to_internal(asked)
    assert id_map.to_internal(asked, unknown=-1).tolist() == [0, -1]
    assert asked[1] not in id_map


@pytest.mark.parametrize("internal", [NO_ITEM, 2])
def test_padding_and_foreign_numbers_have_no_external_id(internal):
    with pytest.raises(UnknownId, match=f"internal id {internal} "):
        IdMap.of([3, 4], "item").to_external(np.array([0, internal]))


def test_an_empty_map_knows_nobody():
    empty = IdMap.of([], "user")
    assert len(empty) == 0
    assert 1 not in empty
    assert empty.to_internal([1, "a"], unknown=-1).tolist() == [-1, -1]
