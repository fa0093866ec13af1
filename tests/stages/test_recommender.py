"""`TwoStageRecommender`: both stages, filters, unknown users, the trace, and the gold standard."""

import numpy as np
import pytest

from twotower.ann.exact import ExactIndex
from twotower.errors import BadConfig, BadInput
from twotower.protocols import Recommender
from twotower.stages.recommender import TwoStageRecommender, ways
from twotower.stages.retriever import Retriever
from twotower.topk import rescore
from twotower.types import NO_ITEM, UNKNOWN_USER, Queries, Ragged

N, D = 120, 6
RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(N, D)).astype(np.float32)
WORTH = RNG.normal(size=N).astype(np.float32)  # what the ranker thinks of each item
POPULARITY = RNG.permutation(N).astype(np.float32)


class MeanEncoder:
    """User vector: mean of the history's vectors, plus a bit that is the user's own."""

    def user_vectors(self, queries):
        means = [VECTORS[h].mean(axis=0) if len(h) else np.zeros(D, np.float32) for h in queries.histories]
        return np.stack(means) + 0.1 * np.cos(queries.users[:, None] + np.arange(D), dtype=np.float32)


class WorthRanker:
    """Ranks by WORTH alone, so that first- and second-stage orders differ."""

    def rank(self, queries, candidates):
        return rescore(candidates, WORTH[candidates.items], candidates.k)


def two_stages(**options):
    retriever = Retriever(MeanEncoder(), ExactIndex().build(VECTORS), VECTORS)
    return TwoStageRecommender(retriever, WorthRanker(), **{"popularity": POPULARITY, **options})


KNOWN = Queries.of(np.array([0, 1, 2]), Ragged.from_lists([[3, 4], [50], [7, 7, 9]]))


def test_is_a_recommender():
    assert isinstance(two_stages(), Recommender)


def test_retrieves_then_ranks():
    first = VECTORS @ MeanEncoder().user_vectors(KNOWN)[0]
    first[[3, 4]] = -np.inf  # seen
    candidates = np.argsort(-first, kind="stable")[:20]
    expected = sorted(candidates, key=lambda item: -WORTH[item])[:5]
    found = two_stages(n_candidates=20).recommend(KNOWN, 5)
    assert found.items[0].tolist() == expected
    np.testing.assert_array_equal(found.scores[0], WORTH[expected])


def test_without_a_ranker_the_first_order_stays():
    towers_only = two_stages(n_candidates=10)
    towers_only.ranker = None
    found = towers_only.recommend(KNOWN, 5)
    np.testing.assert_array_equal(found.items, towers_only.retriever.retrieve(KNOWN, 5).items)


def test_k_above_the_number_of_candidates_is_served():
    found = two_stages(n_candidates=5).recommend(KNOWN, 30)
    assert (found.items != NO_ITEM).all()


def test_excluded_and_disallowed_items_never_appear():
    even = np.arange(N) % 2 == 0
    found = two_stages(rules={"even": even}, n_candidates=N).recommend(KNOWN, N)
    assert set(found.items[0]) == set(np.flatnonzero(even)) - {3, 4} | {NO_ITEM}
    assert (found.items[0] != NO_ITEM).sum() == N // 2 - 1  # 60 even items, 4 was seen


def test_unknown_user_with_a_history_is_served_from_it():
    unknown = Queries.of(np.array([UNKNOWN_USER]), Ragged.from_lists([[10, 11]]))
    assert ways(unknown) == ("from the given history",)
    found = two_stages(n_candidates=N).recommend(unknown, N)
    assert not {10, 11} & set(found.items[0])
    by_worth = [i for i in np.argsort(-WORTH, kind="stable") if i not in (10, 11)]
    assert found.items[0, : N - 2].tolist() == by_worth


def test_user_of_whom_nothing_is_known_gets_popular_items():
    nobody = Queries.of(np.array([UNKNOWN_USER]))
    assert ways(nobody) == ("popular items",)
    assert two_stages().recommend(nobody, 10).items[0].tolist() == np.argsort(-POPULARITY)[:10].tolist()


def test_popular_items_obey_the_rules_too():
    odd = np.arange(N) % 2 == 1
    found = two_stages(rules={"odd": odd}).recommend(Queries.of(np.array([UNKNOWN_USER])), 10)
    assert (found.items % 2 == 1).all()


def test_queries_of_all_ways_in_one_batch_are_answered_as_they_are_alone():
    users = np.array([0, UNKNOWN_USER, UNKNOWN_USER, 2])
    batch = Queries.of(users, Ragged.from_lists([[3, 4], [], [10, 11], [7, 7, 9]]))
    recommender = two_stages(n_candidates=30)
    together = recommender.recommend(batch, 8)
    for row in range(4):
        alone = recommender.recommend(batch.take(np.array([row])), 8)
        np.testing.assert_array_equal(alone.items[0], together.items[row])


def test_trace_counts_what_each_rule_removed_first():
    even, small = np.arange(N) % 2 == 0, np.arange(N) < 60
    trace = two_stages(rules={"even": even, "small": small}, n_candidates=N).trace(KNOWN, 5)
    assert (trace.retrieved.items != NO_ITEM).all()  # unfiltered: the whole catalogue
    assert trace.removed["seen before"].tolist() == [2, 1, 2]  # {3, 4}, {50}, {7, 9}
    assert trace.removed["even"].tolist() == [59, 60, 58]  # 60 odd items less the seen odd ones: 3; none; 7, 9
    assert trace.removed["small"].tolist() == [30, 30, 30]  # 30 even items are 60 or more, none seen
    left = (trace.candidates.items != NO_ITEM).sum(axis=1)
    assert left.tolist() == [N - 2 - 59 - 30, N - 1 - 60 - 30, N - 2 - 58 - 30]


def test_trace_holds_both_scores_of_every_candidate_and_the_same_answer():
    recommender = two_stages(n_candidates=25)
    trace = recommender.trace(KNOWN, 5)
    np.testing.assert_array_equal(trace.top.items, recommender.recommend(KNOWN, 5).items)
    for row in range(len(KNOWN)):
        assert set(trace.candidates.items[row]) == set(trace.ranked.items[row])
    np.testing.assert_array_equal(trace.ranked.scores, WORTH[trace.ranked.items])
    vectors = MeanEncoder().user_vectors(KNOWN)
    expected = np.einsum("bd,bkd->bk", vectors, VECTORS[trace.candidates.items])
    np.testing.assert_allclose(trace.candidates.scores, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("pairs", [1, 100, 1 << 20])
def test_gold_standard_ranks_the_whole_catalogue_whatever_the_block_size(monkeypatch, pairs):
    monkeypatch.setattr("twotower.stages.recommender._GOLD_PAIRS", pairs)
    allowed = np.arange(N) != 17
    gold = two_stages(n_candidates=3, rules={"not 17": allowed}).gold_standard(KNOWN, 10)
    for row, seen in enumerate(({3, 4}, {50}, {7, 9})):
        order = [i for i in np.argsort(-WORTH, kind="stable") if i not in seen and i != 17]
        assert gold.items[row].tolist() == order[:10]


def test_ranking_every_item_loses_nothing_against_the_gold_standard():
    everything = two_stages(n_candidates=N)
    np.testing.assert_array_equal(everything.recommend(KNOWN, 10).items, everything.gold_standard(KNOWN, 10).items)


def test_gold_standard_of_a_catalogue_that_the_rules_empty_is_padding():
    nothing = two_stages(rules={"nothing": np.zeros(N, np.bool_)})
    assert (nothing.gold_standard(KNOWN, 4).items == NO_ITEM).all()


def test_no_queries_give_no_rows():
    none = KNOWN.take(np.empty(0, np.int64))
    assert two_stages().recommend(none, 5).items.shape == (0, 5)
    assert two_stages().gold_standard(none, 5).items.shape == (0, 5)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(BadConfig, match="n_candidates"):
        two_stages(n_candidates=0)
    with pytest.raises(BadInput, match="k must be"):
        two_stages().recommend(KNOWN, 0)


def test_removed_items_are_neither_retrieved_nor_popular_nor_ranked_by_the_gold_standard():
    index = ExactIndex().build(VECTORS)
    gone = np.unique([*np.argsort(-POPULARITY)[:4], *np.argsort(-WORTH)[:4]])
    index.remove(gone)
    stages = TwoStageRecommender(Retriever(MeanEncoder(), index, VECTORS), WorthRanker(), popularity=POPULARITY)
    nobody = Queries.of(np.array([UNKNOWN_USER]))
    expected = [i for i in np.argsort(-POPULARITY, kind="stable") if i not in gone][:10]
    assert stages.recommend(nobody, 10).items[0].tolist() == expected
    for found in (stages.recommend(KNOWN, N), stages.gold_standard(KNOWN, N)):
        for row, seen in enumerate(({3, 4}, {50}, {7, 9})):
            assert {i for i in found.items[row] if i != NO_ITEM} == set(range(N)) - set(gone) - seen
