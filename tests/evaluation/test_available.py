"""What can be had at the moment of asking competes, for every model alike."""

from dataclasses import replace

import numpy as np
import pytest

from twotower.data.dataset import Dataset, Lifetimes
from twotower.data.ids import IdMap
from twotower.data.interactions import Interactions
from twotower.data.splitters import ByTime
from twotower.data.tables import FeatureTable
from twotower.errors import BadInput
from twotower.evaluation.examine import examine
from twotower.topk import top_k
from twotower.tuning.blind_split import blind_final
from twotower.types import Queries, Ragged, TopK

FOREVER = 1_000
SCORES = np.array([5, 4, 3, 2, 1], np.float32)
"""Of items 0..4, for everybody."""


def dataset(lifetimes: Lifetimes | None) -> Dataset:
    """Users 0 and 1 touch items 3 and 4 in training, item 2 in validation, items 1 and 0 in the test."""
    user, item, time = [0, 1, 0, 1, 0, 1], [3, 4, 2, 2, 1, 0], [1, 2, 11, 12, 21, 22]
    events = Interactions.of(user, item, time, n_users=2, n_items=5)
    ids = (IdMap.of(["a", "b"], "user"), IdMap.of(list("vwxyz"), "item"))
    return Dataset("five", events, FeatureTable.empty(2), FeatureTable.empty(5), *ids, lifetimes=lifetimes)


def split(lifetimes: Lifetimes | None):
    return ByTime(validation=10, test=20).split(dataset(lifetimes))


def lives() -> Lifetimes:
    """Item 0 is sold at 15; item 1 is listed at 21; the others are there all the time."""
    return Lifetimes(np.array([0, 21, 0, 0, 0]), np.array([15, *[FOREVER] * 4]))


class Heeds:
    """One list for everybody; looks at what is allowed."""

    def recommend(self, queries: Queries, k: int) -> TopK:
        return top_k(np.tile(SCORES, (len(queries), 1)), k, queries.exclusions, queries.allowed)


class Ignores:
    """The same, from something that knows nothing of `allowed`."""

    def recommend(self, queries: Queries, k: int) -> TopK:
        return top_k(np.tile(SCORES, (len(queries), 1)), k, queries.exclusions)


def test_what_is_sold_or_not_listed_yet_does_not_compete():
    cut = split(lives())
    assert cut.validation.available.tolist() == [True, False, True, True, True]
    assert cut.test.available.tolist() == [False, False, True, True, True]
    assert cut.test.competitors == "3 of 5 items, available when asked"


def test_without_lifetimes_the_whole_catalogue_competes():
    assert split(None).test.available is None
    assert split(None).test.competitors == "full catalogue"


def test_the_whole_catalogue_competes_on_request():
    whole = split(lives()).over_whole_catalogue()
    assert whole.test.available is None
    assert whole.validation.competitors == "full catalogue"


@pytest.mark.parametrize("model", [Heeds(), Ignores()])
def test_a_model_gains_nothing_by_not_knowing_what_is_sold(model):
    """Validation: item 2 stands behind item 0 alone, since item 1 is not listed yet: precision 1 / 2 for both users."""
    evaluation = examine(model, split(lives()).validation, ks=(1, 2), metrics=["map@2", "precision@1", "precision@2"])
    assert evaluation.mean("precision@1") == 0
    assert evaluation.mean("precision@2") == 0.5
    assert evaluation.mean("map@2") == 0.5
    whole = examine(model, split(lives()).over_whole_catalogue().validation, ks=(2,), metrics=["precision@2"])
    assert whole.mean("precision@2") == 0


@pytest.mark.parametrize("model", [Heeds(), Ignores()])
def test_a_target_that_is_listed_later_cannot_be_found(model):
    """Test: items 1 and 0 are targets; 0 is sold and 1 not listed, so that nobody finds them in any list."""
    evaluation = examine(model, split(lives()).test, ks=(5,), metrics=["recall@5"])
    assert evaluation.mean("recall@5") == 0


def test_queries_carry_when_their_histories_happened():
    asked = split(lives()).test.queries()
    assert [row.tolist() for row in asked.histories] == [[3, 2], [4, 2]]
    assert [row.tolist() for row in asked.times] == [[1, 11], [2, 12]]
    assert [row.tolist() for row in asked.take(np.array([1])).times] == [[2, 12]]


def test_times_belong_to_the_events_of_a_history():
    asked = split(None).test.queries()
    with pytest.raises(BadInput, match="one entry for each event"):
        replace(asked, times=Ragged.empty(2))


def test_the_last_fit_knows_what_is_available_and_no_target():
    final = blind_final(split(lives()))
    np.testing.assert_array_equal(final.test.available, split(lives()).test.available)
    assert len(final.test.target) == 0
