"""`Dataset`: agreement of its parts, the catalogue as of a moment, fingerprint, and the way to disk and back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.data.dataset import Dataset, ItemVersions, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind, MultiCategories
from twotower.errors import BadInput, MissingData

PRICE = FeatureSchema((Column("price", Kind.CONTINUOUS),))


def prices(*values: float) -> FeatureTable:
    return FeatureTable(PRICE, {"price": np.array(values, np.float64)}, len(values))


def market() -> Dataset:
    """Two users, three cars; car 1 gets cheaper at 10 and again at 20, car 2 at 15."""
    columns = (*PRICE.columns, Column("fuel", Kind.CATEGORICAL), Column("extras", Kind.MULTI_CATEGORICAL))
    cars = {
        "price": np.array([100.0, 200.0, 300.0]),
        "fuel": Categories.of(["gas", "diesel", None]),
        "extras": MultiCategories.of([["abs"], [], ["abs", "esp"]]),
    }
    return Dataset(
        "market",
        Interactions.of(np.array([0, 1, 0]), np.array([2, 1, 0]), np.array([9, 12, 25]), n_users=2, n_items=3),
        FeatureTable.empty(2),
        FeatureTable(FeatureSchema(columns), cars, 3),
        IdMap.of(["ann", "bob"], "user"),
        IdMap.of([11, 22, 33], "item"),
        ItemVersions(np.array([1, 1, 2]), np.array([10, 20, 15]), prices(190.0, 150.0, 280.0)),
        Lifetimes(np.array([0, 5, 10]), np.array([30, 20, 40])),
        category="fuel",
    )


@pytest.mark.parametrize(
    ("moment", "expected"),
    [(9, [100, 200, 300]), (10, [100, 190, 300]), (15, [100, 190, 280]), (19, [100, 190, 280]), (20, [100, 150, 280])],
)
def test_the_catalogue_of_a_moment_holds_past_changes_and_no_future_ones(moment, expected):
    table = market().items_at(moment)
    assert table["price"].tolist() == expected
    assert table["fuel"].codes.tolist() == market().items["fuel"].codes.tolist()


changes = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12)
questions = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 10)), max_size=12)


@given(changes, questions)
def test_the_latest_version_is_the_last_one_not_after_the_time(made, asked):
    rows = sorted(made)
    item, since = np.array(rows, np.int64).reshape(-1, 2).T
    versions = ItemVersions(item, since, prices(*range(len(rows))))
    found = versions.latest(np.array([i for i, _ in asked], np.int64), np.array([t for _, t in asked], np.int64))
    expected = [max((r for r, (i, t) in enumerate(rows) if i == item and t <= at), default=-1) for item, at in asked]
    assert found.tolist() == expected


def test_versions_out_of_order_or_twice_at_one_moment_are_refused():
    for since in ([20, 10], [10, 10]):
        with pytest.raises(BadInput, match="sorted by item and time"):
            ItemVersions(np.array([1, 1]), np.array(since), prices(1.0, 2.0))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(4, None, [1, 0, 0]), (5, None, [1, 1, 0]), (20, None, [1, 0, 1]), (0, 11, [1, 1, 1]), (30, 35, [0, 0, 1])],
)
def test_items_are_for_sale_from_since_until_just_before_until(start, end, expected):
    assert market().lifetimes.available(start, end).astype(int).tolist() == expected


def test_a_saved_data_set_comes_back_with_the_same_fingerprint(tmp_path):
    market().save(tmp_path / "deep" / "market")
    loaded = Dataset.load(tmp_path / "deep" / "market")
    assert loaded.fingerprint() == market().fingerprint()
    assert (loaded.name, loaded.category, loaded.title) == ("market", "fuel", None)
    assert loaded.user_ids.external.tolist() == ["ann", "bob"]
    assert loaded.items_at(20)["price"].tolist() == [100, 150, 280]
    assert loaded.lifetimes.until.tolist() == [30, 20, 40]


def test_a_data_set_without_versions_and_lifetimes_comes_back_without(tmp_path):
    plain = replace(market(), versions=None, lifetimes=None)
    plain.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert loaded.versions is None
    assert loaded.lifetimes is None
    assert loaded.items_at(99) is loaded.items
    assert loaded.fingerprint() == plain.fingerprint() != market().fingerprint()


def edited(what: str) -> Dataset:
    base = market()
    log = base.interactions
    return {
        "an event's time": lambda: base.with_interactions(replace(log, time=log.time + 1)),
        "an event's value": lambda: base.with_interactions(replace(log, value=log.value * 2)),
        "the name of a kind": lambda: base.with_interactions(replace(log, kinds=("click",))),
        "a price": lambda: replace(base, items=base.items.replace("price", np.array([100.0, 200.0, 301.0]))),
        "a missing value": lambda: replace(
            base, items=base.items.replace("fuel", Categories.of(["gas", None, "diesel"]))
        ),
        "an id": lambda: replace(base, item_ids=IdMap.of([11, 22, 34], "item")),
        "ids as text": lambda: replace(base, item_ids=IdMap.of(["11", "22", "33"], "item")),
        "a version": lambda: replace(
            base, versions=ItemVersions(base.versions.item, base.versions.since + 1, base.versions.features)
        ),
        "a lifetime": lambda: replace(base, lifetimes=Lifetimes(base.lifetimes.since, base.lifetimes.until + 1)),
        "a column's name": lambda: replace(
            base,
            versions=None,
            items=FeatureTable(FeatureSchema((Column("cost", Kind.CONTINUOUS),)), {"cost": np.zeros(3)}, 3),
            category=None,
        ),
        "the category": lambda: replace(base, category=None),
    }[what]()


@pytest.mark.parametrize(
    "what",
    [
        "an event's time", "an event's value", "the name of a kind", "a price", "a missing value", "an id",
        "ids as text", "a version", "a lifetime", "a column's name", "the category",
    ],
)  # fmt: skip
def test_the_fingerprint_changes_with(what):
    assert edited(what).fingerprint() != market().fingerprint()


def test_the_fingerprint_does_not_depend_on_name_or_width_of_integers():
    base = market()
    wide = replace(base.interactions, user=base.interactions.user.astype(np.int64))
    assert replace(base.with_interactions(wide), name="other").fingerprint() == base.fingerprint()


def test_columns_of_one_text_and_of_two_have_different_fingerprints():
    def titled(*titles: str) -> str:
        table = FeatureTable(
            FeatureSchema((Column("t", Kind.TEXT),)), {"t": np.asarray(titles, dtype=object)}, len(titles)
        )
        return replace(market(), versions=None, items=table, category=None).fingerprint()

    assert titled("a", "b\0c", "d") != titled("a\0b", "c", "d")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": FeatureTable.empty(3)}, "users: id space 2, feature rows 3, ids 2 must agree"),
        ({"item_ids": IdMap.of([1], "item")}, "items: id space 3, feature rows 3, ids 1 must agree"),
        ({"category": "colour"}, "no column 'colour'; there are price, fuel, extras"),
        ({"lifetimes": Lifetimes(np.array([1]), np.array([2]))}, "1 lifetimes for 3 items"),
        ({"versions": ItemVersions(np.array([3]), np.array([1]), prices(1.0))}, r"outside 0\.\.2"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        replace(market(), **change)


def test_versions_may_change_catalogue_columns_only_and_not_their_kind():
    schema = FeatureSchema((Column("fuel", Kind.CONTINUOUS),))
    table = FeatureTable(schema, {"fuel": np.zeros(1)}, 1)
    with pytest.raises(BadInput, match="'fuel' changes its kind"):
        replace(market(), versions=ItemVersions(np.array([0]), np.array([1]), table))


@pytest.mark.parametrize("content", ["nothing", "half"])
def test_an_absent_or_half_written_data_set_is_refused_with_the_remedy(tmp_path, content):
    if content == "half":
        market().save(tmp_path)
        (tmp_path / "dataset.json").unlink()
    with pytest.raises(MissingData, match=r"run pipelines/prepare\.py"):
        Dataset.load(tmp_path)
