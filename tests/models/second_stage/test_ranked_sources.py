"""Claims of sources, earlier moments, scorers and the model that joins them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from twotower.data.splitters import ByTime, LeaveLast
from twotower.errors import BadConfig, BadInput
from twotower.features.windows import DAY
from twotower.models.factorization.als import ALS
from twotower.models.neighbours import ItemKNN
from twotower.models.popular import Popular
from twotower.models.second_stage.examples import earlier_moments, examples_of, is_cut_by_time, is_in
from twotower.models.second_stage.pair_network import PairNetwork, Scales, binary_loss, listwise_loss, pairwise_loss
from twotower.models.second_stage.ranked_sources import RankedSources
from twotower.models.second_stage.sources import merged, places_in
from twotower.testing import two_tastes
from twotower.types import NO_ITEM, Ragged, TopK


def lists(*rows) -> TopK:
    items = np.array(rows)
    return TopK(items, -np.arange(items.shape[1], dtype=np.float32) * np.ones((len(rows), 1), np.float32))


def test_lists_are_merged_by_the_best_rank_each_item_once():
    """First places 5 and 7, then second places 6 and 5 (there already), then third places 8 and 9."""
    assert merged([lists([5, 6, 8]), lists([7, 5, 9])]).items.tolist() == [[5, 7, 6, 8, 9, NO_ITEM]]


def test_padding_stays_last_when_lists_are_merged():
    top = merged([lists([5, NO_ITEM]), lists([7, 8])])
    assert top.items.tolist() == [[5, 7, 8, NO_ITEM]]
    assert np.isneginf(top.scores[0, 3])


def test_a_score_has_a_place_in_another_list():
    own = np.array([[9.0, 5.0, 1.0]], np.float32)
    assert places_in(own, np.array([[10.0, 9.0, 4.0, 0.0]], np.float32)).tolist() == [[0, 0, 2, 3]]


def by_time():
    """Events of `two_tastes` on a calendar: its times are stretched over 60 days."""
    data = two_tastes().dataset
    log = data.interactions
    span = max(1, int(log.time.max() - log.time.min()))
    time = (log.time - log.time.min()) * (60 * DAY) // span
    return ByTime(validation=50 * DAY, test=55 * DAY).split(data.with_interactions(replace(log, time=time)))


def test_earlier_moments_ask_for_what_followed_and_show_what_was_before():
    split = by_time()
    assert is_cut_by_time(split)
    cuts = earlier_moments(split, 2, 5.0)
    assert [cut.test.at // DAY for cut in cuts] == [40, 45]
    for cut in cuts:
        assert cut.train.time.max() < cut.test.at <= cut.test.target.time.min()
        assert cut.test.target.time.max() < cut.test.at + 5 * DAY <= split.asked_at
        assert len(cut.dataset.interactions) == len(cut.train)  # not even by a look into the data set


def test_nothing_that_is_asked_for_later_is_shown_at_an_earlier_moment():
    split = by_time()
    for cut in earlier_moments(split, 3, 5.0):
        assert not cut.train.has_pairs_of(split.validation.target).any()
        assert not cut.test.target.has_pairs_of(split.validation.target).any()


def test_where_users_have_moments_of_their_own_their_newest_items_are_asked_for():
    split = LeaveLast().split(two_tastes().dataset)
    assert not is_cut_by_time(split)
    oldest, newest = earlier_moments(split, 2, None)
    assert len(newest.train) + len(newest.test.target) >= len(split.train.unique_pairs()) - split.train.n_users
    assert len(oldest.train) < len(newest.train)
    user = int(newest.test.target.user[0])
    assert newest.test.target.item[0] == split.train.item[split.train.user == user][-1]


def test_scores_that_teach_come_from_models_that_have_not_seen_the_answers():
    """Popular counts its training events: at no moment may it have counted what is asked for."""
    seen = []

    class Watching(Popular):
        def fit(self, split, context=None):
            seen.append(split)
            return super().fit(split)

    split = by_time()
    RankedSources(sources={"popular": Watching()}, n_each=20, n_trees=3, moments=2, days=5.0).fit(split)
    *earlier, last = seen
    assert len(earlier) == 2
    assert last.train is split.train
    for cut in earlier:
        assert cut.train.time.max() < cut.test.target.time.min()


def test_examples_are_candidates_with_what_came_true():
    cut = earlier_moments(by_time(), 1, 5.0)[0]
    everything = np.arange(cut.train.n_items)

    def candidates(queries):
        return TopK(np.tile(everything, (len(queries), 1)), np.zeros((len(queries), len(everything)), np.float32))

    def described(queries, top):
        return top.items[..., None].astype(np.float32)

    found = examples_of(cut.test, candidates, described, users=None, negatives=2, rng=np.random.default_rng(0))
    assert found.positive.sum() == len(cut.test.target)
    assert len(found) == 3 * len(cut.test.target)  # two others for each
    assert found.queries == len(cut.test.users())


def test_membership_is_by_row():
    assert is_in(np.array([[1, 2], [1, NO_ITEM]]), Ragged.from_lists([[2], [3]])).tolist() == [
        [False, True],
        [False, False],
    ]


def test_losses_by_hand():
    """One query, logits 1 (came true) and 0, a third place empty: log(1 + e⁻¹) for both of pairs and lists."""
    logits, hit = torch.tensor([[1.0, 0.0, 9.0]]), torch.tensor([[True, False, False]])
    real = torch.tensor([[True, True, False]])
    expected = float(np.log1p(np.exp(-1)))
    assert pairwise_loss(logits, hit, real).item() == pytest.approx(expected)
    assert listwise_loss(logits, hit, real).item() == pytest.approx(expected)
    assert binary_loss(logits, hit, real).item() == pytest.approx((expected + np.log(2)) / 2)


def test_features_enter_on_the_scale_of_their_quantiles():
    scales = Scales(1).learn(np.arange(101, dtype=np.float32)[:, None] ** 3)
    scaled = scales(torch.tensor([[0.0], [50.0**3], [1e9], [float("nan")]]))
    assert scaled[:, 0].tolist() == pytest.approx([-1, 0, 1, 0], abs=0.01)
    assert scaled[:, 1].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("loss", ["binary", "pairwise", "listwise"])
def test_the_network_learns_an_order(loss):
    from tests.models.second_stage.test_trees import pairs
    from twotower.models.second_stage.examples import Examples
    from twotower.training.context import QUIET

    features, positive = pairs()
    scorer = PairNetwork(loss=loss, epochs=20, hidden=(16,), lr=0.01)
    scorer.fit(Examples(features, positive, np.arange(len(positive)) // 10), QUIET)
    new, truth = pairs(seed=1)
    scores = scorer.scores(new)
    assert (scores[truth][:, None] > scores[~truth]).mean() > 0.98
    again = PairNetwork(hidden=(16,))
    again.set_state(scorer.state())
    np.testing.assert_array_equal(scores, again.scores(new))


def test_the_second_stage_does_better_than_its_sources():
    split = two_tastes()
    model = RankedSources(sources={"als": ALS(dim=8, l2=1.0), "item_knn": ItemKNN()}, n_each=30, n_trees=40, moments=2)
    model.fit(split)
    assert (
        len(model.feature_names())
        == model.described(split.test.queries(), lists(*[[1, 2]] * len(split.test.users()))).shape[2]
    )


def test_served_at_another_moment_it_sees_what_happened_until_then():
    split = by_time()
    model = RankedSources(sources={"popular": Popular()}, n_each=40, n_trees=5, moments=2, days=5.0).fit(split)
    queries = split.test.queries()
    before = model.described(queries, lists(*[[1, 2]] * len(queries)))
    model.serve(split.dataset, split.train.where(split.train.time < 30 * DAY), 30 * DAY)
    after = model.described(queries, lists(*[[1, 2]] * len(queries)))
    column = model.feature_names().index("events of 35 days")
    assert (before[..., column] != after[..., column]).any()


def test_a_log_without_earlier_moments_is_refused_in_words():
    split = by_time()
    short = replace(split, train=split.train.where(split.train.time == split.train.time.min()))
    with pytest.raises(BadInput, match="nothing to learn an order from"):
        RankedSources(sources={"popular": Popular()}, moments=2, days=5.0).fit(short)


@pytest.mark.parametrize("options", [{"features": ("moon",)}, {"sources": {}}, {"n_each": 0}, {"loss": "hinge"}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(BadConfig):
        RankedSources(**options)
