"""Claims of the families of pair features, with arithmetic on five items."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.tables import Categories, Column, FeatureSchema, FeatureTable, Kind, MultiCategories
from twotower.features.windows import DAY
from twotower.models.second_stage import tastes
from twotower.models.second_stage.activity import Activity
from twotower.models.second_stage.columns import ItemColumns, scaled
from twotower.models.second_stage.covisitation import Covisitation
from twotower.models.second_stage.families import FAMILIES
from twotower.models.second_stage.kernels import Kernels
from twotower.models.second_stage.moment import Asked, Moment
from twotower.models.second_stage.tastes import Distances, Shares, distances, median_place, nearest_number
from twotower.types import NO_ITEM, Queries, Ragged

NOW = 100 * DAY
A, B, C, D, E = range(5)


def catalogue() -> FeatureTable:
    """Makes: x x y y none; tags: {p, q} {p} {q} {} {p}; prices 1 2 3 4 5."""
    kinds = {"make": Kind.CATEGORICAL, "tags": Kind.MULTI_CATEGORICAL, "price": Kind.CONTINUOUS}
    tags = Ragged.from_lists([[0, 1], [0], [1], [], [0]])
    values = {
        "make": Categories(np.array([0, 0, 1, 1, -1], np.int32), np.array(["x", "y"], dtype=object)),
        "tags": MultiCategories(tags, np.ones(len(tags.values), np.float32), np.array(["p", "q"], dtype=object)),
        "price": np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
    }
    return FeatureTable(FeatureSchema(tuple(Column(name, kind) for name, kind in kinds.items())), values, 5)


def moment(events, at=NOW, lifetimes=None) -> Moment:
    user, item, day = zip(*events, strict=True) if events else ((), (), ())
    log = Interactions.of(user, item, np.array(day, np.int64) * DAY, n_users=3, n_items=5)
    ids = (IdMap.of(list("uvw"), "user"), IdMap.of(list("abcde"), "item"))
    data = Dataset("five", log, FeatureTable.empty(3), catalogue(), *ids, lifetimes=lifetimes)
    return Moment(data, log, at)


def asked(items, days, at=NOW) -> Asked:
    """One query that touched these items on these days, the oldest first."""
    histories = Ragged.from_lists([items])
    times = Ragged(np.array(days, np.int64) * DAY, histories.offsets)
    return Asked.of(Queries(np.array([0]), histories, histories, times=times), at)


def columns() -> ItemColumns:
    return ItemColumns.of(catalogue())


def named(family, question, items, tables=None) -> dict[str, list[float]]:
    values = family.values(question, np.array([items]), columns(), family.opened(tables) if tables else {})
    assert values.shape == (1, len(items), len(family.names(columns())))
    return {name: values[0, :, f].tolist() for f, name in enumerate(family.names(columns()))}


def test_the_newest_event_stands_first_with_its_age():
    question = asked([A, B, C], [90, 95, 99])
    assert question.items.tolist() == [[C, B, A]]
    assert question.age.tolist() == [[1, 5, 10]]


def test_histories_of_different_lengths_are_padded():
    queries = Queries.of(np.array([0, 1]), Ragged.from_lists([[A], [B, C]]))
    question = Asked.of(queries, NOW)
    assert question.items.tolist() == [[A, NO_ITEM], [C, B]]
    assert question.age.tolist() == [[0, 0], [0, 0]]  # nobody knows when: as if just now


def test_without_a_common_moment_each_user_asks_at_its_newest_event():
    histories = Ragged.from_lists([[A, B], [C]])
    times = Ragged(np.array([3, 5, 50]) * DAY, histories.offsets)
    question = Asked.of(Queries(np.array([0, 1]), histories, histories, times=times), None)
    assert question.at.tolist() == [5 * DAY, 50 * DAY]
    assert question.age.tolist() == [[0, 2], [0, 0]]


def test_worth_halves_and_adds_up_to_one():
    """Ages 0 and 7 days with a half-life of 7: 1 and ½ of 1½."""
    assert asked([A, B], [93, 100]).weights(7.0) == pytest.approx(np.array([[2 / 3, 1 / 3]]))


def test_counts_are_of_windows_strictly_before_the_asking():
    """Item A: events 1, 2 and 20 days ago; in 1, 3, 7, 14, 35 days: 0, 2, 2, 2, 3 (the day's border is not inside)."""
    family = Activity()
    tables = family.tables(moment([(0, A, 98), (1, A, 80), (2, A, 99)]), columns())
    found = named(family, asked([B], [99]), [A, B], tables)
    assert [round(float(np.expm1(found[f"events of {d} days"][0]))) for d in (1, 3, 7, 14, 35)] == [1, 2, 2, 2, 3]
    assert found["events of 35 days"][1] == 0


def test_events_of_the_future_count_nothing():
    """A leak is planted: the log holds the asking's own second and what follows. Only the past may show."""
    past = [(0, A, 98), (1, A, 99)]
    future = [(2, A, 100), (0, A, 101), (1, B, 150)]
    family = Activity()
    clean = named(family, asked([C], [99]), [A, B], family.tables(moment(past), columns()))
    leaky = family.tables(moment(past + future), columns())
    for name, values in named(family, asked([C], [99]), [A, B], leaky).items():
        if name != "days listed":  # of an item that the log alone says was there
            assert values == clean[name], name


def test_an_item_is_as_old_as_its_listing():
    lives = Lifetimes(np.array([90, 95, 0, 0, 0]) * DAY, np.full(5, 200 * DAY))
    family = Activity()
    found = named(family, asked([C], [99]), [A, B], family.tables(moment([(0, A, 98)], lifetimes=lives), columns()))
    assert found["days listed"] == [10, 5]
    assert found["events a day"] == pytest.approx([1 / 11, 0])


def test_shares_of_the_candidates_values():
    """Touched A (make x, tags p q) 7 days ago and C (make y, tag q) now: recent worth ⅓ and ⅔, in all ½ each."""
    found = named(Shares(), asked([A, C], [93, 100]), [B, D, E])
    assert found["make: share of recent"] == pytest.approx([1 / 3, 2 / 3, 0])
    assert found["make: share of all"] == pytest.approx([0.5, 0.5, 0])
    assert found["tags: share of all"] == pytest.approx([0.5, 0, 0.5])


def test_shares_of_many_values_are_those_of_few(monkeypatch):
    rng = np.random.default_rng(0)
    codes, seen, items = rng.integers(-1, 50, 200), rng.integers(-1, 200, (6, 9)), rng.integers(0, 200, (6, 30))
    worth = rng.random((6, 9)).astype(np.float32) * (seen >= 0)
    few = tastes.share_of_code(codes, seen, worth, items)
    monkeypatch.setattr(tastes, "LARGEST_TABLE", 0)
    np.testing.assert_allclose(few, tastes.share_of_code(codes, seen, worth, items), rtol=1e-6)
    same = (codes[seen][:, None] == codes[items][:, :, None]) & (codes[items] >= 0)[:, :, None] & (seen >= 0)[:, None]
    np.testing.assert_allclose(few, (same * worth[:, None]).sum(-1), rtol=1e-5, atol=1e-6)


def test_distances_of_numbers():
    """Prices 1 and 3 touched now: mean 2, last 3; of 5: 3 over the mean, 2 from the last and the nearest."""
    spread = np.std([1, 2, 3, 4, 5])
    found = named(Distances(), asked([A, C], [100, 100]), [E, B])
    assert found["price: over the mean"] == pytest.approx([3 / spread, 0], abs=1e-6)
    assert found["price: from the last"] == pytest.approx([2 / spread, 1 / spread])
    assert found["price: from the nearest"] == pytest.approx([2 / spread, 1 / spread])


def test_no_history_gives_nothing_to_compare():
    found = named(Distances(), asked([], []), [A])
    assert np.isnan(found["price: over the mean"]).all()
    assert np.isnan(found["price: from the nearest"]).all()
    assert named(Shares(), asked([], []), [A])["make: share of all"] == [0]


def test_kernels_ask_for_several_likenesses_in_one_event():
    """X at price 1 and y at price 4 touched: an x at 4 is like neither, though both its values were touched."""
    family = Kernels(width=0.3)
    found = named(family, asked([A, D], [100, 100]), [B, C, D])
    near_b, near_c = (0.5 * np.exp(-1 / np.std([1, 2, 3, 4, 5]) / 0.3),) * 2
    assert found["make: kernel"] == pytest.approx([near_b, near_c, 0.5], rel=1e-5)


def test_covisitation_is_the_shrunk_cosine_with_the_history():
    """A and B share both of their users: 2 / (√2 √2 + 3) = .4; C has others."""
    family = Covisitation()
    log = [(0, A, 1), (1, A, 1), (0, B, 2), (1, B, 2), (2, C, 3)]
    found = named(family, asked([A], [99]), [B, C], family.tables(moment(log), columns()))
    assert found["covisitation: most"] == pytest.approx([0.4, 0])
    assert found["covisitation: sum"] == pytest.approx([0.4, 0])


def test_covisitation_of_a_user_without_history_is_nothing():
    family = Covisitation()
    tables = family.tables(moment([(0, A, 1), (0, B, 2)]), columns())
    assert named(family, asked([], []), [A, B], tables)["covisitation: most"] == [0, 0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_querys_numbers_do_not_depend_on_the_others(name):
    family, rng = FAMILIES[name](), np.random.default_rng(0)
    tables = family.tables(moment([(0, A, 1), (0, B, 2), (1, A, 3), (1, C, 4), (2, D, 5)]), columns())
    opened = family.opened(tables)
    histories = Ragged.from_lists([[A, B, C], [D], [], [E, A]])
    times = Ragged(rng.integers(50, 100, len(histories.values)) * DAY, histories.offsets)
    queries = Queries(np.arange(4), histories, histories, times=times)
    items = np.array([[B, C, E], [A, B, NO_ITEM], [C, D, E], [B, C, D]])
    every = family.values(Asked.of(queries, NOW), items, columns(), opened)
    for row in range(4):
        alone = family.values(Asked.of(queries.take(np.array([row])), NOW), items[row : row + 1], columns(), opened)
        real = items[row] != NO_ITEM
        np.testing.assert_allclose(alone[0][real], every[row][real], rtol=1e-5, atol=1e-6)


def test_the_nearest_of_many_numbers_agrees_with_a_search_of_all():
    rng = np.random.default_rng(1)
    own, theirs = rng.normal(size=(6, 9)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    theirs[0, 2:], theirs[1] = np.nan, np.nan
    expected = np.nanmin(np.abs(own[:, :, None] - theirs[:, None]), axis=2, initial=np.inf)
    expected[1] = np.nan
    np.testing.assert_allclose(nearest_number(own, theirs), expected, atol=1e-4)


def test_kilometres_of_a_degree():
    """A degree of latitude is 111.2 km everywhere, one of longitude half of that at 60° north."""
    places = np.array([[0.0, 0.0], [1.0, 0.0], [60.0, 0.0], [60.0, 1.0]], np.float32)
    assert distances(places[0], places[1]) == pytest.approx(111.19, abs=0.05)
    assert distances(places[2], places[3]) == pytest.approx(55.6, abs=0.1)
    assert np.isnan(distances(places[0], np.array([np.nan, 0.0], np.float32)))


def test_home_is_the_median_place():
    places = np.array([[[1.0, 5.0], [9.0, 6.0], [2.0, 40.0], [np.nan, np.nan]]], np.float32)
    assert median_place(places).tolist() == [[2.0, 6.0]]


def test_a_skewed_column_is_compared_by_its_logarithm():
    """100 → 200 is as far as 10,000 → 20,000."""
    prices = scaled(np.array([100.0, 200.0, 10_000.0, 20_000.0, 150.0, 120.0, 180.0]))
    assert prices[1] - prices[0] == pytest.approx(prices[3] - prices[2], rel=0.01)


def test_columns_survive_as_arrays():
    kept = ItemColumns.from_arrays(columns().to_arrays())
    assert kept.codes["make"].tolist() == [0, 0, 1, 1, -1]
    assert [row.tolist() for row in kept.sets["tags"]] == [[0, 1], [0], [1], [], [0]]
    np.testing.assert_array_equal(kept.numbers["price"], columns().numbers["price"])
    assert kept.places is None
