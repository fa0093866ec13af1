"""Own data: three files and one YAML become a data set, in every format; what is wrong is said by file, row, remedy."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from twotower.data.dataset import Dataset
from twotower.data.sources.tabular import Tabular, from_yaml
from twotower.data.splitters import TimeQuantile
from twotower.data.tables import Kind
from twotower.errors import BadConfig, BadInput, MissingData

SHOP = Path(__file__).parents[3] / "examples" / "own_data" / "shop.yaml"

EVENTS = pd.DataFrame(
    {
        "who": ["u2", "u1", "u2", "u10"],
        "what": ["007", "7", "7", "007"],
        "when": [978300762, 978300760, 978300761, 978300763],
        "did": ["buy", "view", "view", "buy"],
        "stars": [5.0, 2.5, 3.0, 4.0],
    }
)
ITEMS = pd.DataFrame(
    {
        "sku": ["007", "7", "08"],
        "name": ["Spade", "Rake", None],
        "kind": ["garden", "garden", "kitchen"],
        "plz": ["01067", "99084", "01067"],
        "price": [12.5, None, 3.0],
        "colours": [["red", "blue"], [], ["red"]],
        "shares": [[0.75, 0.25], [], [1.0]],
        "listed": ["2000-01-01", "2000-01-02T12:00:00", None],
        "lat": [52.5, None, 48.1],
        "lon": [13.4, 9.9, 11.6],
    }
)
USERS = pd.DataFrame({"id": ["u1", "u2", "u10", "u11"], "age": [30, 40, 50, 60]})

OPTIONS = {
    "interactions": {"path": "events", "user": "who", "item": "what", "time": "when", "kind": "did", "value": "stars"},
    "items": {
        "path": "items", "id": "sku", "title": "name", "category": "kind",
        "columns": {
            "plz": "categorical", "price": {"kind": "continuous", "low": 0}, "listed": "timestamp",
            "colours": {"kind": "multi_categorical", "weights": "shares"}, "lat": "place", "lon": "place",
        },
    },
    "users": {"path": "users", "id": "id", "columns": {"age": "continuous"}},
}  # fmt: skip


def write_table(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        lists = {c: frame[c].map("|".join) for c in ("colours",) if c in frame}
        lists |= {c: frame[c].map(lambda row: "|".join(map(str, row))) for c in ("shares",) if c in frame}
        frame.assign(**lists).to_csv(path, index=False)


@pytest.fixture
def write(tmp_path):
    """Writes the three tables in a format and gives the source that reads them."""

    def source(suffix=".csv", *, tables=(), **more):
        frames = {"events": EVENTS, "items": ITEMS, "users": USERS} | dict(tables)
        options = {}
        for name, frame in zip(OPTIONS, frames.values(), strict=True):
            path = f"{OPTIONS[name]['path']}{suffix}"
            write_table(frame, tmp_path / path)
            options[name] = OPTIONS[name] | {"path": path}
        return Tabular(**options | more, root=tmp_path, dropped_to=tmp_path / "aside")

    return source


def check(dataset: Dataset) -> None:
    assert dataset.user_ids.external.tolist() == ["u1", "u10", "u11", "u2"]
    assert dataset.item_ids.external.tolist() == ["007", "08", "7"]  # "007" and "7" are two items
    events = dataset.interactions
    assert dataset.user_ids.to_external(events.user).tolist() == ["u1", "u10", "u2", "u2"]
    assert dataset.item_ids.to_external(events.item).tolist() == ["7", "007", "7", "007"]
    assert events.time.tolist() == [978300760, 978300763, 978300761, 978300762]
    assert events.value.tolist() == [2.5, 4, 3, 5]
    assert [events.kinds[k] for k in events.kind] == ["view", "buy", "view", "buy"]
    assert (dataset.category, dataset.title) == ("kind", "name")
    spade, pan, rake = (dataset.items.describe(row) for row in range(3))
    assert spade == {
        "name": "Spade", "kind": "garden", "plz": "01067", "price": 12.5, "listed": "2000-01-01",
        "colours": ["red", "blue"], "lat": 52.5, "lon": 13.4,
    }  # fmt: skip
    assert pan == {"kind": "kitchen", "plz": "01067", "price": 3.0, "colours": ["red"], "lat": 48.1, "lon": 11.6}
    assert rake == {"name": "Rake", "kind": "garden", "plz": "99084", "listed": "2000-01-02T12:00:00Z", "lon": 9.9}
    assert dataset.items["colours"].weights.tolist() == [0.75, 0.25, 1]
    assert dataset.users.describe(2) == {"age": 60.0}  # u11 has no events and stays


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_data_set(write, suffix):
    check(write(suffix).load())


def test_fingerprints_do_not_depend_on_the_format(write):
    assert len({write(suffix).load().fingerprint() for suffix in (".csv", ".jsonl", ".parquet")}) == 1


def test_item_and_user_files_are_optional(write):
    loaded = write(items=None, users=None).load()
    assert loaded.item_ids.external.tolist() == ["007", "7"]
    assert loaded.items.schema.names == loaded.users.schema.names == ()
    assert loaded.title is None


def test_without_kind_and_value_events_are_alike(write):
    plain = {"path": "events.csv", "user": "who", "item": "what", "time": "when"}
    events = write(interactions=plain).load().interactions
    assert events.kinds == ("event",)
    assert events.value.tolist() == [1, 1, 1, 1]


def test_ids_that_are_all_plain_numbers_are_numbers(write):
    events = EVENTS.assign(who=["2", "10", "2", "3"])
    users = USERS.assign(id=[2, 10, 3, 11])
    assert write(tables={"events": events, "users": users}).load().user_ids.external.tolist() == [2, 3, 10, 11]


@pytest.mark.parametrize(
    "table, changes, says",
    [
        ("events", {"what": "99"}, "events.csv: row 5: what '99' is not listed in items.csv; add it to items.csv"),
        ("events", {"who": "u99"}, "events.csv: row 5: who 'u99' is not listed in users.csv"),
        ("events", {"stars": "many"}, "events.csv: row 5: stars 'many' is not a finite number"),
        ("events", {"stars": None}, "events.csv: row 5: stars is missing"),
        ("events", {"when": "soon"}, "events.csv: row 5: when 'soon' is not a time"),
        ("events", {"did": None}, "events.csv: row 5: did is missing"),
        ("items", {"sku": "007"}, "items.csv: row 4: sku '007' stands twice"),
        ("items", {"sku": None}, "items.csv: row 4: sku is missing"),
        ("items", {"sku": "9", "price": "cheap"}, "items.csv: row 4: price 'cheap' is not a finite number"),
        ("items", {"sku": "9", "listed": "2000-13-01"}, "items.csv: row 4: listed '2000-13-01' is not a time"),
        ("items", {"sku": "9", "shares": [1, 2]}, "items.csv: row 4: shares '1|2' gives no number for each value"),
        ("users", {"id": "u1"}, "users.csv: row 5: id 'u1' stands twice"),
    ],
)
def test_one_damaged_row_is_refused_by_file_row_and_value_or_dropped(write, tmp_path, table, changes, says):
    sound = {"events": EVENTS, "items": ITEMS, "users": USERS}[table]
    damaged = pd.concat(
        [sound.astype(object), sound.iloc[-1:].astype(object).assign(**{k: [v] for k, v in changes.items()})]
    )
    with pytest.raises(BadInput) as error:
        write(tables={table: damaged}).load()
    assert says in str(error.value)
    check(write(tables={table: damaged}, on_bad_rows="drop").load())
    side = pd.read_csv(tmp_path / "aside" / f"{table}.csv.dropped.csv")
    assert len(side) == 1
    assert json.loads(side["content"][0])


def test_milliseconds_are_refused_with_the_remedy_which_works(write):
    events = EVENTS.assign(when=EVENTS["when"] * 1000)
    with pytest.raises(BadInput, match="set time_unit: ms"):
        write(tables={"events": events}).load()
    options = OPTIONS["interactions"] | {"path": "events.csv", "time_unit": "ms"}
    check(write(tables={"events": events}, interactions=options).load())


def test_another_delimiter_and_encoding_can_be_named(write, tmp_path):
    write()
    ITEMS.assign(name=["Größe", "Rake", None], colours="", shares="").to_csv(
        tmp_path / "items.csv", sep=";", encoding="latin-1", index=False
    )
    options = OPTIONS["items"] | {"path": "items.csv", "delimiter": ";", "encoding": "latin-1"}
    source = Tabular(interactions=OPTIONS["interactions"] | {"path": "events.csv"}, items=options, root=tmp_path)
    assert source.load().items.describe(0)["name"] == "Größe"


def test_more_kinds_than_fit_are_refused(write):
    many = pd.concat([EVENTS.iloc[:1].assign(did=f"kind {i}") for i in range(128)])
    with pytest.raises(BadInput, match="names 128 kinds of events"):
        write(tables={"events": many}).load()


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"interactions": {"path": "events.csv", "usr": "who"}}, r"interactions: \['usr'\] is not understood"),
        ({"interactions": {"path": "events.csv", "user": "who"}}, "interactions: item must be given"),
        ({"interactions": {"path": "events.csv", "user": "who", "item": "who"}}, "user and item are both 'who'"),
        (
            {"interactions": {"path": "events.csv", "user": "who", "item": True}},
            "interactions: item: True is not a name",
        ),
        ({"items": {"path": "i.csv", "id": "a", "columns": ["p", "q"]}}, "columns: write the kind of every column"),
        (
            {"items": {"path": "i.csv", "id": "a", "columns": {"p": {"kind": "continuous", "low": "x"}}}},
            "low='x' is not",
        ),
        ({"users": {"path": "u.csv", "id": "a", "decimal": ";"}}, "decimal=';': give '.' or ','"),
        ({"items": {"path": "i.csv", "id": "a", "columns": {"p": "colour"}}}, "column p: kind 'colour': choose one of"),
        ({"items": {"path": "i.csv", "id": "a", "columns": {"p": {"low": 1}}}}, "column p: .*: write kind"),
        ({"users": {"path": "u.csv", "id": "a", "encoding": "latin-0"}}, "encoding='latin-0': give e.g. utf-8"),
        ({"users": {"path": "u.csv", "id": "a", "delimiter": "::"}}, "delimiter='::': give one character"),
        ({"users": {"path": "u.csv", "id": "a", "time_unit": "h"}}, "time_unit='h': choose one of d, s, ms, us, ns"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_accepted_ones(write, changes, says):
    with pytest.raises(BadConfig, match=says):
        write(**changes)


def test_a_yaml_names_everything_and_its_paths_are_relative_to_it(write, tmp_path):
    write()
    options = {name: OPTIONS[name] | {"path": f"{OPTIONS[name]['path']}.csv"} for name in OPTIONS}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(options))
    loaded = from_yaml(tmp_path / "my.yaml").load()
    check(loaded)
    assert loaded.name == "my"


@pytest.mark.parametrize("text", ["", "- a", "items: {}", "interactions: {}\nextra: 1", "a: [", "\tx: 1"])
def test_a_yaml_without_the_right_keys_is_refused(tmp_path, text):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(BadConfig):
        from_yaml(tmp_path / "my.yaml")


def test_an_absent_yaml_is_named_with_the_example(tmp_path):
    with pytest.raises(MissingData, match=r"no such file; write one as examples/own_data/shop\.yaml shows"):
        from_yaml(tmp_path / "my.yaml")


def test_the_example_has_most_column_kinds_and_splits_by_time():
    shop = from_yaml(SHOP).load()
    assert (shop.n_users, shop.n_items, set(shop.interactions.kinds)) == (60, 80, {"view", "save", "buy"})
    kinds = {column.kind for table in (shop.items, shop.users) for column in table.schema.columns}
    assert kinds == set(Kind) - {Kind.PLACE, Kind.VECTOR}
    split = TimeQuantile().split(shop)
    assert len(split.train) > 700
    assert len(split.test.users()) >= 20


NUMBERED = pd.DataFrame({"1": ["a", "b", "c"], "on": ["x", "y", "x"], "2019": [1.5, 2.0, 3.0], "no": [3, 1, 2]})


def test_columns_may_be_called_what_yaml_takes_for_numbers_and_truth(tmp_path):
    NUMBERED.to_csv(tmp_path / "e.csv", index=False)
    (tmp_path / "my.yaml").write_text(
        "interactions: {path: e.csv, user: 1, item: on, time: no}\n"
        "users: {path: e.csv, id: 1, columns: {2019: {kind: continuous, high: 2.5}, no: continuous, on: categorical}}\n"
    )
    loaded = from_yaml(tmp_path / "my.yaml").load()
    assert loaded.users.schema.names == ("2019", "no", "on")
    assert loaded.users.schema["2019"].high == 2.5
    assert loaded.users.describe(0) == {"2019": 1.5, "no": 3.0, "on": "x"}
    assert loaded.interactions.time.tolist() == [3, 1, 2]
    in_python = {"path": "e.csv", "user": 1, "item": "on", "time": "no"}
    assert Tabular(interactions=in_python, root=tmp_path).load().n_users == 3


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_one_column_may_have_two_roles(write, suffix):
    options = OPTIONS["interactions"] | {"path": f"events{suffix}", "kind": "stars", "value": "stars"}
    events = write(suffix, interactions=options).load().interactions
    assert events.value.tolist() == [2.5, 4, 3, 5]
    # 4.0 is the kind "4": whole numbers lose the .0 unless other values of the column have fractions
    assert [float(events.kinds[k]) for k in events.kind] == [2.5, 4, 3, 5]


def test_events_without_times_keep_the_order_of_the_rows_and_splits_by_time_say_so(write, tmp_path):
    options = {"path": "events.csv", "user": "who", "item": "what"}
    loaded = write(interactions=options, items=None).load()
    assert loaded.interactions.time.tolist() == [0] * 4
    rows = loaded.item_ids.to_external(loaded.interactions.item[loaded.interactions.user == 3])  # u2
    assert rows.tolist() == ["007", "7"]  # as in the file, though "007" is the later one by time
    with pytest.raises(BadInput, match="protocol="):
        TimeQuantile(validation=0.1, test=0.1).split(loaded)


@pytest.mark.parametrize(("missing", "says"), [("", "did is missing"), ("NULL", "'NULL' is a missing kind")])
def test_a_missing_kind_is_called_a_kind(write, missing, says):
    with pytest.raises(BadInput, match=f"{says}; give every row a kind"):
        write(tables={"events": EVENTS.assign(did=["buy", missing, "view", "buy"])}).load()


def test_dates_of_items_may_be_old_open_or_missing(write):
    listed = ["1939-12-15", "9999-12-31", "NULL"]
    described = write(tables={"items": ITEMS.assign(listed=listed)}).load().items
    assert [described.describe(row).get("listed") for row in range(3)] == ["1939-12-15", None, "9999-12-31"]


def test_lists_are_lists_in_cells_and_in_columns_of_fixed_length(write, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = OPTIONS["items"] | {"columns": {"colours": "multi_categorical"}}
    rows = [["red", "blue"], ["green", "red"], ["red", "red"]]
    source = write(items=kinds | {"path": "items.csv"})
    for written in (json.dumps, repr, "|".join):
        ITEMS.assign(colours=[written(row) for row in rows]).to_csv(tmp_path / "items.csv", index=False)
        assert [source.load().items.describe(i)["colours"] for i in range(3)] == [rows[0], rows[2], rows[1]]
    table = pa.table({"sku": ITEMS["sku"], "name": ITEMS["name"], "kind": ITEMS["kind"],
                      "colours": pa.array(rows, pa.list_(pa.string(), 2))})  # fmt: skip
    pq.write_table(table, tmp_path / "items.parquet")
    fixed = write(items=kinds | {"path": "items.parquet"})
    pq.write_table(table, tmp_path / "items.parquet")
    assert [fixed.load().items.describe(i)["colours"] for i in range(3)] == [rows[0], rows[2], rows[1]]


@pytest.mark.parametrize("cell", ['{"a": 1}', '[["a"]]', "[a b]"])
def test_cells_in_brackets_that_are_no_lists_are_refused(write, cell):
    source = write()
    options = OPTIONS["items"] | {"path": "items.csv", "columns": {"colours": "multi_categorical"}}
    ITEMS.assign(colours=cell).to_csv(source.root / "items.csv", index=False)
    source = Tabular(interactions=OPTIONS["interactions"] | {"path": "events.csv"}, items=options, root=source.root)
    with pytest.raises(BadInput, match="is no flat list of values"):
        source.load()


def test_the_files_of_a_folder_are_all_named(tmp_path):
    (tmp_path / "events").mkdir()
    EVENTS[:2].to_parquet(tmp_path / "events" / "0.parquet")
    EVENTS[2:].to_parquet(tmp_path / "events" / "1.parquet")
    source = Tabular(interactions=OPTIONS["interactions"] | {"path": "events"}, root=tmp_path)
    assert [file.name for file in source.files()] == ["0.parquet", "1.parquet"]
    assert len(source.load().interactions) == 4


def test_roles_of_events_stand_in_the_yaml(write, tmp_path):
    write()
    (tmp_path / "my.yaml").write_text(
        "interactions: {path: events.csv, user: who, item: what, time: when, kind: did, value: stars,\n"
        "  target: [buy], dislike: {kinds: view, max_value: 2.5}}\n"
    )
    loaded = from_yaml(tmp_path / "my.yaml").load()
    assert loaded.interactions.value.tolist() == [4, 5]
    assert loaded.disliked.value.tolist() == [2.5]
    assert sorted(loaded.touched.value.tolist()) == [2.5, 3, 4, 5]
    with pytest.raises(BadConfig, match="dislike: no events of kind 'hide'; there are"):
        write(interactions=OPTIONS["interactions"] | {"path": "events.csv", "dislike": ["hide"]}).load()


@pytest.mark.parametrize("word", ["NULL", "\\N"])
def test_what_databases_write_for_nothing_is_missing_in_every_kind_of_column(write, word):
    changed = ITEMS.assign(
        name=["Spade", word, "Pan"], plz=["01067", word, "01067"], colours=[["red"], [word], ["red"]]
    )
    options = OPTIONS["items"] | {"path": "items.csv"}
    options["columns"] = {k: v for k, v in options["columns"].items() if k != "colours"} | {
        "colours": "multi_categorical"
    }
    described = write(tables={"items": changed}, items=options).load().items
    assert described.describe(2) == {
        "kind": "garden",
        "listed": "2000-01-02T12:00:00Z",
        "lon": 9.9,
    }  # sku 7: its price is missing too


def test_a_name_that_is_no_name_is_refused(tmp_path):
    (tmp_path / "my.yaml").write_text("name: [a]\ninteractions: {path: e.csv, user: u, item: i}\n")
    with pytest.raises(BadConfig, match="write one name"):
        from_yaml(tmp_path / "my.yaml")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_vectors_are_lists_in_the_table_or_rows_of_an_array_beside_it(tmp_path, suffix):
    rows = ITEMS[["sku"]].assign(text=[[1.0, 2.0], [3.0, 4.0], None])
    write_table(EVENTS, tmp_path / "events.csv")
    write_table(rows, tmp_path / f"items{suffix}")
    np.save(tmp_path / "images.npy", np.arange(9, dtype=np.float64).reshape(3, 3))
    columns = {"text": "vector", "image": {"kind": "vector", "file": "images.npy"}}
    events = OPTIONS["interactions"] | {"path": "events.csv"}
    source = Tabular(
        interactions=events, items={"path": f"items{suffix}", "id": "sku", "columns": columns}, root=tmp_path
    )
    assert tmp_path / "images.npy" in source.files()
    items = source.load().items
    # ids in the order of their text: 007, 08, 7; rows of the file: 007, 7, 08
    np.testing.assert_array_equal(items["text"], [[1, 2], [np.nan, np.nan], [3, 4]])
    np.testing.assert_array_equal(items["image"], [[0, 1, 2], [6, 7, 8], [3, 4, 5]])
    np.save(tmp_path / "images.npy", np.zeros((2, 3)))
    with pytest.raises(BadInput, match=r"images.npy holds float64 \(2, 3\); give floats"):
        source.load()
    (tmp_path / "images.npy").unlink()
    with pytest.raises(MissingData, match=r"images\.npy is not there"):
        source.load()


def test_a_vector_of_another_length_is_refused_by_row(tmp_path):
    write_table(EVENTS, tmp_path / "events.csv")
    write_table(ITEMS[["sku"]].assign(text=[[1.0, 2.0], [3.0], [5.0, 6.0]]), tmp_path / "items.parquet")
    items = {"path": "items.parquet", "id": "sku", "columns": {"text": "vector"}}
    source = Tabular(interactions=OPTIONS["interactions"] | {"path": "events.csv"}, items=items, root=tmp_path)
    with pytest.raises(BadInput, match=r"items.parquet: row 2: text .*is no list of 2 finite numbers"):
        source.load()
