"""Positives are chosen by value and kind; users and catalogue stay as they are."""

import numpy as np
import pytest

from twotower.data.dataset import Dataset
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.positives import Role, select_positives, with_roles
from twotower.data.summary import facts, missing_share
from twotower.data.tables import MISSING_TIME, Categories, FeatureTable, MultiCategories
from twotower.errors import BadConfig, BadInput


@pytest.fixture
def dataset():
    events = Interactions.of(
        np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), np.array([1, 2, 3, 4]),
        kind=np.array([0, 1, 0, 1]), value=np.array([5.0, 1, 3, 4]), kinds=("view", "buy"), n_users=3, n_items=4,
    )  # fmt: skip
    ids = IdMap.of(range(3), "user"), IdMap.of(range(4), "item")
    return Dataset("toy", events, FeatureTable.empty(3), FeatureTable.empty(4), *ids)


@pytest.mark.parametrize(
    "options, values",
    [
        ({}, [5, 1, 3, 4]),
        ({"min_value": 3}, [5, 3, 4]),
        ({"kinds": ["buy"]}, [1, 4]),
        ({"min_value": 4, "kinds": ["buy", "view"]}, [5, 4]),
    ],
)
def test_events_are_kept_by_value_and_kind(dataset, options, values):
    chosen = select_positives(dataset, **options)
    assert chosen.interactions.value.tolist() == values
    assert (chosen.n_users, chosen.n_items, chosen.interactions.kinds) == (3, 4, ("view", "buy"))


def test_an_unknown_kind_is_named_with_those_there_are(dataset):
    with pytest.raises(BadConfig, match=r"no events of kind 'like'; there are view, buy"):
        select_positives(dataset, kinds=["like"])


def test_a_choice_that_leaves_nothing_is_refused(dataset):
    with pytest.raises(BadInput, match=r"none of 4 events is positive with min_value=6.*run from 1 to 5"):
        select_positives(dataset, min_value=6)


def test_facts_count_users_pairs_and_kinds(dataset):
    told = dict(facts(dataset))
    assert told["users"] == "3 (2 with events)"
    assert told["items"] == "4 (3 with events)"
    assert told["events"] == "4 (4 distinct pairs, 33.3333% of all)"  # 4 of 3 x 4 cells
    assert told["kind buy"] == "2, value 1 to 4, mean 2.5000"  # (1 + 4) / 2
    assert told["fingerprint"] == dataset.fingerprint()


def test_the_missing_share_counts_rows_without_a_value():
    assert missing_share(Categories.of(["a", None, "b", ""])) == 2 / 4
    assert missing_share(MultiCategories.of([["a"], [], ["b", "c"]])) == 1 / 3
    assert missing_share(np.array([1.0, np.nan])) == 1 / 2
    assert missing_share(np.array([MISSING_TIME, 5, 6, 7])) == 1 / 4
    assert missing_share(np.array(["", "x"], object)) == 1 / 2


def test_nothing_that_was_read_is_forgotten_when_positives_are_chosen(dataset, tmp_path):
    chosen = select_positives(select_positives(dataset, min_value=2), kinds=["buy"])
    assert chosen.interactions.value.tolist() == [4]
    assert chosen.touched.value.tolist() == [5, 1, 3, 4]  # all four as read, through both choices
    chosen.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert loaded.touched.value.tolist() == [5, 1, 3, 4]
    assert loaded.fingerprint() == chosen.fingerprint()
    alone = dataset.with_interactions(chosen.interactions)
    assert alone.touched is alone.interactions  # what is cut away on purpose, as while tuning, is away
    assert alone.fingerprint() != chosen.fingerprint()


def test_dislikes_are_no_targets_and_are_kept_apart(dataset, tmp_path):
    chosen = with_roles(dataset, target=Role(kinds=["view", "buy"]), dislike=Role(max_value=3))
    assert chosen.interactions.value.tolist() == [5, 4]
    assert chosen.disliked.value.tolist() == [1, 3]
    assert len(chosen.touched) == 4
    chosen.save(tmp_path)
    assert Dataset.load(tmp_path).disliked.value.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ("buy", Role(kinds=["buy"])),
        (["buy", 5], Role(kinds=["buy", "5"])),
        ({"kinds": "buy", "min_value": "4"}, Role(kinds=["buy"], min_value=4.0)),
        ({"max_value": 2}, Role(max_value=2.0)),
    ],
)
def test_a_role_is_written_as_kinds_or_limits(given, role):
    assert Role.of("target", given) == role


@pytest.mark.parametrize("given", [{}, {"kind": "buy"}, {"min_value": "much"}])
def test_a_role_that_is_none_is_refused_by_its_place(given):
    with pytest.raises(BadConfig, match="interactions: dislike: "):
        Role.of("interactions: dislike", given)
