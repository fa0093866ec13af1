"""The runner: known figures, the same for every block size, contract breaches refused."""

import numpy as np
import pytest

from twotower.errors import BadConfig, BadInput
from twotower.evaluation.examine import examine
from twotower.metrics.ranking import as_topk, ranking_metrics
from twotower.types import NO_ITEM, TopK


class Oracle:
    """Puts each user's targets at the given rank (0: first), other new items around them."""

    def __init__(self, holdout, rank=0):
        self.targets = dict(zip(holdout.users().tolist(), holdout.relevant(), strict=True))
        self.rank, self.asked = rank, []

    def recommend(self, queries, k):
        self.asked.append(len(queries))
        rows = []
        for user, seen in zip(queries.users.tolist(), queries.exclusions, strict=True):
            right = self.targets[user].tolist()
            wrong = [item for item in range(40) if item not in right and item not in seen]
            rows.append((wrong[: self.rank] + right + wrong[self.rank :])[:k])
        return as_topk(rows)


class Always:
    def __init__(self, items):
        self.items = items

    def recommend(self, queries, k):
        items = np.tile(np.asarray(self.items, np.int64)[:k], (len(queries), 1))
        return TopK(items, np.zeros(items.shape, np.float32))


def test_a_recommender_that_knows_the_answer_has_one_everywhere(split):
    found = examine(Oracle(split.test), split.test, ks=(1, 5))
    assert found.n_users == len(split.test.users())
    assert {found.mean(f"{name}@{k}") for name in ("map", "ndcg", "recall", "mrr") for k in (1, 5)} == {1.0}
    assert found.mean("precision@5") == pytest.approx(1 / 5)  # one target, five places


def test_a_target_at_rank_three_counts_a_third_and_only_from_k_three(split):
    found = examine(Oracle(split.test, rank=2), split.test, ks=(1, 2, 3, 10))
    assert [found.mean(f"map@{k}") for k in (1, 2, 3, 10)] == pytest.approx([0, 0, 1 / 3, 1 / 3])
    assert found.ks == (1, 2, 3, 10)


def test_figures_are_the_same_for_every_block_size_and_memory_is_bounded(split, by_score):
    model = by_score(noise=3.0).fit(split)
    whole = examine(model, split.test, block=10_000)
    for block in (1, 7, 60):
        parts = examine(model, split.test, block=block)
        assert parts.catalogue == whole.catalogue
        for name in whole.per_user:
            np.testing.assert_array_equal(parts.values(name), whole.values(name))
    oracle = Oracle(split.test)
    examine(oracle, split.test, block=7)
    assert max(oracle.asked) == 7
    assert sum(oracle.asked) == len(split.test.users())


def test_figures_are_those_of_the_metrics_over_all_lists_at_once(split, by_score):
    model = by_score().fit(split)
    found = examine(model, split.validation, ks=(3, 10), block=16)
    lists = model.recommend(split.validation.queries(), 10)
    expected = ranking_metrics(lists, split.validation.relevant(), (3, 10))
    for name, values in expected.items():
        np.testing.assert_array_equal(found.values(name), values)
    assert found.means == {name: pytest.approx(values.mean()) for name, values in expected.items()}


def test_catalogue_metrics_see_all_blocks_together(split):
    found = examine(Always([3, 5]), split.test, ks=(1, 2), block=8)
    assert (found.catalogue["coverage@1"], found.catalogue["coverage@2"]) == (1 / 40, 2 / 40)
    assert found.catalogue["gini@1"] == pytest.approx(39 / 40)  # everything on one of 40 items: (N - 1) / N


def test_values_per_user_cannot_be_changed(split, by_score):
    found = examine(by_score().fit(split), split.test, ks=(5,))
    with pytest.raises(ValueError, match="read-only"):
        found.values("map@5")[0] = 1


def test_repeated_items_are_refused_not_counted_twice(split):
    with pytest.raises(BadInput, match="item 3 stands twice in a ranked list"):
        examine(Always([3, 3]), split.test, ks=(2,))


def test_empty_lists_are_all_misses(split):
    found = examine(Always([NO_ITEM, NO_ITEM]), split.test, ks=(2,))
    assert found.mean("map@2") == 0
    assert found.catalogue["coverage@2"] == 0
    assert np.isnan(found.catalogue["novelty@2"])


def test_options_that_make_no_sense_are_refused(split, by_score):
    model = by_score().fit(split)
    for options in ({"ks": ()}, {"ks": (0, 5)}, {"block": 0}):
        with pytest.raises(BadConfig, match="must all be at least 1"):
            examine(model, split.test, **options)
    with pytest.raises(BadConfig, match="'map@7' was not measured; there are map@5"):
        examine(model, split.test, ks=(5,)).mean("map@7")


def test_a_holdout_without_targets_is_refused(split, by_score):
    nobody = type(split.test)(split.test.history, split.test.target.where(np.empty(0, np.int64)), 0)
    with pytest.raises(BadInput, match="no user has a target"):
        examine(by_score().fit(split), nobody)
