"""What every model that predicts values keeps, as a suite of claims."""

from typing import cast

import numpy as np

from twotower.metrics.rating import rmse
from twotower.models import pairs
from twotower.models.pairs import PairModel
from twotower.testing.data import asked, queries_of, two_tastes
from twotower.testing.models import ScoringModelTests, same
from twotower.types import UNKNOWN_USER, Ids, TopK


class PairModelTests(ScoringModelTests):
    """What every `PairModel` keeps beside that; the values of `two_tastes` are 5 within the taste and 1 beyond it."""

    def predicting(self) -> PairModel:
        """The fitted model."""
        return cast(PairModel, self.model())

    def every_pair(self) -> tuple[Ids, Ids]:
        """All users with all items, and ids on either side that stand for somebody unknown."""
        users = np.append(np.arange(two_tastes().train.n_users), [UNKNOWN_USER, 10_000])
        items = np.append(np.arange(two_tastes().train.n_items), [-1, 10_000])
        return np.repeat(users, len(items)), np.tile(items, len(users))

    def test_values_lie_within_the_range_and_a_personal_models_are_better_than_the_mean(self) -> None:
        train, target = two_tastes().train, two_tastes().test.target
        predicted = self.predicting().predict(target.user.astype(np.int64), target.item.astype(np.int64), target.time)
        low, high = self.predicting().value_range
        assert low <= predicted.min() <= predicted.max() <= high
        if self.is_personal:
            assert rmse(target.value, predicted) < rmse(target.value, np.full(len(target), train.value.mean()))

    def test_every_pair_has_a_value_and_unknown_ids_are_all_alike(self) -> None:
        users, items = self.every_pair()
        values = self.predicting().predict(users, items)
        assert np.isfinite(values).all()
        table = values.reshape(len(np.unique(users)), -1)
        np.testing.assert_array_equal(table[-1], table[-2])
        np.testing.assert_array_equal(table[:, -1], table[:, -2])

    def test_a_value_does_not_depend_on_the_other_pairs(self) -> None:
        users, items = self.every_pair()
        whole, usual = self.predicting().predict(users, items), pairs.BLOCK_PAIRS
        pairs.BLOCK_PAIRS = 97
        try:
            np.testing.assert_array_equal(self.predicting().predict(users, items), whole)
        finally:
            pairs.BLOCK_PAIRS = usual

    def test_candidates_score_as_in_the_catalogue(self) -> None:
        queries, rng = asked(), np.random.default_rng(0)
        items = rng.integers(0, self.model().n_items, (len(queries), 6))
        scores = self.model().pair_scores(queries, TopK(items, np.zeros(items.shape, np.float32)))
        expected = np.take_along_axis(self.scoring().score(queries), items, axis=1)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)

    def test_unknown_users_without_history_get_the_popular_list(self) -> None:
        """Popular is what is rated best here: all of them get the same list, that of anybody unknown."""
        nobody = self.model().recommend(queries_of([[]]), 5)
        same(self.model().recommend(queries_of([[]], [10_000]), 5), nobody)
        expected = self.predicting().raw_values(np.full(5, UNKNOWN_USER), nobody.items[0], None)
        np.testing.assert_allclose(nobody.scores[0], expected, rtol=1e-4, atol=1e-5)
