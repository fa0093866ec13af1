"""Ranking metrics: golden lists by hand, a trusted library on random cases, and what is refused."""

import doctest

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower.errors import BadConfig, BadInput
from twotower.metrics import ranking
from twotower.metrics.labels import metric_label, metric_meaning
from twotower.metrics.ranking import METRICS, as_topk, average_precision, hit_matrix, ndcg, precision, ranking_metrics
from twotower.topk import top_k
from twotower.types import NO_ITEM, Ragged

GOLDEN = as_topk([[1, 90, 2, 91, 92, 3]])
TRUTH = Ragged.from_lists([[1, 2, 3, 4, 5]])
KS = (1, 3, 10)
LONGEST = 15
LISTS = st.lists(st.integers(0, 30), unique=True, max_size=LONGEST)
CASES = st.lists(st.tuples(LISTS, LISTS), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("k", "divisor", "expected"),
    [
        (3, "min", (1 / 1 + 2 / 3) / 3),  # .5556
        (3, "rel", (1 / 1 + 2 / 3) / 5),  # .3333
        (10, "min", (1 / 1 + 2 / 3 + 3 / 6) / 5),  # .4333
        (10, "rel", (1 / 1 + 2 / 3 + 3 / 6) / 5),
    ],
)
def test_average_precision_of_the_golden_list(k, divisor, expected):
    assert average_precision(GOLDEN, TRUTH, k, divisor)[0] == pytest.approx(expected, abs=1e-12)


def test_all_metrics_of_the_golden_list_at_three():
    found = ranking_metrics(GOLDEN, TRUTH, [3])
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    expected = {
        "map@3": 5 / 9,
        "map_rel@3": 1 / 3,
        "precision@3": 2 / 3,
        "recall@3": 2 / 5,
        "f1@3": 2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5),
        "hit_rate@3": 1.0,
        "mrr@3": 1.0,
        "ndcg@3": (1 + 1 / 2) / ideal,
    }
    assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


def test_the_first_hit_decides_the_reciprocal_rank_and_only_within_k():
    found = ranking_metrics(as_topk([[8, 9, 1, 2]]), TRUTH, [2, 4])
    assert (found["mrr@2"][0], found["mrr@4"][0]) == (0.0, 1 / 3)
    assert (found["hit_rate@2"][0], found["hit_rate@4"][0]) == (0.0, 1.0)


def test_a_short_list_counts_its_missing_places_as_misses():
    assert precision(as_topk([[1, 2]]), TRUTH, 10)[0] == 2 / 10
    assert average_precision(as_topk([[1, 2]]), TRUTH, 10)[0] == (1 + 1) / 5
    assert (hit_matrix(as_topk([[], [1]]), Ragged.from_lists([[0], [1]])) == [[False], [True]]).all()


def test_a_user_without_relevant_items_has_no_value_in_any_metric():
    found = ranking_metrics(as_topk([[1, 2], [1, 2]]), Ragged.from_lists([[], [1]]), [3])
    assert all(np.isnan(values[0]) and not np.isnan(values[1]) for values in found.values())


def test_of_equal_scores_the_smaller_id_counts_first():
    assert precision(top_k(np.zeros((1, 4), np.float32), 2), Ragged.from_lists([[1]]), 2)[0] == 1 / 2  # 0, 1
    assert precision(top_k(np.zeros((1, 4), np.float32), 2), Ragged.from_lists([[2]]), 2)[0] == 0


def test_every_metric_has_a_label_of_its_variant_and_a_meaning():
    labels = {name: metric_label(f"{name}@10") for name in METRICS}
    assert (labels["map"], labels["map_rel"]) == ("map@10[min]", "map@10[rel]")
    assert len(set(labels.values())) == len(METRICS)
    assert all(metric_meaning(name).endswith(".") for name in METRICS)
    with pytest.raises(BadConfig, match="'map2' is unknown; did you mean map"):
        metric_label("map2@3")


@given(CASES)
def test_all_metrics_agree_with_trec_eval_on_odd_cases(cases):
    assert_agreement(*(list(side) for side in zip(*cases, strict=True)))


def test_all_metrics_agree_with_trec_eval_on_two_thousand_random_users():
    rng = np.random.default_rng(2)
    lists = [rng.permutation(40)[: rng.integers(0, LONGEST + 1)].tolist() for _ in range(2_000)]
    assert_agreement(lists, [rng.permutation(40)[: rng.integers(0, 25)].tolist() for _ in range(2_000)])


def assert_agreement(lists: list[list[int]], wanted: list[list[int]]) -> None:
    topk, relevant = as_topk(lists), Ragged.from_lists(wanted)
    found = ranking_metrics(topk, relevant, (*KS, LONGEST))
    found |= {f"rel@{k}": average_precision(topk, relevant, k, "rel") for k in KS}
    for name, expected in trec_eval(lists, wanted).items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-9, err_msg=name)


def trec_eval(lists: list[list[int]], wanted: list[list[int]]) -> dict[str, list[float]]:
    """The oracle's values by our names; a user without relevant items is NaN, which it would leave out or call 0."""
    names = {"precision": "P", "recall": "R", "ndcg": "nDCG", "hit_rate": "Success", "rel": "AP"}
    measures = {f"{ours}@{k}": ir_measures.parse_measure(f"{theirs}@{k}") for ours, theirs in names.items() for k in KS}
    measures[f"mrr@{LONGEST}"] = ir_measures.RR  # it has no cut-off there
    truth = {str(u): {str(i): 1 for i in items} for u, items in enumerate(wanted) if items}
    run = {str(u): {str(i): -float(rank) for rank, i in enumerate(items)} for u, items in enumerate(lists)}
    by_name: dict[str, list[float]] = {name: [np.nan if not items else 0.0 for items in wanted] for name in measures}
    at = {str(measure): name for name, measure in measures.items()}
    if truth:
        for value in ir_measures.iter_calc(list(measures.values()), truth, run):
            by_name[at[str(value.measure)]][int(value.query_id)] = value.value
    for k in KS:  # trec_eval divides by all relevant items: variant "rel"
        rel, sizes = by_name[f"rel@{k}"], [len(items) for items in wanted]
        by_name[f"map@{k}"] = [ap * n / min(k, n) if n else np.nan for ap, n in zip(rel, sizes, strict=True)]
        p_r = zip(by_name[f"precision@{k}"], by_name[f"recall@{k}"], strict=True)
        by_name[f"f1@{k}"] = [2 * p * r / (p + r) if p + r != 0 else 0.0 for p, r in p_r]
    return by_name


@given(CASES, st.integers(1, 20))
def test_values_lie_between_0_and_1_and_a_perfect_list_has_1(cases, k):
    lists, wanted = (list(side) for side in zip(*cases, strict=True))
    relevant = Ragged.from_lists(wanted)
    for values in ranking_metrics(as_topk(lists), relevant, [k]).values():
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
        assert (np.isnan(values) == (relevant.lengths == 0)).all()
    some = relevant.lengths > 0
    assert (average_precision(as_topk(wanted), relevant, k)[some] == 1).all()
    np.testing.assert_allclose(ndcg(as_topk(wanted), relevant, k)[some], 1, atol=1e-12)


@given(CASES)
def test_the_hits_are_those_of_python_sets(cases):
    lists, wanted = (list(side) for side in zip(*cases, strict=True))
    hits = hit_matrix(as_topk(lists), Ragged.from_lists(wanted))
    for row, (items, right) in enumerate(cases):
        assert hits[row, : len(items)].tolist() == [item in right for item in items]
        assert not hits[row, len(items) :].any()


def test_an_item_that_stands_twice_is_refused_on_either_side():
    with pytest.raises(BadInput, match="item 7 stands twice in a ranked list of row 1"):
        hit_matrix(as_topk([[1, 2], [7, 7]]), Ragged.from_lists([[1], [1]]))
    with pytest.raises(BadInput, match="item 4 stands twice in the relevant items of row 0"):
        hit_matrix(as_topk([[1]]), Ragged.from_lists([[4, 4]]))


def test_different_numbers_of_users_are_refused():
    with pytest.raises(BadInput, match="1 lists but 2 rows"):
        hit_matrix(GOLDEN, Ragged.from_lists([[1], [2]]))


@pytest.mark.parametrize("name", METRICS)
def test_a_cut_off_below_one_is_refused(name):
    with pytest.raises(BadConfig, match="k=0 must be at least 1"):
        METRICS[name](np.ones((1, 2), bool), np.array([1]), 0)


def test_lists_are_padded_to_the_longest():
    assert as_topk([[7, 3], [5], []]).items.tolist() == [[7, 3], [5, NO_ITEM], [NO_ITEM, NO_ITEM]]


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(ranking).failed == 0
