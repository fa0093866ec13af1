"""`Dataset.from_frames`: tables of any library and files give the same data set; mistakes are said in a line."""

import datetime as dt
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from twotower import Dataset
from twotower.data.column_kinds import FEW
from twotower.errors import BadConfig, BadInput, MissingData, TwoTowerError

EVENTS = pd.DataFrame(
    {
        "customer": ["U1", "U1", "U2", "U3"],
        "article": ["A1", "A2", "A1", "A3"],
        "when": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04T12:00"], format="ISO8601"),
        "kind": ["view", "buy", "view", "view"],
    }
)
ITEMS = pd.DataFrame(
    {
        "article": ["A1", "A2", "A3", "A4"],
        "title": ["Alpha", "Beta", "Gamma", "Delta"],
        "price": [10.0, 20.0, None, 40.0],
        "brand": ["x", "y", "x", None],
        "tags": [["a", "b"], [], ["b"], None],
        "genres": ["Action|Drama", "Drama", "Action", "Action|War"],
        "listed": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2022-01-01"]),
        "vector": [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]],
        "new": [True, False, True, False],
        "empty": [None] * 4,
    }
)
USERS = pd.DataFrame({"customer": ["U1", "U2", "U3", "U4"], "age": [30, 40, 50, 60]})
NAMES = {"user": "customer", "item": "article", "time": "when", "kind": "kind"}


class Capsule:
    """Speaks the Arrow protocol and nothing else, as a table of any other library does."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._table = pa.Table.from_pandas(frame, preserve_index=False)

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def polars_frame(frame: pd.DataFrame):
    polars = pytest.importorskip("polars")
    return polars.from_arrow(pa.Table.from_pandas(frame, preserve_index=False))


def read(form, **options) -> Dataset:
    return Dataset.from_frames(form(EVENTS), items=form(ITEMS), users=form(USERS), **NAMES, **options)


def test_a_frame_becomes_ids_events_and_features_of_the_kinds_that_it_holds():
    data = read(lambda frame: frame)
    kinds = {column.name: column.kind.value for column in data.items.schema.columns}
    assert kinds == {
        "title": "text", "price": "continuous", "brand": "categorical", "tags": "multi_categorical",
        "genres": "multi_categorical", "listed": "timestamp", "vector": "vector", "new": "categorical",
    }  # fmt: skip
    assert data.title == "title"
    assert data.users.schema.names == ("age",)
    assert (data.n_users, data.n_items, len(data.interactions)) == (4, 4, 4)
    assert data.item_ids.external.tolist() == ["A1", "A2", "A3", "A4"]
    assert set(data.interactions.kinds) == {"view", "buy"}
    day = 86_400
    assert (data.interactions.time - data.interactions.time[0]).tolist() == [0, day, 2 * day, 3 * day + day // 2]
    assert data.items.describe(0)["genres"] == ["Action", "Drama"]


@pytest.mark.parametrize(
    "form",
    [lambda f: pa.Table.from_pandas(f), Capsule, polars_frame, lambda f: {name: f[name].tolist() for name in f}],
    ids=["arrow", "protocol", "polars", "mapping"],
)
def test_every_library_gives_the_same_data_set(form):
    assert read(form).fingerprint() == read(lambda frame: frame).fingerprint()


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_strings_are_paths_and_ids_of_files_stay_as_they_are(tmp_path, suffix):
    events = EVENTS.assign(article=["007", "2", "007", "3"])
    items = pd.DataFrame({"article": ["007", "2", "3"], "price": [1.5, 2.5, 3.5], "brand": ["x", "y", "x"]})
    for name, frame in (("events", events), ("items", items)):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "parquet":
            frame.to_parquet(path)
        elif suffix == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_json(path, orient="records", lines=True, date_format="iso")
    data = Dataset.from_frames(
        str(tmp_path / f"events.{suffix}"), items=tmp_path / f"items.{suffix}", **NAMES, name="shop"
    )
    assert data.item_ids.external.tolist() == ["007", "2", "3"]
    assert {c.name: c.kind.value for c in data.items.schema.columns} == {"price": "continuous", "brand": "categorical"}
    assert data.fingerprint() == Dataset.from_frames(events, items=items, **NAMES).fingerprint()


def test_a_column_of_many_texts_is_text_and_one_named_by_hand_is_what_the_hand_says():
    n = 2 * FEW + 2
    items = pd.DataFrame({"article": [f"A{i}" for i in range(n)], "note": [f"note {i}" for i in range(n)], "size": 3})
    events = EVENTS.assign(article=["A1", "A2", "A1", "A3"])
    kinds = Dataset.from_frames(events, items=items, **NAMES).items.schema
    assert (kinds["note"].kind.value, kinds["size"].kind.value) == ("text", "continuous")
    chosen = Dataset.from_frames(events, items=items, **NAMES, item_columns={"size": "categorical", "note": None})
    assert [(c.name, c.kind.value) for c in chosen.items.schema.columns] == [("size", "categorical")]


def test_ids_of_any_python_type_and_an_index_of_ids_are_read():
    one, two = uuid.uuid4(), uuid.uuid4()
    events = pd.DataFrame({"customer": [one, two, one], "article": [1, "A2", 3.0], "when": [1, 2, 3]})
    items = pd.DataFrame({"price": [1, 2, 3]}, index=pd.Index(["1", "A2", "3"], name="article"))
    data = Dataset.from_frames(events, items=items, user="customer", item="article", time="when")
    assert set(data.user_ids.external) == {str(one), str(two)}
    assert data.item_ids.external.tolist() == ["1", "3", "A2"]


def test_roles_of_events_are_those_of_own_data():
    data = read(lambda frame: frame, target=["buy"], dislike={"kinds": ["view"]})
    assert (len(data.interactions), len(data.touched), len(data.disliked)) == (1, 4, 3)


def test_without_a_time_the_rows_stand_in_their_order():
    data = Dataset.from_frames(EVENTS.iloc[::-1], user="customer", item="article")
    assert data.interactions.by_user()[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"events": 3}, BadConfig, "events: int is no table"),
        ({"events": "nowhere.csv"}, MissingData, "nowhere.csv: no such file"),
        ({"user": "custommer"}, BadInput, "events: no column 'custommer'"),
        ({"items": ITEMS.drop(columns="article")}, BadInput, "items: no column 'article'"),
        ({"items": ITEMS.iloc[:2]}, BadInput, "events: row 4: article 'A3' is not listed in items"),
        ({"items": pd.concat([ITEMS, ITEMS])}, BadInput, "items: row 5: article 'A1' stands twice"),
        ({"item_columns": {"prize": "continuous"}}, BadConfig, "items: no column 'prize'; did you mean price"),
        ({"item_columns": {"price": "number"}}, BadConfig, "column price: kind 'number': choose one of"),
        ({"items": ITEMS.assign(box=[{"a": 1}] * 4)}, BadConfig, "items: column 'box' holds records"),
        ({"items": ITEMS.assign(mix=[1, "a", [2], None])}, BadInput, "items: "),
        ({"events": EVENTS.assign(customer=["U1", None, "U2", "U3"])}, BadInput, "events: row 2: customer is missing"),
        ({"events": EVENTS.iloc[:0]}, BadInput, "events: no rows"),
        ({"events": EVENTS.assign(when=dt.timedelta(1))}, BadInput, "when"),
        ({"price": "x"}, TypeError, "price"),
    ],
)
def test_mistakes_are_said_in_a_line(changes, error, words):
    options = {"events": EVENTS, "items": ITEMS, **NAMES, **changes}
    with pytest.raises(error) as raised:
        Dataset.from_frames(options.pop("events"), **options)
    assert words in str(raised.value)
    if isinstance(raised.value, TwoTowerError):
        assert "\n" not in str(raised.value)


def test_rows_that_make_no_sense_can_be_dropped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    events = EVENTS.assign(when=["2024-01-01", "never", "2024-01-03", "2024-01-04"])
    data = Dataset.from_frames(events, **NAMES, on_bad_rows="drop")
    assert len(data.interactions) == 3


def test_a_data_set_is_a_line_and_in_a_notebook_a_table():
    data = read(lambda frame: frame.assign(**({"brand": "<b>"} if "brand" in frame else {})))
    assert repr(data) == "<Dataset frames: 4 users, 4 items, 4 events>"
    shown = data._repr_html_()
    assert "price continuous" in shown
    assert "2024-01-01" in shown
    assert len(shown) < 2000
    assert np.char.count(shown, "<table>") == 1
