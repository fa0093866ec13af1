"""`ServingFiles`: what is kept of a data set, queries of known and unknown users, saving and loading."""

import json

import numpy as np
import pytest

from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.positives import Role, with_roles
from twotower.data.tables import Column, FeatureSchema, FeatureTable, Kind
from twotower.errors import BundleError
from twotower.runs.serving_files import ServingFiles, write_serving_files
from twotower.types import UNKNOWN_USER, Ragged


def dataset(lifetimes=None):
    #            user 0: 2, 0, 2   user 2: 1                              user 1 has done nothing
    events = Interactions.of(
        np.array([0, 0, 0, 2]), np.array([2, 0, 2, 1]), np.array([10, 20, 30, 5]), n_users=3, n_items=4
    )
    items = FeatureTable(
        FeatureSchema((Column("name", Kind.TEXT),)), {"name": np.array(["a", "b", "c", "d"], dtype=object)}, 4
    )
    user_ids, item_ids = IdMap.of(["x", "y", "z"], "user"), IdMap.of([7, 8, 9, 10], "item")
    return Dataset(
        "toy", events, FeatureTable.empty(3), items, user_ids, item_ids, lifetimes=lifetimes, title="name"
    )  # fmt: skip


def rows(ragged):
    return [row.tolist() for row in ragged]


def test_keeps_histories_in_order_and_each_seen_item_once():
    files = ServingFiles.of(dataset(), dataset().interactions)
    assert rows(files.histories) == [[2, 0, 2], [], [1]]
    assert rows(files.exclusions) == [[2, 0], [], [1]]
    assert files.popularity.tolist() == [1, 1, 2, 0]
    assert files.at == 30


def test_query_of_a_known_user_shows_and_excludes_what_is_known():
    queries = ServingFiles.of(dataset(), dataset().interactions).queries(np.array([0, 2]))
    assert rows(queries.histories) == [[2, 0, 2], [1]]
    assert rows(queries.exclusions) == [[2, 0], [1]]


def test_given_history_follows_the_known_one():
    files = ServingFiles.of(dataset(), dataset().interactions)
    queries = files.queries(np.array([2, UNKNOWN_USER, 0]), Ragged.from_lists([[3], [0, 1], []]))
    assert queries.users.tolist() == [2, UNKNOWN_USER, 0]
    assert rows(queries.histories) == [[1, 3], [0, 1], [2, 0, 2]]
    assert rows(queries.exclusions) == [[1, 3], [0, 1], [2, 0]]


def test_queries_know_when_histories_happened_and_what_is_given_is_new(tmp_path):
    files = ServingFiles.of(dataset(), dataset().interactions)
    files.save(tmp_path)
    for kept in (files, ServingFiles.load(tmp_path)):
        queries = kept.queries(np.array([2, UNKNOWN_USER, 0]), Ragged.from_lists([[3], [0, 1], []]))
        assert rows(queries.times) == [[5, 30], [30, 30], [10, 20, 30]]


def test_seen_items_may_come_back_if_wanted():
    queries = ServingFiles.of(dataset(), dataset().interactions).queries(np.array([0]), exclude_seen=False)
    assert rows(queries.histories) == [[2, 0, 2]]
    assert rows(queries.exclusions) == [[]]


def test_exclusions_may_hold_more_than_histories():
    data = dataset()
    recent = data.interactions.where(data.interactions.time >= 20)
    files = ServingFiles.of(data, recent, exclusions=data.interactions)
    assert rows(files.histories) == [[0, 2], [], []]
    assert rows(files.exclusions) == [[2, 0], [], [1]]


@pytest.mark.parametrize("lifetimes", [None, Lifetimes(np.array([0, 1, 2, 3]), np.array([9, 9, 9, 9]))])
def test_saved_and_loaded_files_are_the_same(tmp_path, lifetimes):
    data = dataset(lifetimes)
    saved = write_serving_files(tmp_path, data, data.interactions)
    loaded = ServingFiles.load(tmp_path)
    assert (loaded.name, loaded.at, loaded.title) == ("toy", 30, "name")
    assert loaded.user_ids.external.tolist() == ["x", "y", "z"]
    assert loaded.item_ids.external.tolist() == [7, 8, 9, 10]
    assert rows(loaded.histories) == rows(saved.histories)
    assert rows(loaded.exclusions) == rows(saved.exclusions)
    assert loaded.popularity.tolist() == saved.popularity.tolist()
    assert loaded.catalogue.describe(3) == {"name": "d"}
    assert (loaded.lifetimes is None) == (lifetimes is None)
    if lifetimes:
        assert loaded.lifetimes.since.tolist() == [0, 1, 2, 3]


def test_schema_file_says_what_the_catalogue_holds(tmp_path):
    write_serving_files(tmp_path, dataset(), dataset().interactions)
    said = json.loads((tmp_path / "schema.json").read_text())
    assert said["columns"] == [{"name": "name", "kind": "text"}]
    assert (said["users"], said["items"]) == (3, 4)


def test_files_of_different_data_sets_are_refused(tmp_path):
    write_serving_files(tmp_path, dataset(), dataset().interactions)
    np.save(tmp_path / "popularity.npy", np.ones(9, np.float32))
    with pytest.raises(BundleError, match=r"items counted differently: \(4, 4, 9\)"):
        ServingFiles.load(tmp_path)


def test_dislikes_never_come_back_not_even_where_seen_items_may(tmp_path):
    data = with_roles(dataset(), dislike=Role(kinds=["event"], max_value=-1))
    assert rows(ServingFiles.of(data, data.interactions).queries(np.array([0]), exclude_seen=False).exclusions) == [[]]
    events = Interactions.of(
        np.array([0, 0, 2]),
        np.array([2, 0, 1]),
        np.array([10, 20, 5]),
        value=np.array([5.0, 1, 5]),
        n_users=3,
        n_items=4,
    )
    data = with_roles(dataset().with_interactions(events), dislike=Role(max_value=2))
    write_serving_files(tmp_path, data, data.interactions, data.touched)
    files = ServingFiles.load(tmp_path)
    assert rows(files.histories) == [[2], [], [1]]
    assert rows(files.queries(np.array([0, 2])).exclusions) == [[2, 0], [1]]
    assert rows(files.queries(np.array([0, 2]), exclude_seen=False).exclusions) == [[0], []]
    assert rows(files.queries(np.array([UNKNOWN_USER]), exclude_seen=False).exclusions) == [[]]


def test_users_whom_the_model_does_not_know_are_served_by_their_histories(tmp_path):
    data = dataset()
    then = data.interactions.where(data.interactions.time <= 10)  # user 0: 2; user 2: 1
    later = Interactions.of(np.array([1, 1]), np.array([3, 0]), np.array([40, 50]), n_users=3, n_items=4)
    write_serving_files(
        tmp_path, data, data.interactions.concat(later), then=then, described=np.array([True, False, False])
    )
    files = ServingFiles.load(tmp_path)
    queries = files.queries(np.array([0, 1, 2, UNKNOWN_USER]))
    assert queries.users.tolist() == [0, UNKNOWN_USER, 2, UNKNOWN_USER]
    assert rows(queries.histories) == [[2, 0, 2], [3, 0], [1], []]
    assert files.at == 50
    assert files.popularity.tolist() == [2, 1, 2, 1]
    assert files.popularity_then.tolist() == [0, 1, 1, 0]
